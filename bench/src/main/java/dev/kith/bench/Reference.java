package dev.kith.bench;

import dev.kith.random.Stream;
import java.util.Optional;
import java.util.stream.LongStream;

/** What must come out of a workload, in f64, at a few elements. */
final class Reference {
  private static final int SAMPLES = 61;

  private final Workload workload;
  private final Weights weights;
  private Optional<double[]> sizes = Optional.empty();
  private PowerSgdReference powerSgd;
  private PolarReference polar;

  Reference(Workload workload) {
    this.workload = workload;
    this.weights = Weights.of(workload);
  }

  /**
   * Indices into the result, which is row-major: all of a small one, else spread over the whole of
   * it.
   */
  static long[] samples(Workload workload) {
    long size = resultSize(workload);
    if (size <= SAMPLES) {
      return LongStream.range(0, size).toArray();
    }
    return LongStream.range(0, SAMPLES).map(k -> k * (size - 1) / (SAMPLES - 1)).toArray();
  }

  private static long resultSize(Workload workload) {
    return switch (workload.operation()) {
      case ROWNORM -> workload.rows();
      case CONSENSUS -> 1;
      case GRAM -> (long) workload.rows() * workload.rows();
      case DSGT_RING -> 2 * workload.elements();
      case TOPK, TOPK_EF -> workload.sent();
      case SIGN_MAJORITY -> workload.cols();
      default -> workload.elements();
    };
  }

  /**
   * Compares a task that has run once.
   *
   * @throws IllegalStateException if a sample differs by more than rounding explains
   */
  void check(String implementation, Implementation.Task task) {
    for (long index : samples(workload)) {
      check(implementation, index, task.result(index));
    }
  }

  void check(String implementation, long index, double found) {
    if (workload.operation() == Operation.NORMAL && !implementation.equals("kith")) {
      checkOwnNormal(implementation, index, found);
      return;
    }
    double expected = at(index);
    if (!(Math.abs(found - expected) <= tolerance(index, expected)) || !isLevel(index, found)) {
      throw wrong(implementation, index, found, expected);
    }
  }

  /**
   * Compares an element of a peer, which may add up in f32 one after the other.
   *
   * @return the relative error
   * @throws IllegalStateException if it is larger than such a sum explains
   */
  double checkPeer(String peer, long index, double found) {
    if (workload.operation() == Operation.NORMAL) {
      checkOwnNormal(peer, index, found);
      return 0;
    }
    double expected = at(index);
    double error = Math.abs(found - expected);
    boolean sums =
        switch (workload.operation()) {
          case ROWNORM, CONSENSUS, GRAM -> true;
          default -> false;
        };
    // n terms added one after the other are off by n roundings at most.
    double serial = sums ? 0x1p-24 * workload.cols() * Math.abs(expected) : 0;
    if (!(error <= Math.max(serial, tolerance(index, expected))) || !isLevel(index, found)) {
      throw wrong(peer, index, found, expected);
    }
    return expected == 0 ? error : error / Math.abs(expected);
  }

  /**
   * Peers have generators of their own: a normal that was drawn is not exactly 0, and beyond 9 with
   * a probability of 1e-18.
   */
  private void checkOwnNormal(String peer, long index, double found) {
    if (!(Math.abs(found) < 9) || found == 0) {
      throw new IllegalStateException(
          "%s computes %s wrongly: element %d is %s and must be a normal"
              .formatted(peer, workload.name(), index, found));
    }
  }

  private IllegalStateException wrong(
      String implementation, long index, double found, double expected) {
    return new IllegalStateException(
        "%s computes %s wrongly: element %d is %s and must be %s"
            .formatted(implementation, workload.name(), index, found, expected));
  }

  /**
   * Inputs are at most 1/2 and weights sum to 1, so the sum of 64 rounded terms is within 64 units
   * in the last place of f32 at 1; a sum of cols terms in any order has an error that grows like
   * sqrt(cols). Implementations of Adam add epsilon to sqrt(v) before or after they correct its
   * bias.
   */
  private double tolerance(long index, double expected) {
    double eps = 0x1p-23;
    double root = Math.sqrt((double) workload.cols());
    return switch (workload.operation()) {
      case CONVERT_BF16 -> 0x1p-8 * Math.abs(expected);
      case ROWNORM, CONSENSUS, GRAM -> eps * (16 + root) * Math.max(Math.abs(expected), root);
      case MULTIPLY -> eps * (16 + root) * root;
      case NEWTON_SCHULZ -> NewtonSchulzReference.tolerance(workload.cols());
      // No element is larger than 1/2, and codes are rounded to the nearest of 127 steps.
      case INT8_QUANTIZE, INT8_ACCUMULATE, ROUND_INT8_RING -> 0.5 / 127 / 2 + 64 * eps;
      // Rounded at random to one of the two levels beside it.
      case QSGD4 -> levelWidth(index) * (1 + 64 * eps);
      case PHILOX, CHACHA20 -> 0;
      case NORMAL -> 2 * Math.ulp((float) expected);
      // Sums of at most 64 terms, as below, of normals up to 8 instead of elements up to 1/2.
      case CORN, PAIRWISE_RING, PERTURB16_GAUSSIAN, PERTURB16_RADEMACHER -> 16 * 64 * eps;
      case ADAMW, ADAMW_BF16GRAD ->
          64 * eps
              + Workload.STEP_SIZE
                  * Workload.EPSILON
                  / (Math.sqrt(1 - Workload.BETA2)
                      * Math.abs(TestData.at(TestData.GRADIENT, index)));
      // Quotients of few roundings, which may be large.
      case ADAHESSIAN, OASIS -> 64 * eps * Math.max(1, Math.abs(expected));
      default -> 64 * eps;
    };
  }

  /** Between two levels of {@link Operation#QSGD4} in the block of an element. */
  private double levelWidth(long index) {
    long col = index % workload.cols();
    long begin = col - col % Coding.QSGD_BLOCK;
    double squares = 0;
    for (long c = begin; c < Math.min(workload.cols(), begin + Coding.QSGD_BLOCK); c++) {
      double x = x((int) (index / workload.cols()), c);
      squares += x * x;
    }
    return Math.sqrt(squares) / Coding.QSGD_LEVELS;
  }

  /** Whether an element is a level, of what has levels. */
  private boolean isLevel(long index, double found) {
    if (workload.operation() != Operation.QSGD4) {
      return true;
    }
    double level = found / levelWidth(index);
    return Math.abs(level - Math.rint(level)) <= 64 * 0x1p-23;
  }

  /** The element of the result. */
  double at(long index) {
    long cols = workload.cols();
    int row = (int) (index / cols);
    long col = index % cols;
    float eta = Workload.STEP_SIZE;
    return switch (workload.operation()) {
      case MIX_RING, MIX_ER8, MIX_DENSE, MIX_REGULAR4 -> weights.apply(row, j -> x(j, col));
      case ATC_RING -> weights.apply(row, j -> x(j, col) - eta * value(TestData.GRADIENT, j, col));
      case DSGT_RING ->
          row < workload.rows()
              ? weights.apply(row, j -> x(j, col) - eta * value(TestData.TRACKER, j, col))
              : weights.apply(
                  row - workload.rows(),
                  j ->
                      value(TestData.TRACKER, j, col)
                          + value(TestData.GRADIENT, j, col)
                          - value(TestData.OLD_GRADIENT, j, col));
      case CALL -> 0.5 * x(row, col);
      case ROWNORM -> Math.sqrt(dot((int) index, (int) index));
      case CONSENSUS -> consensus();
      case GRAM -> dot((int) (index / workload.rows()), (int) (index % workload.rows()));
      case ADAMW, ADAMW_BF16GRAD -> {
        // The first step from zero state: m / (1 - beta1) = g, sqrt(v / (1 - beta2)) = |g|.
        double g = value(TestData.GRADIENT, row, col);
        yield x(row, col) * (1 - eta * Workload.WEIGHT_DECAY)
            - eta * g / (Math.abs(g) + Workload.EPSILON);
      }
      case ADAHESSIAN ->
          // The first step from zero state, as for AdamW.
          x(row, col)
              - eta
                  * value(TestData.GRADIENT, row, col)
                  / (Math.abs(value(TestData.TRACKER, row, col))
                      + CurvaturePlans.ADAHESSIAN_EPSILON);
      case SOPHIA -> {
        double m = (1 - (double) Workload.BETA1) * value(TestData.GRADIENT, row, col);
        double h = CurvaturePlans.SOPHIA_SCALE * value(TestData.TRACKER, row, col);
        double u = m / Math.max(h, CurvaturePlans.SOPHIA_EPSILON);
        yield x(row, col) - eta * Math.max(-1, Math.min(1, u));
      }
      case OASIS -> {
        // The first average is of signs times the product: its size does not depend on them.
        double d = (1 - (double) Workload.BETA1) * Math.abs(value(TestData.TRACKER, row, col));
        yield x(row, col)
            - eta * value(TestData.GRADIENT, row, col) / Math.max(d, CurvaturePlans.ALPHA);
      }
      case CG -> x(row, col) + eta * value(TestData.GRADIENT, row, col);
      // Steps along the gradient, which turns around: half of it leads to its zero.
      case LBFGS_M10 -> -0.5 * value(TestData.GRADIENT, row, col);
      case HEAVY_BALL -> x(row, col) - eta * value(TestData.GRADIENT, row, col);
      case NEWTON_SCHULZ -> NewtonSchulzReference.at(workload.rows(), workload.cols(), row, col);
      case MULTIPLY -> {
        double sum = 0;
        for (int k = 0; k < cols; k++) {
          sum += x(row, k) * value(TestData.GRADIENT, k, col);
        }
        yield sum;
      }
      case TOPK, TOPK_EF -> sizes()[(int) index];
      case POWERSGD_R4 -> {
        if (powerSgd == null) {
          powerSgd = new PowerSgdReference(workload);
        }
        yield powerSgd.at(index);
      }
      case POLAR -> {
        if (polar == null) {
          polar = new PolarReference(workload);
        }
        yield polar.at(row, col);
      }
      case SOAP -> SoapPlan.at(workload, row, col, x(row, col));
      case CONVERT_BF16 -> x(row, col);
      case GATHER -> x(shuffled(row, workload.rows()), col);
      case INT8_QUANTIZE, QSGD4 -> x(row, col);
      case INT8_ACCUMULATE -> x(row, col) + value(TestData.GRADIENT, row, col);
      case SIGN_PACK -> x(row, col) >= 0 ? 1 : -1;
      case SIGN_MAJORITY -> {
        int ones = 0;
        for (int i = 0; i < workload.rows(); i++) {
          ones += x(i, index) >= 0 ? 1 : 0;
        }
        yield 2 * ones >= workload.rows() ? 1 : -1;
      }
      case ROUND_INT8_RING -> weights.apply(row, j -> x(j, col));
      case PHILOX -> NoiseReference.philox(Drawing.SEED, Stream.NODE_NOISE, row, col);
      case CHACHA20 -> NoiseReference.chacha(Drawing.secret(), Stream.NODE_NOISE, row, col);
      case NORMAL -> NoiseReference.normal(Drawing.SEED, Stream.NODE_NOISE, row, col);
      case CORN ->
          x(row, col)
              + weights.apply(
                  row, j -> NoiseReference.normal(Drawing.SEED, Stream.GROUP_NOISE, j, col));
      case PAIRWISE_RING ->
          weights.apply(
              row, j -> x(j, col) - eta * value(TestData.GRADIENT, j, col) + edges(j, col));
      case PERTURB16_GAUSSIAN, PERTURB16_RADEMACHER -> x(row, col) + perturbation(col);
    };
  }

  /** The noise of node j: that of the edge to the next node less that of the one before. */
  private double edges(int j, long col) {
    int n = workload.rows();
    double next = NoiseReference.normal(Drawing.SEED, Stream.EDGE_NOISE, j, col);
    double before =
        NoiseReference.normal(Drawing.SEED, Stream.EDGE_NOISE, Math.floorMod(j - 1, n), col);
    return Workload.NOISE_SCALE * (next - before);
  }

  private double perturbation(long col) {
    double sum = 0;
    for (int k = 0; k < Drawing.DIRECTIONS; k++) {
      long seed = Drawing.seed(k);
      double z =
          workload.operation() == Operation.PERTURB16_GAUSSIAN
              ? NoiseReference.normal(seed, Stream.PERTURBATION, 0, col)
              : NoiseReference.sign(seed, Stream.PERTURBATION, 0, col);
      sum += Workload.STEP_SIZE * Drawing.coefficient(k) * z;
    }
    return sum;
  }

  /**
   * The row that {@link Operation#GATHER} puts in a place: a fixed permutation, a step coprime to
   * the number of rows.
   */
  static int shuffled(int row, int rows) {
    int step = Math.max(1, (int) (rows * 0.618));
    while (gcd(step, rows) != 1) {
      step++;
    }
    return (int) ((long) row * step % rows);
  }

  private static int gcd(int a, int b) {
    return b == 0 ? a : gcd(b, a % b);
  }

  /** The sizes of a row's elements, the largest first, as many as are sent. */
  private double[] sizes() {
    if (sizes.isEmpty()) {
      // Elements are multiples of 2^-24 up to 1/2, so that counting sorts them.
      int[] counts = new int[(1 << 23) + 1];
      for (long c = 0; c < workload.cols(); c++) {
        counts[(int) Math.abs(x(0, c) * 0x1p24)]++;
      }
      double[] largest = new double[workload.sent()];
      int at = 0;
      for (int size = counts.length - 1; at < largest.length; size--) {
        for (int i = 0; i < counts[size] && at < largest.length; i++) {
          largest[at++] = size * 0x1p-24;
        }
      }
      sizes = Optional.of(largest);
    }
    return sizes.get();
  }

  private double x(int row, long col) {
    return value(TestData.X, row, col);
  }

  private double value(int stream, int row, long col) {
    return TestData.at(stream, row * workload.cols() + col);
  }

  private double dot(int i, int j) {
    double sum = 0;
    for (long c = 0; c < workload.cols(); c++) {
      sum += x(i, c) * x(j, c);
    }
    return sum;
  }

  private double consensus() {
    double sum = 0;
    for (long c = 0; c < workload.cols(); c++) {
      double mean = 0;
      for (int i = 0; i < workload.rows(); i++) {
        mean += x(i, c);
      }
      mean /= workload.rows();
      for (int i = 0; i < workload.rows(); i++) {
        sum += (x(i, c) - mean) * (x(i, c) - mean);
      }
    }
    return sum / workload.rows();
  }
}
