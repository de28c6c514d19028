package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.Call;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import java.util.Optional;

/**
 * The family {@code product}: dense products and the passes of simple models, on F32 or F64, over a
 * batch of nodes. A product uses an OpenBLAS-compatible library where one was named, with one
 * thread and nodes in parallel, on CUDA cuBLAS where it is found, and a plain blocked kernel
 * otherwise. Bits do not depend on the number of threads; those of products are not promised across
 * CPU models and BLAS builds, those of the other passes are.
 *
 * <p>Thread-safe; each operation runs on the queue of the base of its first output.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when shapes, dtypes or devices do not fit, a
 * batch leaves its base, or matrices overlap where they must not; {@link IllegalStateException}
 * when something is closed or the queue is in use by another thread.
 */
public final class Product {
  private static final long PATH_CAPACITY = 4096;

  private Product() {}

  /**
   * Names the BLAS of the CPU library for all products of the process on the CPU. It is told to use
   * one thread, which others in the process who use the same library feel too. Call it before the
   * first product: one that is cut into several native calls may otherwise change over in between.
   *
   * @param path a library with {@code cblas_sgemm} and {@code cblas_dgemm}; {@code ""} goes back to
   *     the plain kernel
   * @return false if there is no such library at the path; products go on as before
   * @throws IllegalStateException if an operation is running
   */
  public static boolean useBlas(String path) {
    return useBlas(Device.cpu(), path);
  }

  /**
   * Names the BLAS of a device's library for all products of the process on its devices.
   *
   * @param device a device of the library
   * @param path on the CPU a library with {@code cblas_sgemm} and {@code cblas_dgemm}, on CUDA a
   *     cuBLAS; {@code ""} goes back to the plain kernel
   * @return false if there is no such library at the path; products go on as before
   */
  public static boolean useBlas(Device device, String path) {
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment name = path.isEmpty() ? MemorySegment.NULL : arena.allocateFrom(path);
      int status = Access.device(device).abi().productUseBlas(name, call.segment());
      if (status == Abi.NOT_FOUND) {
        return false;
      }
      call.check("useBlas", status);
      return true;
    }
  }

  /**
   * The BLAS in use on the CPU.
   *
   * @return its path; {@code ""} when the plain kernel answers
   */
  public static String blas() {
    return blas(Device.cpu());
  }

  /**
   * The BLAS in use on a device.
   *
   * @param device the device
   * @return its path; {@code ""} when the plain kernel answers
   */
  public static String blas(Device device) {
    try (Call call = new Call();
        Arena arena = Arena.ofConfined()) {
      MemorySegment path = arena.allocate(PATH_CAPACITY);
      call.check(
          "blas", Access.device(device).abi().productBlas(path, PATH_CAPACITY, call.segment()));
      return path.getString(0);
    }
  }

  /**
   * c_b = alpha op(a_b) op(b_b) + beta c_b for every b below {@code batches}; op transposes where
   * asked.
   *
   * @param batches how many, at least 0
   * @param alpha a factor
   * @param a op(a) is rows of c x k
   * @param ta whether op(a) is the transpose
   * @param b op(b) is k x columns of c
   * @param tb whether op(b) is the transpose
   * @param beta a factor; 0 does not read c
   * @param c the result; overlaps neither a nor b
   */
  public static void multiply(
      long batches, double alpha, Batch a, boolean ta, Batch b, boolean tb, double beta, Batch c) {
    checkBatches("multiply", batches, c, a, b);
    long k = ta ? a.rows() : a.cols();
    a.expect("multiply", "a", ta ? k : c.rows(), ta ? c.rows() : k);
    b.expect("multiply", "b", tb ? c.cols() : k, tb ? k : c.cols());
    NativeQueue q = c.window().queue();
    int mark = q.begin("multiply");
    try {
      MemorySegment x = use(q, a, 0);
      MemorySegment y = use(q, b, 1);
      MemorySegment z = use(q, c, 2);
      int status;
      do {
        status =
            q.abi()
                .multiply(
                    q.handle(), batches, alpha, x, ta ? 1 : 0, y, tb ? 1 : 0, beta, z, q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * c = op(a) op(b).
   *
   * @param a op(a) is rows of c x k
   * @param ta whether op(a) is the transpose
   * @param b op(b) is k x columns of c
   * @param tb whether op(b) is the transpose
   * @param c the result; overlaps neither a nor b
   */
  public static void multiply(
      DeviceMatrix a, boolean ta, DeviceMatrix b, boolean tb, DeviceMatrix c) {
    multiply(1, 1, Batch.of(a), ta, Batch.of(b), tb, 0, Batch.of(c));
  }

  /**
   * c_b = alpha op(a_b) op(a_b)' + beta d_b + gamma I for every b below {@code batches}, in about
   * half the work of {@link #multiply}: the part on and below the diagonal is computed and the part
   * above it is its mirror image, bit for bit. With gamma and d a polynomial of a symmetric matrix
   * takes no pass of its own: c a a' + b a + a_0 I is one call. On CUDA the library's own kernel
   * answers, whether there is a cuBLAS or not.
   *
   * @param batches how many, at least 0
   * @param alpha a factor
   * @param a op(a) is rows of c x k
   * @param ta whether op(a) is the transpose
   * @param beta a factor of d; without d it is not used
   * @param d symmetric, the shape of c: only what lies on and below the diagonal is read; may be
   *     the window of c, or overlap a
   * @param gamma what is added to the diagonal
   * @param c the result, square; overlaps neither a nor, elsewhere, d
   */
  public static void multiplySymmetric(
      long batches,
      double alpha,
      Batch a,
      boolean ta,
      double beta,
      Optional<Batch> d,
      double gamma,
      Batch c) {
    String name = "multiplySymmetric";
    checkBatches(name, batches, c, a);
    long k = ta ? a.rows() : a.cols();
    a.expect(name, "a", ta ? k : c.rows(), ta ? c.rows() : k);
    c.expect(name, "c", c.rows(), c.rows());
    if (d.isPresent()) {
      checkBatches(name, batches, c, d.get());
      d.get().expect(name, "d", c.rows(), c.rows());
    }
    NativeQueue q = c.window().queue();
    int mark = q.begin(name);
    try {
      MemorySegment x = use(q, a, 0);
      MemorySegment y = d.isPresent() ? use(q, d.get(), 1) : MemorySegment.NULL;
      MemorySegment z = use(q, c, 2);
      int status;
      do {
        status =
            q.abi()
                .multiplySymmetric(
                    q.handle(), batches, alpha, x, ta ? 1 : 0, beta, y, gamma, z, q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * h_b(r, c) = act(h_b(r, c) + bias_b(0, c)), in place; act is the identity or relu(z) = max(z,
   * 0), and a NaN stays.
   *
   * @param batches how many, at least 0
   * @param h the layer's products, then its output
   * @param bias 1 x columns of h
   * @param relu whether act is relu
   */
  public static void biasActivate(long batches, Batch h, Batch bias, boolean relu) {
    checkBatches("biasActivate", batches, h, bias);
    bias.expect("biasActivate", "bias", 1, h.cols());
    NativeQueue q = h.window().queue();
    int mark = q.begin("biasActivate");
    try {
      MemorySegment x = use(q, h, 0);
      MemorySegment y = use(q, bias, 1);
      int status;
      do {
        status =
            q.abi()
                .biasActivate(q.handle(), batches, x, y, relu ? Abi.RELU : Abi.IDENTITY, q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * Backward of {@link #biasActivate}: with relu d_b(r, c) becomes 0 where h_b(r, c) is not
   * positive; then {@code biasGradient}_b(0, c) is the sum of d_b(r, c) over r, ascending.
   *
   * @param batches how many, at least 0
   * @param h the layer's output
   * @param d the gradient by the output, then by the products, in place; the shape of h
   * @param biasGradient 1 x columns of h, written
   * @param relu whether the activation was relu
   */
  public static void biasActivateBackward(
      long batches, Batch h, Batch d, Batch biasGradient, boolean relu) {
    checkBatches("biasActivateBackward", batches, d, h, biasGradient);
    h.expect("biasActivateBackward", "h", d.rows(), d.cols());
    biasGradient.expect("biasActivateBackward", "biasGradient", 1, d.cols());
    NativeQueue q = d.window().queue();
    int mark = q.begin("biasActivateBackward");
    try {
      MemorySegment x = use(q, h, 0);
      MemorySegment y = use(q, d, 1);
      MemorySegment z = use(q, biasGradient, 2);
      int status;
      do {
        status =
            q.abi()
                .biasActivateBackward(
                    q.handle(), batches, x, y, z, relu ? Abi.RELU : Abi.IDENTITY, q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * Softmax with cross-entropy over the rows of logits z, one row per example: loss_b = (1/rows)
   * sum_r (log sum_c exp z_rc - z_r,label), gradient_rc = (softmax(z)_rc - [c = label]) / rows,
   * correct_b = rows whose label is the lowest index of the largest logit. Exponential and
   * logarithm are the library's own: the same bits on every tier.
   *
   * @param batches how many, at least 0
   * @param logits examples x classes
   * @param labels I32, batches x examples, each a class
   * @param gradient the shape of logits; may be the same window
   * @param loss F64, 1 x batches: the mean over the examples
   * @param correct I32, 1 x batches
   */
  public static void softmaxCrossEntropy(
      long batches,
      Batch logits,
      DeviceMatrix labels,
      Optional<Batch> gradient,
      Optional<DeviceMatrix> loss,
      Optional<DeviceMatrix> correct) {
    String name = "softmaxCrossEntropy";
    Window truth = Access.window(labels);
    Window losses = Access.windowOrNull(loss);
    Window hits = Access.windowOrNull(correct);
    checkBatches(name, batches, logits);
    Arguments.expect(name, "labels", truth, batches, logits.rows(), DType.I32);
    Arguments.sameDevice(name, "labels", truth, "logits", logits.window());
    if (gradient.isPresent()) {
      checkBatches(name, batches, gradient.get(), logits);
      gradient.get().expect(name, "gradient", logits.rows(), logits.cols());
    }
    checkFigure(name, "loss", losses, batches, DType.F64, logits.window());
    checkFigure(name, "correct", hits, batches, DType.I32, logits.window());
    NativeQueue q = gradient.orElse(logits).window().queue();
    int mark = q.begin(name);
    try {
      q.use(truth);
      MemorySegment x = use(q, logits, 0);
      MemorySegment y = gradient.isPresent() ? use(q, gradient.get(), 1) : MemorySegment.NULL;
      MemorySegment l = q.useOrNull(losses);
      MemorySegment c = q.useOrNull(hits);
      int status;
      do {
        status =
            q.abi()
                .softmaxCrossEntropy(q.handle(), batches, x, truth.descriptor(), y, l, c, q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  /**
   * u_b(r, .) = (diag(p) - p p^T) u_b(r, .) / rows with p = softmax of row r of the logits: the
   * second derivative by the logits of the loss of {@link #softmaxCrossEntropy}, applied in place.
   * Labels play no part in it. The same bits on every tier and device.
   *
   * @param batches how many, at least 0
   * @param logits examples x classes
   * @param u the shape of logits: directions, then products; shares no memory with logits
   */
  public static void softmaxCurvature(long batches, Batch logits, Batch u) {
    String name = "softmaxCurvature";
    checkBatches(name, batches, u, logits);
    u.expect(name, "u", logits.rows(), logits.cols());
    NativeQueue q = u.window().queue();
    int mark = q.begin(name);
    try {
      MemorySegment x = use(q, logits, 0);
      MemorySegment y = use(q, u, 1);
      int status;
      do {
        status = q.abi().softmaxCurvature(q.handle(), batches, x, y, q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  private static void checkFigure(
      String name, String figure, Window target, long batches, DType dtype, Window logits) {
    if (target != null) {
      Arguments.expect(name, figure, target, 1, batches, dtype);
      Arguments.sameDevice(name, figure, target, "logits", logits);
    }
  }

  private static void checkBatches(String name, long batches, Batch written, Batch... others) {
    written.check(name, "the result", batches);
    for (Batch other : others) {
      other.check(name, "an argument", batches);
      Arguments.sameDevice(name, "an argument", other.window(), "the result", written.window());
      if (other.window().dtype() != written.window().dtype()) {
        throw new IllegalArgumentException(
            "%s: an argument is %s and the result %s; they must be of one dtype"
                .formatted(name, other.window().dtype(), written.window().dtype()));
      }
    }
  }

  private static MemorySegment use(NativeQueue q, Batch batch, int slot) {
    q.use(Objects.requireNonNull(batch).window());
    return batch.describe(q.batches(), slot);
  }
}
