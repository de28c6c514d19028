package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** GIANT, DINGO, Network Newton and ESOM on quadratics, where what they do is known. */
class NewtonTest {
  private static final int N = 6;
  private static final int D = 4;
  private static final MixingMatrix RING = Algorithm.ring(N).lazy();

  private final Queue queue = Device.cpu().newQueue();
  private final Quadratic.Builder objectives = Quadratic.random(N, D, 5, 1, 3);

  @AfterEach
  void close() {
    queue.close();
  }

  private interface Body<T extends Optimizer> {
    void run(T optimizer, Network network);
  }

  private interface Factory<T> {
    T create(Problem problem, Network network, DeviceMatrix initial);
  }

  private <T extends Optimizer> void run(Quadratic.Builder f, Factory<T> factory, Body<T> body) {
    try (Quadratic problem = f.build(queue, DType.F64);
        Network network =
            Network.builder(MixingSchedule.constant(weights(f.minimisers().length))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F64);
        T optimizer = factory.create(problem, network, zero)) {
      body.run(optimizer, network);
    }
  }

  private static MixingMatrix weights(int n) {
    return n == N ? RING : MixingMatrix.uniform(n);
  }

  private static double[][] rows(DeviceMatrix m) {
    int cols = Math.toIntExact(m.cols());
    double[] flat = m.toDoubles();
    double[][] rows = new double[flat.length / cols][];
    Arrays.setAll(rows, r -> Arrays.copyOfRange(flat, r * cols, (r + 1) * cols));
    return rows;
  }

  private static void steps(Optimizer optimizer, int count) {
    for (int k = 0; k < count; k++) {
      optimizer.step();
    }
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  /** Gradient of node i. */
  private static double[] gradient(Quadratic.Builder f, int i, double[] x) {
    double[] g = new double[D];
    double[] h = f.curvatures()[i];
    double[] b = f.minimisers()[i];
    for (int r = 0; r < D; r++) {
      for (int c = 0; c < D; c++) {
        g[r] += h[r * D + c] * (x[c] - b[c]);
      }
    }
    return g;
  }

  private static double[] meanGradient(Quadratic.Builder f, double[] x) {
    double[] mean = new double[D];
    int n = f.minimisers().length;
    for (int i = 0; i < n; i++) {
      double[] g = gradient(f, i, x);
      Arrays.setAll(mean, c -> mean[c] + g[c] / n);
    }
    return mean;
  }

  /** Solves a x = b by elimination with pivots. */
  private static double[] solve(double[][] matrix, double[] right) {
    int n = right.length;
    double[][] a = Arrays.stream(matrix).map(double[]::clone).toArray(double[][]::new);
    double[] x = right.clone();
    for (int c = 0; c < n; c++) {
      int best = c;
      for (int r = c + 1; r < n; r++) {
        best = Math.abs(a[r][c]) > Math.abs(a[best][c]) ? r : best;
      }
      double[] row = a[c];
      a[c] = a[best];
      a[best] = row;
      double value = x[c];
      x[c] = x[best];
      x[best] = value;
      for (int r = 0; r < n; r++) {
        if (r != c) {
          double factor = a[r][c] / a[c][c];
          for (int k = c; k < n; k++) {
            a[r][k] -= factor * a[c][k];
          }
          x[r] -= factor * x[c];
        }
      }
    }
    for (int c = 0; c < n; c++) {
      x[c] /= a[c][c];
    }
    return x;
  }

  private static double[][] square(double[] rowMajor) {
    double[][] a = new double[D][];
    Arrays.setAll(a, r -> Arrays.copyOfRange(rowMajor, r * D, (r + 1) * D));
    return a;
  }

  /** All nodes with the Hessian of the first and minimisers of their own. */
  private Quadratic.Builder alike() {
    double[][] h = objectives.curvatures();
    Arrays.fill(h, h[0]);
    return Quadratic.of(h, objectives.minimisers());
  }

  private static Giant.Builder exact(Giant.Builder builder) {
    return builder.tolerance(1e-13);
  }

  @Test
  void equalHessiansTakeOneRound() {
    for (boolean sequential : new boolean[] {false, true}) {
      run(
          alike(),
          (p, w, x) -> exact(Giant.builder(p, w, x)).sequential(sequential).build(),
          (giant, network) -> {
            giant.step();
            assertEquals(1, giant.lastStep());
            assertArrayEquals(alike().optimum(), rows(giant.parameters())[3], 1e-11);
            // g and p to the root of the tree and back, and the values: 51, or two by themselves.
            long numbers = 2L * D + (sequential ? 2 : 51);
            assertEquals(2 * (N - 1) * numbers * 8, network.meter().bytes());
            assertEquals(sequential ? 4 : 3, network.meter().rounds());
          });
    }
    run(
        alike(),
        (p, w, x) -> Dingo.builder(p, w, x).tolerance(1e-13).build(),
        (dingo, network) -> {
          dingo.step();
          assertEquals(Dingo.Case.PSEUDO_INVERSES, dingo.lastCase());
          assertArrayEquals(alike().optimum(), rows(dingo.parameters())[3], 1e-11);
          // The first gradient, the answers and the gradient at the first candidate.
          assertEquals(2 * (N - 1) * 5L * D * 8, network.meter().bytes());
        });
  }

  /** Each node's Newton direction for the mean gradient, averaged. */
  @Test
  void theDirectionIsTheMeanOfLocalNewtonDirections() {
    run(
        objectives,
        (p, w, x) -> exact(Giant.builder(p, w, x)).build(),
        (giant, network) -> {
          for (int t = 0; t < 4; t++) {
            double[] before = rows(giant.parameters())[0];
            double[] g = meanGradient(objectives, before);
            double[] want = before.clone();
            giant.step();
            for (double[] h : objectives.curvatures()) {
              double[] p = solve(square(h), g);
              Arrays.setAll(want, c -> want[c] - giant.lastStep() * p[c] / N);
            }
            assertArrayEquals(want, rows(giant.parameters())[0], 1e-11);
          }
        });
  }

  /** Candidates one after the other or in one message: the same iterates. */
  @Test
  void bothLineSearchesTakeTheSameSteps() {
    double[][] ends = new double[2][];
    for (int k = 0; k < 2; k++) {
      int which = k;
      run(
          steep(),
          (p, w, x) -> Giant.builder(p, w, x).sequential(which == 1).build(),
          (giant, network) -> {
            giant.step();
            assertTrue(giant.lastStep() < 1, "the whole step is too long: " + giant.lastStep());
            steps(giant, 3);
            ends[which] = rows(giant.parameters())[0];
          });
    }
    assertArrayEquals(ends[0], ends[1]);
    for (int k = 0; k < 2; k++) {
      int which = k;
      run(
          steep(),
          (p, w, x) -> Dingo.builder(p, w, x).batched(which == 1).candidates(12).build(),
          (dingo, network) -> {
            steps(dingo, 4);
            ends[which] = rows(dingo.parameters())[0];
          });
    }
    assertArrayEquals(ends[0], ends[1]);
  }

  private static double meanValue(Quadratic.Builder f, double[] x) {
    double sum = 0;
    for (int i = 0; i < N; i++) {
      double[] away = x.clone();
      double[] b = f.minimisers()[i];
      Arrays.setAll(away, c -> away[c] - b[c]);
      sum += dot(away, gradient(f, i, x)) / 2;
    }
    return sum / N;
  }

  /** Of the candidates the largest whose decrease is the share of what the slope promises. */
  @Test
  void theStepIsTheLargestThatDecreasesEnough() {
    double share = 0.4;
    Quadratic.Builder f = steep();
    run(
        f,
        (p, w, x) -> exact(Giant.builder(p, w, x)).decrease(share).build(),
        (giant, network) -> {
          double[] x = rows(giant.parameters())[0];
          giant.step();
          double[] next = rows(giant.parameters())[0];
          double taken = giant.lastStep();
          double[] direction = new double[D];
          Arrays.setAll(direction, c -> (next[c] - x[c]) / taken);
          double slope = dot(direction, meanGradient(f, x));
          assertTrue(slope < 0 && taken < 1, slope + ", " + taken);
          for (double t = 1; t >= taken; t /= 2) {
            double step = t;
            double[] there = new double[D];
            Arrays.setAll(there, c -> x[c] + step * direction[c]);
            boolean passes = meanValue(f, there) <= meanValue(f, x) + share * t * slope;
            assertEquals(t == taken, passes, "step " + t);
          }
        });
  }

  /** One node with little curvature: its Newton direction is far too long for the others. */
  private Quadratic.Builder steep() {
    double[][] h = objectives.curvatures();
    Arrays.setAll(h[0], k -> h[0][k] * 1e-3);
    return Quadratic.of(h, objectives.minimisers());
  }

  @Test
  void aHessianThatIsNotPositiveDefiniteIsNamed() {
    double[][] h = objectives.curvatures();
    Arrays.setAll(h[4], k -> -h[4][k]);
    Quadratic.Builder bad = Quadratic.of(h, objectives.minimisers());
    run(
        bad,
        (p, w, x) -> Giant.builder(p, w, x).build(),
        (giant, network) -> {
          var e = assertThrows(ArithmeticException.class, giant::step);
          assertTrue(e.getMessage().contains("node 4"), e.getMessage());
          assertArrayEquals(new double[D], rows(giant.parameters())[0]);
          assertEquals(0, giant.round());
        });
    run(
        bad,
        (p, w, x) -> Esom.builder(p, w, x).penalty(0.1).build(),
        (esom, network) -> {
          var e = assertThrows(ArithmeticException.class, esom::step);
          assertTrue(e.getMessage().contains("node 4"), e.getMessage());
        });
  }

  /** Objectives that are not convex: all three cases, and the gradient's norm falls in all. */
  @Test
  void dingoReducesTheGradientInAllCases() {
    double[][] h = objectives.curvatures();
    for (int i = 0; i < N; i += 3) {
      double[] own = h[i];
      for (int c = 0; c < D; c++) {
        own[c * D + c] -= 1.5;
      }
    }
    Quadratic.Builder indefinite = Quadratic.of(h, objectives.minimisers());
    // A little negative curvature makes a pseudo-inverse large, and phi does not.
    Arrays.setAll(h[1], k -> -1e-3 * h[1][k]);
    Quadratic.Builder nearlySingular = Quadratic.of(h, objectives.minimisers());
    boolean[] seen = new boolean[3];
    for (double[] options : new double[][] {{1e-4, 1e-6}, {1e-4, 1}, {0.5, 1}, {50, 1}}) {
      Quadratic.Builder f = options[1] < 1 ? indefinite : nearlySingular;
      run(
          f,
          (p, w, x) ->
              Dingo.builder(p, w, x)
                  .descent(options[0])
                  .regularisation(options[1])
                  .tolerance(1e-12)
                  .build(),
          (dingo, network) -> {
            double[] at = rows(dingo.parameters())[0];
            double before = dot(meanGradient(f, at), meanGradient(f, at));
            for (int t = 0; t < 12; t++) {
              double[] g = meanGradient(f, at);
              dingo.step();
              double[] next = rows(dingo.parameters())[0];
              double now = dot(meanGradient(f, next), meanGradient(f, next));
              assertTrue(now <= before * (1 + 1e-12), dingo.lastCase() + ": " + now);
              seen[dingo.lastCase().ordinal()] = true;
              if (dingo.lastStep() > 0) {
                double[] direction = new double[D];
                for (int c = 0; c < D; c++) {
                  direction[c] = (next[c] - at[c]) / dingo.lastStep();
                }
                double[] expected = direction(f, g, options[0], options[1], dingo.lastCase());
                double size = Math.sqrt(dot(expected, expected));
                assertArrayEquals(expected, direction, 1e-8 * size + 1e-9, "" + dingo.lastCase());
              }
              at = next;
              before = now;
            }
          });
    }
    assertArrayEquals(new boolean[] {true, true, true}, seen, "all three cases were met");
  }

  /** The direction of a case by dense algebra. */
  private static double[] direction(
      Quadratic.Builder f, double[] g, double theta, double phi, Dingo.Case which) {
    double[][][] h =
        Arrays.stream(f.curvatures()).map(NewtonTest::square).toArray(double[][][]::new);
    double[] mean = new double[D];
    for (double[][] a : h) {
      for (int r = 0; r < D; r++) {
        mean[r] += dot(a[r], g) / h.length;
      }
    }
    double[] p = new double[D];
    for (double[][] a : h) {
      double[][] stacked = new double[D][D];
      double[] image = new double[D];
      for (int r = 0; r < D; r++) {
        image[r] = dot(a[r], g);
        for (int c = 0; c < D; c++) {
          stacked[r][c] = dot(a[r], a[c]) + (r == c ? phi * phi : 0);
        }
      }
      double[] own = which == Dingo.Case.PSEUDO_INVERSES ? solve(a, g) : solve(stacked, image);
      double lambda = 0;
      double[] q = solve(stacked, mean);
      if (which == Dingo.Case.CORRECTED) {
        lambda = Math.max(0, (theta * dot(g, g) - dot(own, mean)) / dot(q, mean));
      }
      for (int c = 0; c < D; c++) {
        p[c] -= (own[c] + lambda * q[c]) / h.length;
      }
    }
    return p;
  }

  @Test
  void dingoIsGiantWhereAllStepsAreWhole() {
    double[][] ends = new double[2][];
    Quadratic.Builder mild = Quadratic.random(N, D, 1.3, 1, 5);
    run(
        mild,
        (p, w, x) -> exact(Giant.builder(p, w, x)).build(),
        (giant, network) -> {
          for (int t = 0; t < 5; t++) {
            giant.step();
            assertEquals(1, giant.lastStep());
          }
          ends[0] = rows(giant.parameters())[0];
        });
    run(
        mild,
        (p, w, x) -> Dingo.builder(p, w, x).tolerance(1e-13).build(),
        (dingo, network) -> {
          for (int t = 0; t < 5; t++) {
            dingo.step();
            assertEquals(1, dingo.lastStep());
            assertEquals(Dingo.Case.PSEUDO_INVERSES, dingo.lastCase());
          }
          ends[1] = rows(dingo.parameters())[0];
        });
    assertArrayEquals(ends[0], ends[1], 1e-10);
  }

  /** Hessian of the penalised problem on all rows, and its gradient at zero. */
  private double[][] penalised(double alpha) {
    double[][] w = RING.toDense();
    double[][] h = new double[N * D][N * D];
    for (int i = 0; i < N; i++) {
      for (int j = 0; j < N; j++) {
        for (int c = 0; c < D; c++) {
          h[i * D + c][j * D + c] += (i == j ? 1 : 0) - w[i][j];
        }
      }
      for (int r = 0; r < D; r++) {
        for (int c = 0; c < D; c++) {
          h[i * D + r][i * D + c] += alpha * objectives.curvatures()[i][r * D + c];
        }
      }
    }
    return h;
  }

  private double[] gradientAtZero(double alpha) {
    double[] g = new double[N * D];
    for (int i = 0; i < N; i++) {
      double[] own = gradient(objectives, i, new double[D]);
      for (int c = 0; c < D; c++) {
        g[i * D + c] = alpha * own[c];
      }
    }
    return g;
  }

  @Test
  void manyTermsAreNewtonOnThePenalisedProblem() {
    double alpha = 0.3;
    double[] newton = solve(penalised(alpha), gradientAtZero(alpha));
    double before = Double.POSITIVE_INFINITY;
    for (int terms : new int[] {0, 1, 3, 10, 400}) {
      double[] error = new double[1];
      run(
          objectives,
          (p, w, x) ->
              NetworkNewton.builder(p, w, x).penalty(alpha).terms(terms).tolerance(1e-14).build(),
          (nn, network) -> {
            nn.step();
            double[] x = nn.parameters().toDoubles();
            for (int k = 0; k < x.length; k++) {
              error[0] = Math.max(error[0], Math.abs(x[k] + newton[k]));
            }
            assertEquals((terms + 1) * 2L * N * D * 8, network.meter().bytes());
          });
      assertTrue(error[0] < before, terms + " terms: " + error[0] + ", before " + before);
      before = error[0];
    }
    assertTrue(before < 1e-12, "400 terms: " + before);
  }

  @Test
  void networkNewtonEndsWhereDecentralizedSgdEnds() {
    double alpha = 0.05;
    double[][][] ends = new double[2][][];
    run(
        objectives,
        (p, w, x) -> NetworkNewton.builder(p, w, x).penalty(alpha).build(),
        (nn, network) -> {
          steps(nn, 150);
          ends[0] = rows(nn.parameters());
        });
    run(
        objectives,
        (p, w, x) ->
            DecentralizedSgd.builder(p, w, x)
                .stepSize(alpha)
                .form(DecentralizedSgd.Form.CTA)
                .build(),
        (dsgd, network) -> {
          steps(dsgd, 1500);
          ends[1] = rows(dsgd.parameters());
        });
    for (int i = 0; i < N; i++) {
      assertArrayEquals(ends[1][i], ends[0][i], 1e-12);
    }
  }

  /** Stages of smaller alpha come nearer to the optimum. */
  @Test
  void adaptiveNetworkNewtonComesNearer() {
    double[] errors = new double[2];
    for (int k = 0; k < 2; k++) {
      int which = k;
      run(
          objectives,
          (p, w, x) -> {
            NetworkNewton.Builder builder = NetworkNewton.builder(p, w, x).penalty(0.1).terms(2);
            return (which == 0 ? builder : builder.shrink(0.5, 1e-4)).build();
          },
          (nn, network) -> {
            steps(nn, 400);
            double[] x = rows(nn.parameters())[0];
            double[] optimum = objectives.optimum();
            for (int c = 0; c < D; c++) {
              errors[which] = Math.max(errors[which], Math.abs(x[c] - optimum[c]));
            }
            assertEquals(which == 0, nn.penalty() == 0.1);
          });
    }
    assertTrue(errors[1] < errors[0] / 5, Arrays.toString(errors));
  }

  /** f_i = 0. */
  private record Nothing() implements Problem, HessianVector {
    @Override
    public Layout layout() {
      return Layout.flat(D);
    }

    @Override
    public int nodes() {
      return N;
    }

    @Override
    public int firstNode() {
      return 0;
    }

    @Override
    public int localNodes() {
      return N;
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      g.fill(0);
    }

    @Override
    public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
      out.fill(0);
    }

    @Override
    public void close() {}
  }

  /** Objectives that are all zero: only consensus is left, and the mean stays. */
  @Test
  void withoutObjectivesNetworkNewtonAverages() {
    try (Problem problem = new Nothing();
        Network network = Network.builder(MixingSchedule.constant(RING)).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, N, D, DType.F64)) {
      double[] values = new double[N * D];
      Arrays.setAll(values, k -> Math.sin(k));
      start.upload(values);
      double[] mean = new double[D];
      for (int k = 0; k < values.length; k++) {
        mean[k % D] += values[k] / N;
      }
      try (NetworkNewton nn =
          NetworkNewton.builder(problem, network, start).tolerance(1e-14).build()) {
        steps(nn, 400);
        for (double[] row : rows(nn.parameters())) {
          assertArrayEquals(mean, row, 1e-10);
        }
      }
    }
  }

  /** Rounds by dense algebra, with every constant away from 1. */
  @Test
  void esomFollowsItsFormulas() {
    double alpha = 0.7;
    double epsilon = 0.3;
    double[][] weights = RING.toDense();
    for (int terms : new int[] {0, 2}) {
      run(
          objectives,
          (p, w, x) ->
              Esom.builder(p, w, x)
                  .terms(terms)
                  .penalty(alpha)
                  .proximal(epsilon)
                  .tolerance(1e-14)
                  .build(),
          (esom, network) -> {
            double[][] x = new double[N][D];
            double[][] q = new double[N][D];
            for (int t = 0; t < 4; t++) {
              double[][] g = apart(weights, x, alpha);
              for (int i = 0; i < N; i++) {
                double[] local = gradient(objectives, i, x[i]);
                for (int c = 0; c < D; c++) {
                  g[i][c] += local[c] + q[i][c];
                }
              }
              double[][] d = new double[N][D];
              for (int k = 0; k <= terms; k++) {
                double[][] next = new double[N][];
                for (int i = 0; i < N; i++) {
                  double[][] block = square(objectives.curvatures()[i]);
                  double[] right = new double[D];
                  for (int c = 0; c < D; c++) {
                    block[c][c] += epsilon + 2 * alpha * (1 - weights[i][i]);
                    right[c] = alpha * (1 - weights[i][i]) * d[i][c] - g[i][c];
                    for (int j = 0; j < N; j++) {
                      right[c] += j == i ? 0 : alpha * weights[i][j] * d[j][c];
                    }
                  }
                  next[i] = solve(block, right);
                }
                d = next;
              }
              for (int i = 0; i < N; i++) {
                for (int c = 0; c < D; c++) {
                  x[i][c] += d[i][c];
                }
              }
              double[][] after = apart(weights, x, alpha);
              esom.step();
              double[][] parameters = rows(esom.parameters());
              double[][] duals = rows(esom.duals());
              for (int i = 0; i < N; i++) {
                for (int c = 0; c < D; c++) {
                  q[i][c] += after[i][c];
                }
                assertArrayEquals(x[i], parameters[i], 1e-11, "node " + i + ", round " + t);
                assertArrayEquals(q[i], duals[i], 1e-11, "node " + i + ", round " + t);
              }
            }
          });
    }
  }

  /** alpha (x_i - sum_j w_ij x_j). */
  private static double[][] apart(double[][] w, double[][] x, double alpha) {
    double[][] out = new double[N][D];
    for (int i = 0; i < N; i++) {
      for (int c = 0; c < D; c++) {
        out[i][c] = alpha * x[i][c];
        for (int j = 0; j < N; j++) {
          out[i][c] -= alpha * w[i][j] * x[j][c];
        }
      }
    }
    return out;
  }

  @Test
  void esomFindsTheOptimumAndItsDualsSumToZero() {
    for (int terms : new int[] {0, 2}) {
      run(
          objectives,
          (p, w, x) -> Esom.builder(p, w, x).terms(terms).tolerance(1e-12).build(),
          (esom, network) -> {
            for (int t = 0; t < 700; t++) {
              esom.step();
              double[] sum = new double[D];
              for (double[] q : rows(esom.duals())) {
                Arrays.setAll(sum, c -> sum[c] + q[c]);
              }
              assertArrayEquals(new double[D], sum, 1e-12, "round " + t);
            }
            double[][] x = rows(esom.parameters());
            double[][] q = rows(esom.duals());
            for (int i = 0; i < N; i++) {
              assertArrayEquals(objectives.optimum(), x[i], 1e-9, "node " + i);
              double[] g = gradient(objectives, i, x[i]);
              Arrays.setAll(g, c -> -g[c]);
              assertArrayEquals(g, q[i], 1e-8, "node " + i);
            }
            assertEquals((700L * (terms + 1) + 1) * 2 * N * D * 8, network.meter().bytes());
          });
    }
  }

  @Test
  void oneNodeIsNewton() {
    Quadratic.Builder one = Quadratic.random(1, D, 5, 1, 3);
    run(
        one,
        (p, w, x) -> exact(Giant.builder(p, w, x)).build(),
        (giant, network) -> {
          giant.step();
          assertArrayEquals(one.optimum(), rows(giant.parameters())[0], 1e-12);
        });
  }

  /** The update of B satisfies its secant equation, on the neighbourhood of each node. */
  @Test
  void everyUpdateOfDecentralizedBfgsKeepsItsSecantEquation() {
    double alpha = 0.1;
    double gamma = 0.05;
    run(
        objectives,
        (p, w, x) ->
            DecentralizedBfgs.builder(p, w, x)
                .penalty(alpha)
                .regularisation(gamma)
                .stepSize(0.1)
                .build(),
        (dbfgs, network) -> {
          double[][] before = rows(dbfgs.parameters());
          dbfgs.step();
          for (int t = 0; t < 6; t++) {
            double[][] x = rows(dbfgs.parameters());
            dbfgs.step();
            for (int i = 0; i < N; i++) {
              int[] members = {(i + N - 1) % N, i, (i + 1) % N};
              Arrays.sort(members);
              double[] v = new double[3 * D];
              double[] want = new double[3 * D];
              for (int k = 0; k < 3; k++) {
                double[] now = penalisedGradient(members[k], x, alpha);
                double[] old = penalisedGradient(members[k], before, alpha);
                for (int c = 0; c < D; c++) {
                  v[k * D + c] = (x[members[k]][c] - before[members[k]][c]) / 3;
                  want[k * D + c] = now[c] - old[c];
                }
              }
              // B v = r + gamma v = the change of the gradient.
              double[] b = dbfgs.curvature(i);
              for (int r = 0; r < 3 * D; r++) {
                double sum = 0;
                for (int c = 0; c < 3 * D; c++) {
                  sum += b[r * 3 * D + c] * v[c];
                }
                assertEquals(want[r], sum, 1e-10, "node " + i + ", round " + t);
              }
            }
            before = x;
          }
          // x, g and the blocks: d numbers each to both neighbours.
          assertEquals(7L * 3 * 2 * N * D * 8, network.meter().bytes());
        });
  }

  private double[] penalisedGradient(int i, double[][] x, double alpha) {
    double[] g = gradient(objectives, i, x[i]);
    double[][] w = RING.toDense();
    for (int c = 0; c < D; c++) {
      g[c] = alpha * g[c] + x[i][c];
      for (int j = 0; j < N; j++) {
        g[c] -= w[i][j] * x[j][c];
      }
    }
    return g;
  }

  /** Alone it is regularised BFGS with a fixed step, of dense algebra. */
  @Test
  void oneNodeIsRegularisedBfgs() {
    Quadratic.Builder one = Quadratic.random(1, D, 5, 1, 3);
    double gamma = 0.02;
    double share = 0.1;
    double step = 0.7;
    run(
        one,
        (p, w, x) ->
            DecentralizedBfgs.builder(p, w, x)
                .penalty(1)
                .regularisation(gamma)
                .mixture(share)
                .stepSize(step)
                .decay(20)
                .build(),
        (dbfgs, network) -> {
          double[][] b = new double[D][D];
          double[] x = new double[D];
          double[] g = gradient(one, 0, x);
          for (int c = 0; c < D; c++) {
            b[c][c] = 1;
          }
          for (int t = 0; t < 12; t++) {
            double[] p = solve(b, g);
            double[] next = new double[D];
            for (int c = 0; c < D; c++) {
              next[c] = x[c] - step * 20 / (20 + t) * (p[c] + share * g[c]);
            }
            dbfgs.step();
            assertArrayEquals(next, rows(dbfgs.parameters())[0], 1e-9, "round " + t);
            double[] now = gradient(one, 0, next);
            double[] v = new double[D];
            double[] r = new double[D];
            double[] image = new double[D];
            for (int c = 0; c < D; c++) {
              v[c] = next[c] - x[c];
              r[c] = now[c] - g[c] - gamma * v[c];
            }
            for (int c = 0; c < D; c++) {
              image[c] = dot(b[c], v);
            }
            for (int k = 0; k < D; k++) {
              for (int c = 0; c < D; c++) {
                b[k][c] +=
                    r[k] * r[c] / dot(r, v)
                        - image[k] * image[c] / dot(v, image)
                        + (k == c ? gamma : 0);
              }
            }
            x = next;
            g = now;
          }
        });
  }

  /** It ends where Network Newton ends, from gradients alone. */
  @Test
  void decentralizedBfgsFindsThePenalisedOptimum() {
    double alpha = 0.1;
    double[] newton = solve(penalised(alpha), gradientAtZero(alpha));
    run(
        objectives,
        (p, w, x) -> DecentralizedBfgs.builder(p, w, x).penalty(alpha).stepSize(0.1).build(),
        (dbfgs, network) -> {
          steps(dbfgs, 1500);
          double[] x = dbfgs.parameters().toDoubles();
          for (int k = 0; k < x.length; k++) {
            assertEquals(-newton[k], x[k], 1e-8);
          }
        });
  }

  @Test
  void whatDoesNotFitIsRefused() {
    try (Quadratic problem = objectives.build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.constant(RING)).build();
        Network peers = Network.builder(MixingSchedule.onePeerExponential(N)).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F64)) {
      Problem plain = new FixedGradient(new double[N][D]);
      for (Factory<? extends Optimizer> factory :
          Arrays.<Factory<? extends Optimizer>>asList(
              (p, w, x) -> Giant.builder(p, w, x).build(),
              (p, w, x) -> Dingo.builder(p, w, x).build(),
              (p, w, x) -> NetworkNewton.builder(p, w, x).build(),
              (p, w, x) -> Esom.builder(p, w, x).build())) {
        var e =
            assertThrows(
                IllegalArgumentException.class, () -> factory.create(plain, network, zero));
        assertTrue(e.getMessage().contains("HessianVector"), e.getMessage());
      }
      assertThrows(
          IllegalArgumentException.class,
          () -> NetworkNewton.builder(problem, peers, zero).build());
      assertThrows(
          IllegalArgumentException.class, () -> Esom.builder(problem, peers, zero).build());
      var giant = Giant.builder(problem, network, zero);
      assertThrows(IllegalArgumentException.class, () -> giant.candidates(0));
      assertThrows(IllegalArgumentException.class, () -> giant.decrease(1));
      assertThrows(IllegalArgumentException.class, () -> giant.tolerance(-1));
      assertThrows(IllegalArgumentException.class, () -> giant.solverIterations(0));
      var dingo = Dingo.builder(problem, network, zero);
      assertThrows(IllegalArgumentException.class, () -> dingo.descent(0));
      assertThrows(IllegalArgumentException.class, () -> dingo.regularisation(-1));
      var nn = NetworkNewton.builder(problem, network, zero);
      assertThrows(IllegalArgumentException.class, () -> nn.terms(-1));
      assertThrows(IllegalArgumentException.class, () -> nn.penalty(0));
      assertThrows(IllegalArgumentException.class, () -> nn.shrink(1, 1));
      assertThrows(IllegalArgumentException.class, () -> nn.stepSize(Double.NaN));
      var esom = Esom.builder(problem, network, zero);
      assertThrows(IllegalArgumentException.class, () -> esom.terms(-1));
      assertThrows(IllegalArgumentException.class, () -> esom.penalty(-1));
      assertThrows(IllegalArgumentException.class, () -> esom.proximal(-1));
    }
  }
}
