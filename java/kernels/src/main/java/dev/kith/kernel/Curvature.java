package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import dev.kith.random.SharedRandom;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * The family {@code curvature}: estimates of the diagonal of a Hessian, steps scaled by it, and the
 * passes of conjugate gradient. Rows are nodes, or systems: no operation looks across them. Results
 * have the same bits at any number of threads, on any instruction set and device, and however rows
 * are cut over processes. Arithmetic is that of {@code kith.h}. {@link CurvatureStep} has the steps
 * of AdaHessian and Sophia.
 *
 * <p>Thread-safe; each operation runs on the queue of the matrix that its Javadoc names first.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when shapes, dtypes or devices do not fit,
 * when a matrix that is written overlaps another one, or a number is out of its range; {@link
 * IllegalStateException} when something is closed or the queue is in use by another thread.
 */
public final class Curvature {
  /**
   * How a diagonal that may be small or negative becomes a divisor. The order of the constants is
   * that of {@code kith_oasis_step} in {@code kith.h}.
   */
  public enum Floor {
    /** max(|d|, alpha), of OASIS and SAVIC. */
    MAXIMUM,
    /** |d| + alpha, the other form of SAVIC. */
    SUM,
    /** max(sqrt |d|, alpha), for averages of squares as in SAVIC with Adam's scaling. */
    MAXIMUM_OF_ROOT,
    /** sqrt |d| + alpha, as in RMSProp. */
    SUM_WITH_ROOT
  }

  private interface Kernel {
    int call(NativeQueue queue, MemorySegment field);
  }

  private Curvature() {}

  /**
   * The moving average of Hutchinson's estimate of the diagonal of H: d &larr; beta d + (1 - beta)
   * z Hz, element by element, whose expectation is that of diag(H), without any error where H is
   * diagonal. z is made again where it is needed, from what made it for the product Hz. The k-th
   * call with beta = 1 - 1/k keeps the mean of all.
   *
   * @param probe z: {@link NoiseField.Distribution#RADEMACHER}, as many rows as d; a graph records
   *     no probe of secrets
   * @param beta a finite number, in [0, 1] for an average; d is read where it is 0 too
   * @param hz the product of each row's H with its z: the dtype of d, BF16 or F16
   * @param d F32 or F64; zeros, or the average so far
   */
  public static void hutchinson(NoiseField probe, double beta, DeviceMatrix hz, DeviceMatrix d) {
    average(Optional.of(probe), beta, hz, d);
  }

  /**
   * The moving average of an estimate that needs no probe: d &larr; beta d + (1 - beta) h.
   *
   * @param beta a finite number
   * @param h the dtype of d, BF16 or F16
   * @param d F32 or F64; zeros, or the average so far
   */
  public static void average(double beta, DeviceMatrix h, DeviceMatrix d) {
    average(Optional.empty(), beta, h, d);
  }

  private static void average(
      Optional<NoiseField> probe, double beta, DeviceMatrix hz, DeviceMatrix d) {
    String operation = "hutchinson";
    Window to = Access.window(d);
    Window from = Access.window(hz);
    Arguments.computed(operation, "d", to);
    checkProbe(operation, probe, beta, to);
    boolean narrow = from.dtype() == DType.BF16 || from.dtype() == DType.F16;
    Arguments.expect(
        operation, "hz", from, to.rows(), to.cols(), narrow ? from.dtype() : to.dtype());
    Arguments.sameDevice(operation, "hz", from, "d", to);
    Arguments.disjoint(operation, "d", to, "hz", from);
    run(
        operation,
        probe,
        new Window[] {to, from},
        (q, field) ->
            q.abi()
                .hutchinson(q.handle(), field, beta, from.descriptor(), to.descriptor(), q.call()));
  }

  /**
   * {@link #hutchinson}, and in the same pass, with D = max(|d|, alpha) of the new d, the squares
   * of the two norms from which OASIS takes its step size: norms(0, r) = sum of D (x -
   * xBefore)&sup2;, norms(1, r) = sum of (g - gBefore)&sup2; / D. M. Jahani and others, "Doubly
   * adaptive scaled algorithm for machine learning using second-order information", ICLR 2022, step
   * 3.
   *
   * @param probe z: {@link NoiseField.Distribution#RADEMACHER}, as many rows as d
   * @param beta decay of the average, a finite number
   * @param alpha the least scale, positive; 1e-1 to 1e-7 in the paper
   * @param hz the product of each row's H with its z
   * @param d the average; written
   * @param x the parameters
   * @param xBefore those of the step before
   * @param g the gradient
   * @param gBefore that of the step before, on the same batch
   * @param norms F64, 2 x rows; written. All others are F32 or F64 of one dtype and shape
   */
  public static void oasisStatistics(
      NoiseField probe,
      double beta,
      double alpha,
      DeviceMatrix hz,
      DeviceMatrix d,
      DeviceMatrix x,
      DeviceMatrix xBefore,
      DeviceMatrix g,
      DeviceMatrix gBefore,
      DeviceMatrix norms) {
    String operation = "oasisStatistics";
    Window to = Access.window(d);
    Window out = Access.window(norms);
    Arguments.computed(operation, "d", to);
    checkProbe(operation, Optional.of(probe), beta, to);
    positive(operation, "alpha", alpha);
    String[] names = {"hz", "x", "xBefore", "g", "gBefore"};
    DeviceMatrix[] read = {hz, x, xBefore, g, gBefore};
    Window[] w = new Window[read.length];
    Arguments.expect(operation, "norms", out, 2, to.rows(), DType.F64);
    Arguments.sameDevice(operation, "norms", out, "d", to);
    Arguments.disjoint(operation, "norms", out, "d", to);
    for (int i = 0; i < read.length; i++) {
      w[i] = Access.window(read[i]);
      like(operation, names[i], w[i], "d", to);
      Arguments.disjoint(operation, "d", to, names[i], w[i]);
      Arguments.disjoint(operation, "norms", out, names[i], w[i]);
    }
    run(
        operation,
        Optional.of(probe),
        new Window[] {to, w[0], w[1], w[2], w[3], w[4], out},
        (q, field) ->
            q.abi()
                .oasisStatistics(
                    q.handle(),
                    field,
                    beta,
                    alpha,
                    w[0].descriptor(),
                    to.descriptor(),
                    w[1].descriptor(),
                    w[2].descriptor(),
                    w[3].descriptor(),
                    w[4].descriptor(),
                    out.descriptor(),
                    q.call()));
  }

  /**
   * xBefore &larr; x, x &larr; x - eta(r) g / D with D from d as {@code floor} says: the step of
   * OASIS.
   *
   * @param alpha positive
   * @param floor how D comes from d
   * @param eta F64, 1 x rows: the step size of each row
   * @param d the diagonal
   * @param g the gradient
   * @param x the parameters, F32 or F64; written. d, g and xBefore are of its dtype and shape
   * @param xBefore written
   */
  public static void oasisStep(
      double alpha,
      Floor floor,
      DeviceMatrix eta,
      DeviceMatrix d,
      DeviceMatrix g,
      DeviceMatrix x,
      DeviceMatrix xBefore) {
    step("oasisStep", alpha, floor, eta, d, g, x, Optional.of(xBefore));
  }

  /**
   * x &larr; x - eta(r) g / D: a step of scaled local SGD (SAVIC), as {@link #oasisStep} without a
   * copy of x.
   *
   * @param alpha positive
   * @param floor how D comes from d
   * @param eta F64, 1 x rows: the step size of each row
   * @param d the diagonal
   * @param g the gradient
   * @param x the parameters, F32 or F64; written. d and g are of its dtype and shape
   */
  public static void scaledStep(
      double alpha, Floor floor, DeviceMatrix eta, DeviceMatrix d, DeviceMatrix g, DeviceMatrix x) {
    step("scaledStep", alpha, floor, eta, d, g, x, Optional.empty());
  }

  private static void step(
      String operation,
      double alpha,
      Floor floor,
      DeviceMatrix eta,
      DeviceMatrix d,
      DeviceMatrix g,
      DeviceMatrix x,
      Optional<DeviceMatrix> xBefore) {
    Window to = Access.window(x);
    Window diagonal = Access.window(d);
    Window gradient = Access.window(g);
    Window sizes = Access.window(eta);
    Arguments.computed(operation, "x", to);
    positive(operation, "alpha", alpha);
    like(operation, "d", diagonal, "x", to);
    like(operation, "g", gradient, "x", to);
    perRow(operation, "eta", sizes, "x", to);
    Arguments.disjoint(operation, "x", to, "d", diagonal);
    Arguments.disjoint(operation, "x", to, "g", gradient);
    Arguments.disjoint(operation, "x", to, "eta", sizes);
    Window kept = Access.windowOrNull(xBefore);
    if (kept != null) {
      like(operation, "xBefore", kept, "x", to);
      Arguments.disjoint(operation, "xBefore", kept, "x", to);
      Arguments.disjoint(operation, "xBefore", kept, "d", diagonal);
      Arguments.disjoint(operation, "xBefore", kept, "g", gradient);
      Arguments.disjoint(operation, "xBefore", kept, "eta", sizes);
    }
    MemorySegment before = kept == null ? MemorySegment.NULL : kept.descriptor();
    run(
        operation,
        Optional.empty(),
        kept == null
            ? new Window[] {to, diagonal, gradient, sizes}
            : new Window[] {to, diagonal, gradient, sizes, kept},
        (q, none) ->
            q.abi()
                .oasisStep(
                    q.handle(),
                    alpha,
                    Abi.number(floor),
                    sizes.descriptor(),
                    diagonal.descriptor(),
                    gradient.descriptor(),
                    to.descriptor(),
                    before,
                    q.call()));
  }

  /**
   * Both products of an iteration of conjugate gradient, in one pass: out(0, k) = r(k) r(k), out(1,
   * k) = r(k) w(k), on the tree of {@link Reduction}.
   *
   * @param r F32 or F64
   * @param w of the dtype and shape of r
   * @param out F64, 2 x rows; written
   */
  public static void dots(DeviceMatrix r, DeviceMatrix w, DeviceMatrix out) {
    Window a = Access.window(r);
    Window b = Access.window(w);
    Window to = Access.window(out);
    Arguments.computed("dots", "r", a);
    like("dots", "w", b, "r", a);
    Arguments.expect("dots", "out", to, 2, a.rows(), DType.F64);
    Arguments.sameDevice("dots", "out", to, "r", a);
    Arguments.disjoint("dots", "out", to, "r", a);
    Arguments.disjoint("dots", "out", to, "w", b);
    run(
        "dots",
        Optional.empty(),
        new Window[] {a, b, to},
        (q, none) ->
            q.abi().dots(q.handle(), a.descriptor(), b.descriptor(), to.descriptor(), q.call()));
  }

  /**
   * The updates of conjugate gradient with one reduction, in one pass: p &larr; r + beta(k) p, s
   * &larr; w + beta(k) s, x &larr; x + alpha(k) p, r &larr; r - alpha(k) s, in rows k whose alpha
   * is not 0; the others are not touched. A. Chronopoulos, C. W. Gear, "s-step iterative methods
   * for symmetric linear systems", J. Comput. Appl. Math. 25, 1989.
   *
   * @param alpha F64, 1 x rows
   * @param beta F64, 1 x rows
   * @param r the residual; written
   * @param w the product A r; not changed
   * @param p the direction; written
   * @param s the product A p; written
   * @param x the solution, F32 or F64; written. All others are of its dtype and shape
   */
  public static void conjugateUpdate(
      DeviceMatrix alpha,
      DeviceMatrix beta,
      DeviceMatrix r,
      DeviceMatrix w,
      DeviceMatrix p,
      DeviceMatrix s,
      DeviceMatrix x) {
    String operation = "conjugateUpdate";
    Window to = Access.window(x);
    Arguments.computed(operation, "x", to);
    String[] names = {"x", "r", "p", "s", "w", "alpha", "beta"};
    Window[] all = {
      to,
      Access.window(r),
      Access.window(p),
      Access.window(s),
      Access.window(w),
      Access.window(alpha),
      Access.window(beta)
    };
    for (int i = 1; i < all.length; i++) {
      if (i < 5) {
        like(operation, names[i], all[i], "x", to);
      } else {
        perRow(operation, names[i], all[i], "x", to);
      }
      for (int j = 0; j < Math.min(i, 4); j++) {
        Arguments.disjoint(operation, names[j], all[j], names[i], all[i]);
      }
    }
    run(
        operation,
        Optional.empty(),
        all,
        (q, none) ->
            q.abi()
                .cgUpdate(
                    q.handle(),
                    all[5].descriptor(),
                    all[6].descriptor(),
                    all[1].descriptor(),
                    all[4].descriptor(),
                    all[2].descriptor(),
                    all[3].descriptor(),
                    to.descriptor(),
                    q.call()));
  }

  private static void checkProbe(
      String operation, Optional<NoiseField> probe, double beta, Window d) {
    if (!Double.isFinite(beta)) {
      throw new IllegalArgumentException(
          operation + ": beta is " + beta + " and must be a finite number");
    }
    if (probe.isEmpty()) {
      return;
    }
    NoiseField field = probe.get();
    if (field.distribution() != NoiseField.Distribution.RADEMACHER || field.count() != d.rows()) {
      throw new IllegalArgumentException(
          "%s: the probe has %d rows of %s and d is %s; let it have as many rows of RADEMACHER"
              .formatted(operation, field.count(), field.distribution(), d));
    }
    if (d.cols() > SharedRandom.MAX_WORDS) {
      throw new IllegalArgumentException(
          "%s: d is %s and a row draws at most 2^42 signs".formatted(operation, d));
    }
  }

  private static void positive(String operation, String name, double value) {
    if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "%s: %s is %s and must be positive and finite".formatted(operation, name, value));
    }
  }

  private static void like(String operation, String name, Window w, String other, Window with) {
    Arguments.expect(operation, name, w, with.rows(), with.cols(), with.dtype());
    Arguments.sameDevice(operation, name, w, other, with);
  }

  private static void perRow(String operation, String name, Window w, String other, Window with) {
    Arguments.expect(operation, name, w, 1, with.rows(), DType.F64);
    Arguments.sameDevice(operation, name, w, other, with);
  }

  /** On the queue of the first window. */
  private static void run(
      String operation, Optional<NoiseField> probe, Window[] windows, Kernel kernel) {
    NativeQueue q = windows[0].queue();
    int mark = q.begin(operation);
    try {
      for (Window window : windows) {
        q.use(window);
      }
      if (probe.isEmpty()) {
        repeat(q, MemorySegment.NULL, kernel);
      } else {
        try (NoiseField.Description description = probe.get().describe()) {
          repeat(q, description.segment(), kernel);
        }
      }
    } finally {
      q.end(mark);
    }
  }

  private static void repeat(NativeQueue q, MemorySegment field, Kernel kernel) {
    int status;
    do {
      status = kernel.call(q, field);
    } while (status == Abi.AGAIN);
    q.check(status);
  }
}
