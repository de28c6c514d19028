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
 * The family {@code noise}: random rows z(k) of a {@link NoiseField}, alone or in sums over a
 * matrix, made where they are added and never stored. Results have the same bits at any number of
 * threads, on any instruction set and device, and however rows are cut over processes.
 *
 * <p>With the matrix F of a covariance R = F F' of noise over nodes, {@link #sum} adds correlated
 * noise (CorN); with a column of w and -w for each edge it adds pairwise noise that cancels over
 * the network (DECOR), opposite in the sign bit alone at the two ends of a lone edge; with one row
 * of coefficients it adds many perturbations in one pass over the parameters (SPSA).
 *
 * <p>Thread-safe; each operation runs on the queue of y. Keys of secrets are copied for the length
 * of a call and overwritten.
 *
 * <p>Errors of all: {@link IllegalArgumentException} when shapes, dtypes or devices do not fit or
 * the scale is not finite; {@link IllegalStateException} when something is closed or the queue is
 * in use by another thread.
 */
public final class Noise {
  static final long MAX_COLUMNS = SharedRandom.MAX_WORDS;

  private Noise() {}

  /**
   * y(r) = scale z(r), one rounding; the scale is rounded to the dtype of y first.
   *
   * @param field as many rows as y
   * @param scale a finite factor; 1 for {@link NoiseField.Distribution#WORDS}
   * @param y F32 or F64; I32 for {@link NoiseField.Distribution#WORDS}
   */
  public static void draw(NoiseField field, double scale, DeviceMatrix y) {
    run("draw", Optional.empty(), field, scale, false, y);
  }

  /**
   * y(r) = fma(scale, z(r), y(r)); the scale is rounded to the dtype of y first.
   *
   * @param field as many rows as y
   * @param scale a finite factor
   * @param y F32 or F64
   */
  public static void add(NoiseField field, double scale, DeviceMatrix y) {
    run("add", Optional.empty(), field, scale, true, y);
  }

  /**
   * y(i) = sum over k of scale w(i, k) z(k), by fused multiply-adds in the order in which the
   * weights are given, onto y(i) or onto 0. The product scale w(i, k) is taken in f64 and rounded
   * to the dtype of y once. Each z(k) is made once, however many rows it enters.
   *
   * @param weights W, sparse or dense, a column for each row of the field
   * @param field the rows z
   * @param scale a finite factor
   * @param add whether to add to y, else the rows that W writes are overwritten
   * @param y F32 or F64
   */
  public static void sum(
      MixingWeights weights, NoiseField field, double scale, boolean add, DeviceMatrix y) {
    run("sum", Optional.of(weights), field, scale, add, y);
  }

  private static void run(
      String operation,
      Optional<MixingWeights> weights,
      NoiseField field,
      double scale,
      boolean add,
      DeviceMatrix y) {
    Window to = Access.window(y);
    boolean words = field.distribution() == NoiseField.Distribution.WORDS;
    if (words) {
      Arguments.expect(operation, "y", to, to.rows(), to.cols(), DType.I32);
      if (weights.isPresent() || add || scale != 1) {
        throw new IllegalArgumentException(
            operation + ": words are drawn as they are, not summed or scaled by " + scale);
      }
    } else {
      Arguments.computed(operation, "y", to);
    }
    if (!Double.isFinite(scale)) {
      throw new IllegalArgumentException(
          operation + ": scale is " + scale + " and must be a finite number");
    }
    if (to.cols() > MAX_COLUMNS) {
      throw new IllegalArgumentException(
          "%s: y is %s and a row draws at most 2^42 numbers".formatted(operation, to));
    }
    if (weights.isEmpty() && field.count() != to.rows()) {
      throw new IllegalArgumentException(
          "%s: the field has %d rows and y is %s; let the numbers agree"
              .formatted(operation, field.count(), to));
    }
    if (weights.isPresent()) {
      if (weights.get().cols() != field.count()) {
        throw new IllegalArgumentException(
            "%s: the matrix has %d columns and the field %d rows; let the numbers agree"
                .formatted(operation, weights.get().cols(), field.count()));
      }
      weights.get().checkResult(to.rows());
    }
    NativeQueue q = to.queue();
    int mark = q.begin(operation);
    try (NoiseField.Description description = field.describe()) {
      q.use(to);
      MemorySegment w = MemorySegment.NULL;
      if (weights.isPresent()) {
        q.use(weights.get().behind());
        w = weights.get().behind().handle();
      }
      int status;
      do {
        status =
            q.abi()
                .noise(
                    q.handle(),
                    w,
                    description.segment(),
                    scale,
                    add ? 1 : 0,
                    to.descriptor(),
                    q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }
}
