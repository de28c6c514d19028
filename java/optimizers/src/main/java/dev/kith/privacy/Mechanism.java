package dev.kith.privacy;

/**
 * One release that an {@link Accountant} can count. Noise multipliers are standard deviations of
 * the noise over the clip norm C of one unit's part; the accountant multiplies the sensitivity by
 * the factor of its {@link Adjacency}, so that the same multiplier costs more under {@link
 * Adjacency.Change#REPLACE_ONE}.
 */
public sealed interface Mechanism {
  /**
   * A sum of parts clipped to norm C, each unit in every release, plus N(0, (noiseMultiplier C)^2
   * I).
   *
   * @param noiseMultiplier positive
   */
  record Gaussian(double noiseMultiplier) implements Mechanism {
    /** Checks the multiplier. */
    public Gaussian {
      Checks.positive("the noise multiplier", noiseMultiplier);
    }
  }

  /**
   * The same over a sample that every record joins with probability {@code rate}, independently of
   * all else. The mean divides by the expected size of the sample, never by the realised one. Only
   * for {@link Adjacency.Change#ADD_REMOVE}: which pair of inputs is the worst under replacement is
   * not proven.
   *
   * <p>Source: I. Mironov, K. Talwar, L. Zhang, "Renyi differential privacy of the sampled Gaussian
   * mechanism" (2019); Y. Zhu, J. Dong, Y.-X. Wang (AISTATS 2022) for the dominating pairs.
   *
   * @param noiseMultiplier positive
   * @param rate in (0, 1]
   */
  record PoissonGaussian(double noiseMultiplier, double rate) implements Mechanism {
    /** Checks multiplier and rate. */
    public PoissonGaussian {
      Checks.positive("the noise multiplier", noiseMultiplier);
      Checks.rate(rate);
    }
  }

  /**
   * The same over a batch of exactly {@code batch} of {@code population} records, drawn without
   * replacement anew in every release. Only for {@link Adjacency.Change#REPLACE_ONE}, and only by
   * {@link Method#RDP}.
   *
   * <p>Source: Y.-X. Wang, B. Balle, S. P. Kasiviswanathan, "Subsampled Renyi differential privacy
   * and analytical moments accountant" (AISTATS 2019), theorem 9.
   *
   * @param noiseMultiplier positive
   * @param batch 1 to population
   * @param population the number of records
   */
  record BatchGaussian(double noiseMultiplier, long batch, long population) implements Mechanism {
    /** Checks multiplier and sizes. */
    public BatchGaussian {
      Checks.positive("the noise multiplier", noiseMultiplier);
      if (batch < 1 || batch > population) {
        throw new IllegalArgumentException(
            "a batch of "
                + batch
                + " cannot be drawn without replacement from "
                + population
                + " records: give 1 to as many as there are");
      }
    }
  }

  /**
   * One round of noise with covariance R over the nodes: every message of the round is seen, and
   * one node's part moves by at most the adjacency's factor times {@code clip}. The cost is that of
   * a Gaussian mechanism with mu^2 = (factor clip)^2 max_i (R'^-1)_ii, R' the covariance that the
   * adversary does not know. Over phases with different covariances the worst node of each is
   * counted, which is an upper bound.
   *
   * <p>At record level {@code clip} is what one record can move in the node's message: C / batch
   * for a mean of records clipped to C.
   *
   * @param covariance of the nodes' noise
   * @param clip the bound on one unit's part, in the units of the noise, positive
   */
  record NodeGaussian(NoiseCovariance covariance, double clip) implements Mechanism {
    /** Checks the clip norm. */
    public NodeGaussian {
      Checks.positive("the clip norm", clip);
    }
  }

  /**
   * A whole run with noise correlated over time: C G + Z is released, Z with standard deviation
   * noiseMultiplier times the clip norm in every element. The cost is that of one Gaussian
   * mechanism with mu = factor sensitivity(C) / noiseMultiplier, the sensitivity for parts of norm
   * 1 under the pattern of participation.
   *
   * @param factor C
   * @param participation how often one unit takes part
   * @param noiseMultiplier standard deviation of Z over the clip norm, positive
   */
  record MatrixGaussian(ToeplitzFactor factor, Participation participation, double noiseMultiplier)
      implements Mechanism {
    /** Checks the multiplier, and that the sensitivity is known. */
    public MatrixGaussian {
      Checks.positive("the noise multiplier", noiseMultiplier);
      factor.sensitivity(participation);
    }
  }

  /**
   * What nobody has proven yet: the accountant refuses it by name.
   *
   * @param name of the mechanism
   * @param reason why no guarantee is given
   */
  record NotCertified(String name, String reason) implements Mechanism {}

  /**
   * User-level output perturbation by propose, test, release (after "On User-Level Private Convex
   * Optimization"): its test step was rebuilt from summaries.
   */
  Mechanism USER_LEVEL_RELEASE =
      new NotCertified(
          "user-level propose-test-release", "its test step has not been derived again");
}
