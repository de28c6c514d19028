package dev.kith.privacy;

import static dev.kith.privacy.Messages.messageOf;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.graph.Graph;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.RandomGraphs;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link NoiseCovariance} and {@link OptimalCovariance} against the values of CorN and DECOR. */
class NoiseCovarianceTest {
  private static MixingMatrix weights(Graph graph) {
    return new WeightRule.Metropolis().weights(graph);
  }

  private static Graph graph(String name) {
    return switch (name) {
      case "ring8" -> Topologies.ring(8);
      case "ring16" -> Topologies.ring(16);
      case "torus4x4" -> Topologies.torus(4, 4);
      case "path4" -> Topologies.path(4);
      case "complete8" -> Topologies.complete(8);
      default -> throw new IllegalArgumentException(name);
    };
  }

  /** The table of the CorN card: tr(W R W^T) at b = 1. */
  @ParameterizedTest
  @CsvSource({
    "ring8, 2.666667, 1.989356, 0.451031, 0.442466, 1.887253, 0.125",
    "ring16, 5.333333, 3.975234, 0.447217, 0.447209, 3.688925, 0.0625",
    "torus4x4, 3.200000, 2.722145, 0.428585, 0.175869, 2.250000, 0.0625",
    "path4, 1.777778, 1.513211, 0.621315, 0.612975, 1.368076, 0.25"
  })
  void oneRoundObjectivesAreTheReference(
      String name,
      double independent,
      double pairwise,
      double variance,
      double edgeVariance,
      double optimal,
      double central) {
    Graph graph = graph(name);
    double[][] a = MixingObjective.oneRound(weights(graph));
    int n = graph.nodes();
    NoiseCovariance own = NoiseCovariance.independent(n, 1);
    assertEquals(independent, MixingObjective.value(a, own.covariance()), 0.5e-6);
    NoiseCovariance tuned = NoiseCovariance.tunedPairwise(graph, a, 1);
    assertEquals(pairwise, MixingObjective.value(a, tuned.covariance()), 0.5e-6);
    // The minimum is flat: its place is known to the root of the digits of its value.
    double[][] r = tuned.covariance();
    int neighbour = graph.neighbour(0, 0);
    assertEquals(edgeVariance, -r[0][neighbour], 1e-5);
    assertEquals(variance, r[0][0] - graph.degree(0) * -r[0][neighbour], 1e-5);
    NoiseCovariance best = NoiseCovariance.optimal(a, 1);
    assertEquals(optimal, MixingObjective.value(a, best.covariance()), 0.5e-6);
    // Only the mean is seen: W is the matrix of ones over n.
    double[][] mean = MixingObjective.oneRound(MixingMatrix.uniform(n));
    NoiseCovariance trusted = NoiseCovariance.central(n, 1);
    assertEquals(central, MixingObjective.value(mean, trusted.covariance()), 1e-15);
    for (NoiseCovariance noise : new NoiseCovariance[] {own, tuned, best, trusted}) {
      assertEquals(1, noise.worstPrecision(Adversary.eavesdropper()), 1e-9, noise::toString);
    }
  }

  @Test
  void theCompleteGraphReachesTheFloor() {
    double[][] a = MixingObjective.oneRound(MixingMatrix.uniform(8));
    NoiseCovariance best = NoiseCovariance.optimal(a, 1);
    // A is singular: the ridge of 1e-6 costs 2 (n - 1)/n sqrt(ridge) and keeps R finite.
    assertEquals(0.125, MixingObjective.value(a, best.covariance()), 1e-3);
    assertTrue(best.conditioning().condition() > 100, best::toString);
    assertTrue(best.conditioning().maxVariance() < 1e4, best::toString);
    assertTrue(OptimalCovariance.of(a, 1).ridge() > 0);
    NoiseCovariance tuned = NoiseCovariance.tunedPairwise(Topologies.complete(8), a, 1);
    assertEquals(0.125, MixingObjective.value(a, tuned.covariance()), 1e-6);
  }

  @Test
  void fixedPointOfThePathIsTheReference() {
    double[][] a = MixingObjective.oneRound(weights(Topologies.path(4)));
    OptimalCovariance found = OptimalCovariance.of(a, 1);
    assertArrayEquals(
        new double[] {0.515245, 0.168793, 0.168793, 0.515245}, found.multipliers(), 0.5e-6);
    double[][] p = found.precision();
    assertArrayEquals(new double[] {1, 0.475178, 0.110112, -0.017141}, p[0], 0.5e-6);
    assertArrayEquals(new double[] {0.475178, 1, 0.498554, 0.110112}, p[1], 0.5e-6);
    double[][] r = found.covariance();
    assertArrayEquals(new double[] {1.328356, -0.743379, 0.225563, -0.002559}, r[0], 0.5e-6);
    assertEquals(1.784601, r[1][1], 0.5e-6);
    assertEquals(-0.915047, r[1][2], 0.5e-6);
    assertTrue(found.residual() < 1e-12);
    assertEquals(0, found.ridge());
    assertEquals(MixingObjective.value(a, r), found.value(1), 1e-12);
  }

  /** Where all nodes look alike R = |W|^-1 tr|W| / (n b). */
  @Test
  void symmetricGraphsHaveTheClosedForm() {
    double[][] a = MixingObjective.oneRound(weights(Topologies.ring(8)));
    double[] first = NoiseCovariance.optimal(a, 1).covariance()[0];
    assertArrayEquals(
        new double[] {
          1.637458, -0.636591, -0.121426, 0.393739, -0.423202, 0.393739, -0.121426, -0.636591
        },
        first,
        0.5e-6);
    int n = 8;
    double trace = 0;
    for (int k = 0; k < n; k++) {
      trace += Math.abs(1 / 3.0 + 2 / 3.0 * Math.cos(2 * Math.PI * k / n));
    }
    double b = 2.5;
    for (int j = 0; j < n; j++) {
      double expected = 0;
      for (int k = 0; k < n; k++) {
        double eigenvalue = Math.abs(1 / 3.0 + 2 / 3.0 * Math.cos(2 * Math.PI * k / n));
        expected += Math.cos(2 * Math.PI * k * j / n) / eigenvalue / n;
      }
      expected *= trace / (n * b);
      assertEquals(expected, NoiseCovariance.optimal(a, b).covariance()[0][j], 1e-11, "entry " + j);
    }
  }

  /** No feasible covariance beside the optimum is better. */
  @Test
  void theFixedPointIsAMinimum() {
    double[][] a = MixingObjective.oneRound(weights(RandomGraphs.erdosRenyi(12, 0.4, 3)));
    OptimalCovariance found = OptimalCovariance.of(a, 1);
    double best = MixingObjective.value(a, found.covariance());
    Random random = new Random(1);
    for (int trial = 0; trial < 300; trial++) {
      double[][] other = found.covariance();
      double size = Math.pow(10, -1 - 3 * random.nextDouble());
      double[] v = new double[12];
      for (int i = 0; i < 12; i++) {
        v[i] = random.nextGaussian();
      }
      double sign = random.nextBoolean() ? 1 : -1;
      double[][] moved = new double[12][12];
      for (int i = 0; i < 12; i++) {
        for (int j = 0; j < 12; j++) {
          moved[i][j] = other[i][j] + sign * size * v[i] * v[j] * 0.1;
        }
      }
      NoiseCovariance noise;
      try {
        noise = NoiseCovariance.joint(moved);
      } catch (IllegalArgumentException notPositive) {
        continue;
      }
      // Scaled back to be feasible.
      double value =
          MixingObjective.value(a, moved) * noise.worstPrecision(Adversary.eavesdropper());
      assertTrue(value >= best * (1 - 1e-12), () -> value + " < " + best);
    }
  }

  /** Stationary variance of f_i = |x|^2 / 2 on a ring of 16, step 0.05: the card's warning. */
  @Test
  void stationaryVariancesAreTheReference() {
    MixingMatrix w = weights(Topologies.ring(16));
    double step = 0.05;
    double[][] one = MixingObjective.oneRound(w);
    double[][] horizon = MixingObjective.horizonAware(w, 1 - step);
    Graph ring = Topologies.ring(16);
    double[][] identity = NoiseCovariance.independent(16, 1).covariance();
    NoiseCovariance decorOne = NoiseCovariance.tunedPairwise(ring, one, 1);
    NoiseCovariance decorLong = NoiseCovariance.tunedPairwise(ring, horizon, 1);
    NoiseCovariance cornOne = NoiseCovariance.optimal(one, 1);
    NoiseCovariance cornLong = NoiseCovariance.optimal(horizon, 1);
    double scale = step * step;
    assertEquals(0.061558, scale * MixingObjective.value(horizon, identity), 0.5e-6);
    assertEquals(0.034635, scale * value(horizon, decorOne), 0.5e-6);
    assertEquals(0.030259, scale * value(horizon, decorLong), 0.5e-6);
    assertEquals(0.033810, scale * value(horizon, cornOne), 0.5e-6);
    assertEquals(0.028849, scale * value(horizon, cornLong), 0.5e-6);
    // Noise on the mean model: 1^T R 1 / n^2.
    assertEquals(0.030010, onTheMean(cornOne), 0.5e-6);
    assertEquals(0.016574, onTheMean(cornLong), 0.5e-6);
    assertEquals(0.0625, onTheMean(NoiseCovariance.independent(16, 1)), 1e-15);
    assertEquals(0.003906, onTheMean(NoiseCovariance.central(16, 1)), 0.5e-6);
  }

  private static double value(double[][] objective, NoiseCovariance noise) {
    return MixingObjective.value(objective, noise.covariance());
  }

  private static double onTheMean(NoiseCovariance noise) {
    double sum = 0;
    for (double[] row : noise.covariance()) {
      for (double entry : row) {
        sum += entry;
      }
    }
    return sum / noise.nodes() / noise.nodes();
  }

  /** DECOR tuned for the long run wants edge noise 8 times its own. */
  @Test
  void longRunTuningOfPairwiseNoiseIsTheReference() {
    Graph ring = Topologies.ring(16);
    double[][] horizon = MixingObjective.horizonAware(weights(ring), 0.99);
    double[][] r = NoiseCovariance.tunedPairwise(ring, horizon, 1).covariance();
    // The minimum is flat, and the card's pair is the best of a scan.
    assertEquals(1.416683, -r[0][1], 2e-3);
    assertEquals(0.173829, r[0][0] + 2 * r[0][1], 2e-4);
    NoiseCovariance card = NoiseCovariance.pairwise(ring, 0.173829, 1.416683);
    double bound = card.worstPrecision(Adversary.eavesdropper());
    assertTrue(MixingObjective.value(horizon, r) <= value(horizon, card) * bound);
  }

  /** The doubling sum against the plain one. */
  @Test
  void horizonAwareObjectiveIsItsSeries() {
    MixingMatrix w = weights(RandomGraphs.erdosRenyi(7, 0.5, 2));
    double[][] dense = w.toDense();
    double[][] power = dense;
    double[][] sum = new double[7][7];
    double factor = 1;
    for (int k = 0; k < 400; k++) {
      for (int i = 0; i < 7; i++) {
        for (int j = 0; j < 7; j++) {
          for (int m = 0; m < 7; m++) {
            sum[i][j] += factor * power[m][i] * power[m][j];
          }
        }
      }
      power = w.times(power);
      factor *= 0.9 * 0.9;
    }
    double[][] found = MixingObjective.horizonAware(w, 0.9);
    for (int i = 0; i < 7; i++) {
      assertArrayEquals(sum[i], found[i], 1e-13 * found[i][i]);
    }
    double[][] one = MixingObjective.horizonAware(w, 0);
    for (int i = 0; i < 7; i++) {
      assertArrayEquals(MixingObjective.oneRound(w)[i], one[i], 0);
    }
    assertEquals(
        "the contraction is 1.0: give 1 - stepSize * curvature, from 0 to below 1",
        messageOf(() -> MixingObjective.horizonAware(w, 1)));
  }

  @Test
  void withoutMixingIndependentNoiseIsOptimal() {
    double[][] a = MixingObjective.oneRound(MixingMatrix.identity(5));
    double[][] r = NoiseCovariance.optimal(a, 4).covariance();
    for (int i = 0; i < 5; i++) {
      for (int j = 0; j < 5; j++) {
        assertEquals(i == j ? 0.25 : 0, r[i][j], 1e-15);
      }
    }
  }

  /** A star and a ring of nine have singular weights: what is added is reported. */
  @Test
  void singularWeightsGetARidge() {
    for (Graph graph : new Graph[] {Topologies.ring(9), Topologies.star(6)}) {
      double[][] a = MixingObjective.oneRound(weights(graph));
      OptimalCovariance found = OptimalCovariance.of(a, 1);
      double mean = 0;
      for (int i = 0; i < graph.nodes(); i++) {
        mean += a[i][i] / graph.nodes();
      }
      assertEquals(1e-6 * mean, found.ridge(), 1e-18);
      assertTrue(found.residual() < 1e-9, () -> "residual " + found.residual());
      NoiseCovariance noise = NoiseCovariance.joint(found.covariance());
      assertEquals(1, noise.worstPrecision(Adversary.eavesdropper()), 1e-9);
      NoiseCovariance gentler =
          NoiseCovariance.joint(OptimalCovariance.of(a, 1, 1e-3).covariance());
      assertTrue(gentler.conditioning().condition() < noise.conditioning().condition());
      assertTrue(value(a, gentler) < 1.1 * value(a, noise));
    }
  }

  @Test
  void factorsMultiplyToTheCovariance() {
    Graph graph = RandomGraphs.erdosRenyi(9, 0.4, 5);
    double[][] a = MixingObjective.oneRound(weights(graph));
    NoiseCovariance pairwise = NoiseCovariance.pairwise(graph, 0.3, 2);
    for (NoiseCovariance noise :
        new NoiseCovariance[] {
          NoiseCovariance.independent(9, 3),
          pairwise,
          NoiseCovariance.optimal(a, 2),
          NoiseCovariance.central(9, 2)
        }) {
      double[][] f = noise.factor().toDense();
      double[][] r = noise.covariance();
      for (int i = 0; i < 9; i++) {
        for (int j = 0; j < 9; j++) {
          double sum = 0;
          for (int c = 0; c < f[i].length; c++) {
            sum += f[i][c] * f[j][c];
          }
          assertEquals(r[i][j], sum, 1e-13 * noise.conditioning().largest());
        }
      }
    }
    // Every edge: exactly opposite entries, held by its two ends alone.
    NoiseFactor factor = pairwise.factor();
    double[][] f = factor.toDense();
    assertEquals(9 + graph.edges(), factor.secrets().size());
    for (int c = 9; c < factor.secrets().size(); c++) {
      NoiseFactor.Secret.OfEdge edge = (NoiseFactor.Secret.OfEdge) factor.secrets().get(c);
      assertTrue(edge.first() < edge.second() && graph.hasEdge(edge.first(), edge.second()));
      for (int i = 0; i < 9; i++) {
        double expected = i == edge.first() ? Math.sqrt(2) : i == edge.second() ? -Math.sqrt(2) : 0;
        assertEquals(expected, f[i][c]);
      }
    }
    // Columns ascend in every row.
    for (int i = 0; i < 9; i++) {
      for (int k = factor.offsets()[i] + 1; k < factor.offsets()[i + 1]; k++) {
        assertTrue(factor.columns()[k - 1] < factor.columns()[k]);
      }
    }
  }

  /** The worst coalition by trying all subsets; a larger one always costs more. */
  @Test
  void coalitionsCostTheirEdges() {
    Graph graph = RandomGraphs.erdosRenyi(8, 0.5, 11);
    NoiseCovariance noise = NoiseCovariance.pairwise(graph, 0.2, 1.5);
    double previous = noise.worstPrecision(Adversary.eavesdropper());
    for (int size = 1; size <= 3; size++) {
      double worst = 0;
      for (int set = 0; set < 256; set++) {
        if (Integer.bitCount(set) == size) {
          Set<Integer> members = new java.util.HashSet<>();
          for (int i = 0; i < 8; i++) {
            if ((set >> i & 1) == 1) {
              members.add(i);
            }
          }
          worst = Math.max(worst, noise.worstPrecision(Adversary.colluding(members)));
        }
      }
      assertEquals(worst, noise.worstPrecision(Adversary.curiousNeighbours(size)), 1e-12);
      assertTrue(worst > previous);
      previous = worst;
    }
  }

  @Test
  void badCovariancesAreRefusedInOneSentence() {
    assertEquals(
        "the noise covariance is not positive definite, its smallest eigenvalue is -1.0: some"
            + " combination of the nodes' data would be sent without noise, so add independent"
            + " noise",
        messageOf(() -> NoiseCovariance.joint(new double[][] {{1, 0}, {0, -1}})));
    String singular = messageOf(() -> NoiseCovariance.pairwise(Topologies.ring(4), 0, 1));
    assertTrue(
        singular.startsWith("the noise covariance is not positive definite, its smallest"),
        singular);
    assertEquals(
        "the variance is NaN: give a finite number above 0",
        messageOf(() -> NoiseCovariance.independent(3, Double.NaN)));
    assertEquals(
        "the noise covariance has 1.0 at (1, 0) and 0.5 across the diagonal: it must be symmetric",
        messageOf(() -> NoiseCovariance.joint(new double[][] {{2, 0.5}, {1, 2}})));
    assertEquals(
        "the noise covariance has the entry NaN: all must be finite",
        messageOf(() -> NoiseCovariance.joint(new double[][] {{Double.NaN}})));
    assertEquals(
        "the bound on the precision is -1.0: give a finite number above 0",
        messageOf(() -> NoiseCovariance.optimal(new double[][] {{1}}, -1)));
    assertTrue(
        messageOf(() -> NoiseCovariance.optimal(new double[][] {{1, 2}, {2, 1}}, 1))
            .startsWith("the objective has the eigenvalue -1.0"));
    NoiseCovariance ring = NoiseCovariance.pairwise(Topologies.ring(4), 1, 1);
    assertEquals(
        "node 4 does not exist: the nodes are 0 to 3",
        messageOf(() -> ring.worstPrecision(Adversary.colluding(Set.of(4)))));
    assertEquals(
        "a coalition of 4 of 4 nodes leaves nobody to protect: take a smaller one",
        messageOf(() -> ring.worstPrecision(Adversary.curiousNeighbours(4))));
    assertEquals(
        "nobody is left to protect: all 4 nodes collude or are gone",
        messageOf(() -> ring.worstPrecision(Adversary.colluding(Set.of(0, 1, 2, 3)))));
    assertEquals(
        "no node colludes: without one the adversary is an eavesdropper",
        messageOf(() -> Adversary.colluding(Set.of())));
    assertThrows(IllegalStateException.class, () -> NoiseCovariance.central(3, 1).without(1));
    assertTrue(
        messageOf(
                () ->
                    NoiseCovariance.pairwise(Topologies.ring(64), 1, 1)
                        .worstPrecision(Adversary.curiousNeighbours(10)))
            .contains("name the colluding nodes"));
    assertEquals(
        1 / 4.0, NoiseCovariance.independent(3, 4).worstPrecision(Adversary.curiousNeighbour()));
    assertEquals(
        2, NoiseCovariance.central(3, 2).worstPrecision(Adversary.curiousNeighbour()), 1e-15);
  }
}
