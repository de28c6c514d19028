package dev.kith.solver;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Reduction;
import java.util.Arrays;

/**
 * What L-BFGS remembers of one function: the last m pairs s = x' - x, y = g' - g, and the newest
 * gradient, with the products of all of them.
 *
 * <pre>
 *   q = g;        for i = newest .. oldest:  a_i = s_i.q / s_i.y_i,   q &larr; q - a_i y_i
 *   r = gamma q;  for i = oldest .. newest:  b = y_i.r / s_i.y_i,     r &larr; r + (a_i - b) s_i
 *   direction = -r,      gamma = s.y / y.y of the newest pair, 1 before there is one
 * </pre>
 *
 * <p>Both loops run on the 2m + 1 coefficients of q and r, in f64 on the host, from the matrix of
 * products (the compact form; R. Byrd, J. Nocedal, R. Schnabel, Math. Programming 63, 1994). So a
 * step reads each vector once for its products with the newest three, in one reduction, and once
 * for the combination, where the two loops make 2m reductions one after the other. Products are on
 * the tree of {@link Reduction}; results have the same bits at any number of threads.
 *
 * <p>A pair with s.y at most 1e-8 |s| |y| is left out, as is usual: the matrix behind the direction
 * stays positive definite. Where m pairs were remembered, the oldest goes all the same. With m = 0
 * the direction is -gamma g.
 *
 * <p>Keeps (2m + 3) vectors. Used by one thread at a time.
 */
public final class LbfgsMemory implements AutoCloseable {
  /** The pair is left out where s.y is at most this times |s| |y|. */
  private static final double LEAST_COSINE = 1e-8;

  private final int pairs;
  private final int slots;
  /* Slot j has s in row 2j and y in row 2j + 1; the newest gradient is in the row after the newest
   * slot: where the next s goes, or in the last row. So the newest three lie side by side. */
  private final DeviceMatrix rows;
  private final double[][] products;
  private int newest;
  private int held;
  private boolean started;

  /**
   * @param pairs m, 0 or more
   * @param like 1 x d, F32 or F64; not kept
   * @throws IllegalArgumentException if m is negative, or {@code like} has another shape or dtype
   */
  public LbfgsMemory(int pairs, DeviceMatrix like) {
    if (pairs < 0) {
      throw new IllegalArgumentException(
          "a memory of " + pairs + " pairs is not possible; take 0 or more");
    }
    if (like.rows() != 1 || (like.dtype() != DType.F32 && like.dtype() != DType.F64)) {
      throw new IllegalArgumentException(
          "a memory is for one row of F32 or F64, not for "
              + like
              + "; take one memory for each row");
    }
    this.pairs = pairs;
    this.slots = pairs + 1;
    this.rows = like.like(2L * slots + 1, like.cols(), like.dtype());
    this.products = new double[2 * slots + 1][2 * slots + 1];
    rows.fill(0);
    clear();
  }

  /** Forgets everything. */
  public void clear() {
    newest = slots - 1;
    held = 0;
    started = false;
  }

  /** How many pairs directions are made of: at most m. */
  public int pairs() {
    return Math.min(held, pairs);
  }

  /** Whether there is a gradient to make a direction of. */
  public boolean started() {
    return started;
  }

  /** The newest gradient, 1 x d; changed by the next {@link #advance}. Close it. */
  public DeviceMatrix gradient() {
    return rows.row(gradientRow());
  }

  /** g.g of the newest gradient. */
  public double gradientSquares() {
    return products[gradientRow()][gradientRow()];
  }

  /**
   * Forgets the pairs and takes a first gradient.
   *
   * @param g 1 x d; copied
   * @throws ArithmeticException if it is not finite
   */
  public void start(DeviceMatrix g) {
    clear();
    try (DeviceMatrix to = gradient()) {
      to.copyFrom(g);
    }
    learn(gradientRow(), 1, gradientRow(), gradientRow() + 1);
    started = true;
  }

  /**
   * Takes the pair of a step and the gradient at its end.
   *
   * @param x where the step ended, 1 x d
   * @param before where it started
   * @param g the gradient at x; copied
   * @return whether the pair is remembered
   * @throws IllegalStateException if there was no {@link #start}
   * @throws ArithmeticException if something is not finite; the memory is then {@link #clear
   *     cleared}
   */
  public boolean advance(DeviceMatrix x, DeviceMatrix before, DeviceMatrix g) {
    if (!started) {
      throw new IllegalStateException(
          "the memory has no gradient at the start of the step: call start with it first");
    }
    int old = gradientRow();
    int slot = (newest + 1) % slots;
    int s = 2 * slot;
    try (DeviceMatrix oldGradient = rows.row(old);
        DeviceMatrix step = rows.row(s);
        DeviceMatrix change = rows.row(s + 1);
        DeviceMatrix newGradient = rows.row(s + 2)) {
      // y first: s may take the place of the old gradient.
      Mixing.combine(Expression.outer(g).plusOuter(-1, oldGradient), change);
      Mixing.combine(Expression.outer(x).plusOuter(-1, before), step);
      newGradient.copyFrom(g);
    }
    int last = newest;
    newest = slot;
    int older = Math.min(held, Math.max(0, pairs - 1));
    if (newest >= older) {
      learn(s, 3, s - 2 * older, s + 3);
    } else {
      learn(s, 3, 0, 2 * slots);
    }
    double curvature = products[s][s + 1];
    boolean kept =
        curvature > LEAST_COSINE * Math.sqrt(products[s][s]) * Math.sqrt(products[s + 1][s + 1]);
    if (kept) {
      held = Math.min(held + 1, Math.max(1, pairs));
    } else {
      // The gradient has taken the place of the oldest pair where there were m.
      newest = last;
      held = older;
      moveGradient(s + 2);
    }
    return kept;
  }

  private void moveGradient(int from) {
    int to = gradientRow();
    if (to == from) {
      return;
    }
    try (DeviceMatrix source = rows.row(from);
        DeviceMatrix target = rows.row(to)) {
      target.copyFrom(source);
    }
    for (int i = 0; i < products.length; i++) {
      products[i][to] = products[i][from];
    }
    products[to] = products[from].clone();
    products[to][to] = products[from][from];
  }

  private int gradientRow() {
    return 2 * newest + 2;
  }

  /** The row of s, k pairs before the newest. */
  private int stepRow(int k) {
    return 2 * Math.floorMod(newest - k, slots);
  }

  /** Products of {@code count} rows with those in {@code [from, to)}, among which they are. */
  private void learn(int first, int count, int from, int to) {
    try (DeviceMatrix all = rows.rows(from, to);
        DeviceMatrix fresh = rows.rows(first, first + count);
        DeviceMatrix out = rows.like(to - from, count, DType.F64)) {
      Reduction.gram(all, fresh, out);
      double[] flat = out.toDoubles();
      for (int i = from; i < to; i++) {
        for (int j = 0; j < count; j++) {
          double product = flat[(i - from) * count + j];
          products[i][first + j] = product;
          products[first + j][i] = product;
        }
      }
    }
    for (int j = first; j < first + count; j++) {
      if (!Double.isFinite(products[j][j])) {
        clear();
        throw new ArithmeticException(
            "the square of %s is %s; look at the gradient there"
                .formatted(j == first + count - 1 ? "the gradient" : "a step", products[j][j]));
      }
    }
  }

  /**
   * Writes the direction.
   *
   * @param out 1 x d
   * @return its product with the gradient, negative unless the gradient is 0
   * @throws IllegalStateException if there was no {@link #start}
   */
  public double direction(DeviceMatrix out) {
    if (!started) {
      throw new IllegalStateException("the memory has no gradient yet: call start first");
    }
    double[] c = coefficients();
    int[] columns = new int[c.length];
    double[] values = new double[c.length];
    int count = 0;
    double slope = 0;
    for (int i = 0; i < c.length; i++) {
      if (c[i] != 0) {
        columns[count] = i;
        values[count++] = -c[i];
        slope -= c[i] * products[gradientRow()][i];
      }
    }
    try (MixingWeights weights =
        MixingWeights.sparse(
            out.queue(),
            1,
            c.length,
            new long[] {0, count},
            Arrays.copyOf(columns, count),
            Arrays.copyOf(values, count))) {
      Mixing.mix(weights, Expression.inner(rows), out);
    }
    return slope;
  }

  /** Of r in the rows. */
  private double[] coefficients() {
    double[] c = new double[products.length];
    c[gradientRow()] = 1;
    int count = pairs();
    double[] a = new double[count];
    for (int k = 0; k < count; k++) {
      int s = stepRow(k);
      a[k] = times(s, c) / products[s][s + 1];
      c[s + 1] -= a[k];
    }
    if (held > 0) {
      int s = stepRow(0);
      double gamma = products[s][s + 1] / products[s + 1][s + 1];
      Arrays.setAll(c, i -> gamma * c[i]);
    }
    for (int k = count - 1; k >= 0; k--) {
      int s = stepRow(k);
      c[s] += a[k] - times(s + 1, c) / products[s][s + 1];
    }
    return c;
  }

  private double times(int row, double[] c) {
    double sum = 0;
    for (int i = 0; i < c.length; i++) {
      if (c[i] != 0) {
        sum += products[row][i] * c[i];
      }
    }
    return sum;
  }

  /**
   * All that is remembered but the numbers of {@link #counters}, 2m + 3 rows: for snapshots. Kept
   * by the memory.
   */
  public DeviceMatrix rows() {
    return rows;
  }

  /** Where in the rows what is remembered lies: for snapshots. */
  public long[] counters() {
    return new long[] {newest, held, started ? 1 : 0};
  }

  /**
   * Takes over what {@link #counters} gave, after {@link #rows} have been written; the products are
   * made again, with the same bits.
   *
   * @throws IllegalArgumentException if they are not of a memory of this size
   */
  public void restore(long[] counters) {
    if (counters.length != 3
        || counters[0] < 0
        || counters[0] >= slots
        || counters[1] < 0
        || counters[1] > slots
        || counters[2] < 0
        || counters[2] > 1) {
      throw new IllegalArgumentException(
          "the counters " + Arrays.toString(counters) + " are not of a memory of " + pairs);
    }
    newest = (int) counters[0];
    held = (int) counters[1];
    started = counters[2] == 1;
    int size = products.length;
    try (DeviceMatrix out = rows.like(size, size, DType.F64)) {
      Reduction.gram(rows, out);
      double[] flat = out.toDoubles();
      for (int i = 0; i < size; i++) {
        System.arraycopy(flat, i * size, products[i], 0, size);
      }
    }
  }

  @Override
  public void close() {
    rows.close();
  }
}
