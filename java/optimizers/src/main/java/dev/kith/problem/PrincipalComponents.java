package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Factorization;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.Optional;

/**
 * Principal components of data that nodes share out: f_i(X) = -1/2 tr(X^T C_i X) over X in St(d,
 * r), C_i the covariance of node i's data. The optimum spans the leading r eigenvectors of the mean
 * of the C_i; any rotation of its columns is as good. C_i is held densely: meant for up to some
 * hundreds of parameters d.
 *
 * <p>Used by one thread at a time.
 */
public final class PrincipalComponents extends MatrixQuadratic {
  private final double optimalValue;

  private PrincipalComponents(Builder builder, Queue queue, DType dtype) {
    super(
        "components",
        builder.dimension,
        builder.components,
        builder.covariances.length,
        builder.begin,
        negated(Arrays.copyOfRange(builder.covariances, builder.begin, builder.end)),
        new double[builder.end - builder.begin][builder.dimension * builder.components],
        new double[builder.end - builder.begin],
        queue,
        dtype);
    this.optimalValue = builder.optimalValue(queue);
  }

  private static double[][] negated(double[][] matrices) {
    return Arrays.stream(matrices)
        .map(m -> Arrays.stream(m).map(x -> -x).toArray())
        .toArray(double[][]::new);
  }

  /**
   * Covariances given in full.
   *
   * @param covariances C_i by node, d x d row-major, symmetric
   * @param components r, from 1 to d
   * @throws IllegalArgumentException when there is none, their sizes differ, or one is not
   *     symmetric
   */
  public static Builder of(double[][] covariances, int components) {
    return new Builder(covariances, components);
  }

  /**
   * Covariances of random samples: each node draws {@code samples} normal vectors whose covariance
   * is diag(decay^(j / 2)), j = 0 .. d - 1, and C_i = A_i^T A_i / samples. So nodes differ by what
   * they drew, and the leading components are close to the first unit vectors. With d = 10, r = 5,
   * 1,000 samples and a decay of 0.8 this is the experiment of the DRCGD card.
   *
   * @param nodes number of nodes
   * @param dimension d
   * @param components r, from 1 to d
   * @param samples rows of A_i, at least 1
   * @param decay in (0, 1]
   * @param seed of the stream {@code DATA}
   */
  public static Builder random(
      int nodes, int dimension, int components, int samples, double decay, long seed) {
    if (nodes < 1 || dimension < 1 || samples < 1 || !(decay > 0 && decay <= 1)) {
      throw new IllegalArgumentException(
          "Random covariances need at least one node, one dimension and one sample and a decay in"
              + " (0, 1], not "
              + nodes
              + ", "
              + dimension
              + ", "
              + samples
              + " and "
              + decay);
    }
    double[][] covariances = new double[nodes][dimension * dimension];
    double[] deviations = new double[dimension];
    Arrays.setAll(deviations, j -> StrictMath.pow(decay, j / 4.0));
    double[] sample = new double[dimension];
    for (int i = 0; i < nodes; i++) {
      SharedRandom random = new SharedRandom(seed, Stream.DATA, i, 0);
      for (int k = 0; k < samples; k++) {
        for (int j = 0; j < dimension; j++) {
          sample[j] = deviations[j] * random.normal((long) k * dimension + j);
        }
        for (int a = 0; a < dimension; a++) {
          for (int b = 0; b < dimension; b++) {
            covariances[i][a * dimension + b] += sample[a] * sample[b] / samples;
          }
        }
      }
    }
    return new Builder(covariances, components);
  }

  /** The least of the mean of the f_i: minus half the sum of the r largest eigenvalues. */
  public double optimalValue() {
    return optimalValue;
  }

  /** What the problem is made of. */
  public static final class Builder extends NodesBuilder<Builder> {
    private final double[][] covariances;
    private final int dimension;
    private final int components;

    private Builder(double[][] covariances, int components) {
      super(covariances.length);
      if (covariances.length == 0) {
        throw new IllegalArgumentException("There is no covariance: give one a node");
      }
      int d = (int) Math.round(Math.sqrt(covariances[0].length));
      if (components < 1 || components > d) {
        throw new IllegalArgumentException(
            components + " components of vectors of " + d + " numbers: take 1 to " + d);
      }
      for (int i = 0; i < covariances.length; i++) {
        if (covariances[i].length != d * d) {
          throw new IllegalArgumentException(
              "The covariance of node "
                  + i
                  + " has "
                  + covariances[i].length
                  + " elements where that of node 0 has "
                  + covariances[0].length
                  + ": give square ones of one size");
        }
        for (int r = 0; r < d; r++) {
          for (int c = 0; c < r; c++) {
            if (covariances[i][r * d + c] != covariances[i][c * d + r]) {
              throw new IllegalArgumentException(
                  "The covariance of node "
                      + i
                      + " is not symmetric at ("
                      + r
                      + ", "
                      + c
                      + "): "
                      + covariances[i][r * d + c]
                      + " and "
                      + covariances[i][c * d + r]);
            }
          }
        }
      }
      this.covariances = Arrays.stream(covariances).map(double[]::clone).toArray(double[][]::new);
      this.dimension = d;
      this.components = components;
    }

    @Override
    Builder self() {
      return this;
    }

    /** C_i of every node, d x d row-major. */
    public double[][] covariances() {
      return Arrays.stream(covariances).map(double[]::clone).toArray(double[][]::new);
    }

    private double optimalValue(Queue queue) {
      double[] mean = new double[dimension * dimension];
      for (double[] c : covariances) {
        for (int k = 0; k < mean.length; k++) {
          mean[k] += c[k] / covariances.length;
        }
      }
      try (DeviceMatrix m = DeviceMatrix.allocate(queue, dimension, dimension, DType.F64);
          DeviceMatrix values = DeviceMatrix.allocate(queue, 1, dimension, DType.F64)) {
        m.upload(mean);
        Factorization.eigen(1, Batch.of(m), Batch.of(values), Optional.empty(), Optional.empty());
        double[] ascending = values.toDoubles();
        return -0.5 * Arrays.stream(ascending, dimension - components, dimension).sum();
      }
    }

    /**
     * Places the covariances on a device.
     *
     * @param dtype f32 or f64
     */
    public PrincipalComponents build(Queue queue, DType dtype) {
      return new PrincipalComponents(this, queue, dtype);
    }
  }
}
