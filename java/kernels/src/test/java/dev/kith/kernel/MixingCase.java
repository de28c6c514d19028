package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;

/** One expression to mix, drawn at random or written down, with what the oracle says about it. */
final class MixingCase {
  /** The forms of W. */
  enum Form {
    IDENTITY,
    SPARSE,
    DENSE,
    PAIRWISE,
    /** Sparse, with fewer rows than y, which it names. */
    SCATTERED
  }

  /** What y is. */
  enum Result {
    /** F32 or F64, which sums have too. */
    COMPUTED,
    /** BF16 or F16, rounded to at the end. */
    ROUNDED,
    /** ROUNDED, from one inner term of that dtype just as it is, a path of its own. */
    PLAIN
  }

  /** A term and its data, never compared; alias: it is y itself. */
  @SuppressWarnings("ArrayRecordComponent")
  private record Input(
      DType dtype, double coefficient, double[] perRow, double[][] values, boolean alias) {}

  private final SharedRandom random;
  private final Result result;
  private long drawn;

  final long seed;
  final Form form;
  final DType dtype;
  final DType message;
  final int rows;
  final int innerRows;
  final int haloRows;
  final int cols;
  private final Samples.Kind kind;
  private final Optional<Oracle.OracleWeights> weights;
  private final List<Input> inner = new ArrayList<>();
  private final List<Input> outer = new ArrayList<>();
  private final Optional<NoiseInput> noise;
  private final double[][] halo;
  private final double[][] before;
  private double[][] expected;
  private double[] expectedFlags;

  /** Draws everything but the form and the number of columns. */
  MixingCase(
      long seed, Form form, Result result, int cols, int minRows, int maxRows, int maxTerms) {
    this(seed, form, result, cols, minRows, maxRows, maxTerms, -1);
  }

  /** With noise of so many sources where it has a factor; negative: without noise. */
  MixingCase(
      long seed,
      Form form,
      Result result,
      int cols,
      int minRows,
      int maxRows,
      int maxTerms,
      int sources) {
    this.seed = seed;
    this.form = form;
    this.result = result;
    this.cols = cols;
    random = new SharedRandom(seed, Stream.TEST, 1, 0);
    boolean rarer = chance(3);
    boolean plain = result == Result.PLAIN;
    if (result == Result.COMPUTED) {
      dtype = rarer ? DType.F64 : DType.F32;
    } else {
      dtype = rarer ? DType.F16 : DType.BF16;
    }
    message = !plain ? narrow() : chance(2) ? dtype : DType.F32;
    kind = chance(3) ? Samples.Kind.SPECIAL : Samples.Kind.WIDE;
    rows = minRows + below(maxRows - minRows + 1);
    boolean square = form == Form.IDENTITY || form == Form.PAIRWISE || chance(2);
    int innerTerms = plain ? 1 : form == Form.IDENTITY ? below(maxTerms + 1) : 1 + below(maxTerms);
    innerRows = innerTerms == 0 ? 0 : square ? rows : minRows + below(maxRows - minRows + 1);
    haloRows = form != Form.IDENTITY && form != Form.PAIRWISE && chance(3) ? 1 + below(4) : 0;
    weights = drawWeights();
    before = sample(dtype, rows);
    halo = Oracle.round(message, sample(message, haloRows));
    boolean innerAlias =
        innerTerms > 0 && (form == Form.IDENTITY || form == Form.PAIRWISE) && chance(3);
    int outerTerms = innerTerms == 0 ? 1 + below(maxTerms) : below(maxTerms + 1);
    boolean outerAlias = outerTerms > 0 && chance(3);
    if (plain) {
      double[][] values = innerAlias ? before : sample(dtype, innerRows);
      inner.add(new Input(dtype, 1, null, values, innerAlias));
    } else {
      addTerms(inner, innerTerms, innerRows, innerAlias);
    }
    addTerms(outer, outerTerms, rows, outerAlias);
    noise =
        sources < 0
            ? Optional.empty()
            : Optional.of(new NoiseInput(seed, innerTerms == 0 ? rows : innerRows, sources, cols));
  }

  private int below(int bound) {
    return (int) random.below(drawn++, bound);
  }

  private boolean chance(int oneIn) {
    return below(oneIn) == 0;
  }

  private double[][] sample(DType t, int height) {
    return Samples.matrix(kind, t, height, cols, seed * 1000 + drawn++);
  }

  /** Any floating type that is not wider than the compute type of y. */
  private DType narrow() {
    DType[] types = {dtype, dtype, DType.BF16, DType.F16, DType.F32};
    return types[below(types.length)];
  }

  private void addTerms(List<Input> terms, int count, int height, boolean alias) {
    for (int k = 0; k < count; k++) {
      boolean isY = alias && k == count - 1;
      DType t = isY ? dtype : narrow();
      double[] coefficients = {1, -1, 0.5, 0, -0.0, 1.0 / 3, -2 + 4 * random.uniform(drawn++)};
      double coefficient = coefficients[below(coefficients.length)];
      double[] perRow =
          chance(3) ? Samples.row(Samples.Kind.WIDE, DType.F64, height, seed + drawn++) : null;
      terms.add(new Input(t, coefficient, perRow, isY ? before : sample(t, height), isY));
    }
  }

  private Optional<Oracle.OracleWeights> drawWeights() {
    int width = innerRows + haloRows;
    return switch (form) {
      case IDENTITY -> Optional.empty();
      case DENSE -> {
        double[] values = Samples.row(Samples.Kind.ORDINARY, DType.F64, rows * width, seed + 7);
        for (int i = 0; i < values.length; i += 3) {
          values[i] = 0;
        }
        yield Optional.of(Oracle.OracleWeights.dense(rows, width, values));
      }
      case PAIRWISE -> Optional.of(drawPairs());
      case SPARSE -> Optional.of(drawSparse(rows, width, null));
      case SCATTERED -> {
        int[] all = random.permutation(rows);
        int[] outputs = Arrays.copyOf(all, below(rows + 1));
        yield Optional.of(drawSparse(outputs.length, width, outputs));
      }
    };
  }

  private Oracle.OracleWeights drawSparse(int height, int width, int[] outputRows) {
    long[] offsets = new long[height + 1];
    List<Integer> columns = new ArrayList<>();
    for (int r = 0; r < height; r++) {
      TreeSet<Integer> row = new TreeSet<>();
      int entries = below(Math.min(width, 12) + 1);
      for (int e = 0; e < entries; e++) {
        row.add(below(width));
      }
      columns.addAll(row);
      offsets[r + 1] = columns.size();
    }
    int[] flat = columns.stream().mapToInt(Integer::intValue).toArray();
    double[] values = Samples.row(Samples.Kind.ORDINARY, DType.F64, flat.length, seed + 8);
    return new Oracle.OracleWeights(offsets, flat, values, outputRows);
  }

  /**
   * Neighbours in a random order are partners; the first ones stay alone, some without any entry.
   */
  private Oracle.OracleWeights drawPairs() {
    int[] order = random.permutation(rows);
    int[] partner = new int[rows];
    Arrays.setAll(partner, i -> i);
    for (int i = rows % 2 + (rows > 4 ? 2 : 0); i + 1 < rows; i += 2) {
      partner[order[i]] = order[i + 1];
      partner[order[i + 1]] = order[i];
    }
    long[] offsets = new long[rows + 1];
    List<Integer> columns = new ArrayList<>();
    for (int r = 0; r < rows; r++) {
      if (partner[r] != r) {
        columns.add(Math.min(r, partner[r]));
        if (!chance(5)) {
          columns.add(Math.max(r, partner[r]));
        }
      } else if (!chance(3)) {
        columns.add(r);
      }
      offsets[r + 1] = columns.size();
    }
    int[] flat = columns.stream().mapToInt(Integer::intValue).toArray();
    double[] values = Samples.row(Samples.Kind.ORDINARY, DType.F64, flat.length, seed + 9);
    return new Oracle.OracleWeights(offsets, flat, values, null);
  }

  private static List<Oracle.OracleTerm> terms(List<Input> inputs) {
    return inputs.stream()
        .map(i -> new Oracle.OracleTerm(i.coefficient(), i.perRow(), i.values()))
        .toList();
  }

  private void work() {
    if (expected != null) {
      return;
    }
    double[][] y = Arrays.stream(before).map(double[]::clone).toArray(double[][]::new);
    Oracle.OracleNoiseTerm n = noise.map(NoiseInput::oracle).orElse(null);
    Oracle.mix(weights.orElse(null), terms(inner), n, terms(outer), halo, message, dtype, y);
    double[] flags = new double[Math.max(rows, innerRows)];
    Arrays.fill(flags, 4);
    if (!inner.isEmpty() || n != null) {
      double[][] m = Oracle.messages(Arithmetic.of(dtype), message, terms(inner), n, cols);
      BitSet referred = referred();
      for (int j = 0; j < m.length; j++) {
        flags[j] += !referred.get(j) || Oracle.allFinite(m[j]) ? 0 : 1;
      }
    }
    for (int i : written()) {
      flags[i] += Oracle.allFinite(y[i]) ? 0 : 2;
    }
    expected = y;
    expectedFlags = flags;
  }

  /** The columns that W has an entry in. */
  private BitSet referred() {
    BitSet rows = new BitSet();
    weights.ifPresentOrElse(
        w -> Arrays.stream(w.columns()).forEach(rows::set),
        () -> rows.set(0, Math.max(innerRows, this.rows)));
    return rows;
  }

  private int[] written() {
    int[] all = new int[weights.isPresent() ? weights.get().rows() : rows];
    Arrays.setAll(all, r -> r);
    return weights.isPresent() && weights.get().outputRows() != null
        ? weights.get().outputRows()
        : all;
  }

  /** W on the queue's device. */
  MixingWeights weights(Queue queue) {
    Oracle.OracleWeights w = weights.orElseThrow();
    int width = innerRows + haloRows;
    if (form == Form.DENSE) {
      return MixingWeights.dense(queue, w.rows(), width, w.values());
    }
    return w.outputRows() == null
        ? MixingWeights.sparse(queue, w.rows(), width, w.offsets(), w.columns(), w.values())
        : MixingWeights.sparse(
            queue, w.rows(), width, w.offsets(), w.columns(), w.values(), w.outputRows());
  }

  void run(Rig.Session session) {
    work();
    Operand y = session.operand(dtype, before, cols);
    boolean withFlags = seed % 2 == 0;
    double[][] four = new double[1][expectedFlags.length];
    Arrays.fill(four[0], 4);
    Operand flags = session.operand(DType.I32, four, four[0].length);
    Optional<MixingWeights> factor = noise.flatMap(x -> x.factor(session));
    Expression e = expression(session, y.matrix(), factor);
    if (weights.isEmpty()) {
      if (withFlags) {
        Mixing.combine(e, y.matrix(), flags.matrix());
      } else {
        Mixing.combine(e, y.matrix());
      }
      session.queue().sync();
    } else {
      try (MixingWeights w = weights(session.queue())) {
        if (withFlags) {
          Mixing.mix(w, e, y.matrix(), flags.matrix());
        } else {
          Mixing.mix(w, e, y.matrix());
        }
        session.queue().sync();
      }
    }
    factor.ifPresent(MixingWeights::close);
    y.expect(expected);
    flags.expect(withFlags ? expectedFlags : four[0]);
  }

  private Expression expression(
      Rig.Session session, DeviceMatrix y, Optional<MixingWeights> factor) {
    Expression e = null;
    for (Input i : inner) {
      DeviceMatrix z = i.alias() ? y : session.matrix(i.dtype(), i.values(), cols);
      e = plus(session, Optional.ofNullable(e), i, z, true);
    }
    if (noise.isPresent()) {
      e = noise.get().add(Optional.ofNullable(e), factor);
    }
    for (Input i : outer) {
      DeviceMatrix u = i.alias() ? y : session.matrix(i.dtype(), i.values(), cols);
      e = plus(session, Optional.ofNullable(e), i, u, false);
    }
    e = message == dtype.computeType() && seed % 3 != 0 ? e : e.withMessageType(message);
    return haloRows == 0 ? e : e.withHalo(session.matrix(message, halo, cols));
  }

  private static Expression plus(
      Rig.Session session, Optional<Expression> e, Input i, DeviceMatrix m, boolean isInner) {
    if (i.perRow() != null) {
      DeviceMatrix perRow =
          session.matrix(DType.F64, new double[][] {i.perRow()}, i.perRow().length);
      if (isInner) {
        return e.map(x -> x.plusInner(i.coefficient(), perRow, m))
            .orElseGet(() -> Expression.inner(i.coefficient(), perRow, m));
      }
      return e.map(x -> x.plusOuter(i.coefficient(), perRow, m))
          .orElseGet(() -> Expression.outer(i.coefficient(), perRow, m));
    }
    if (isInner) {
      return e.map(x -> x.plusInner(i.coefficient(), m))
          .orElseGet(() -> Expression.inner(i.coefficient(), m));
    }
    return e.map(x -> x.plusOuter(i.coefficient(), m))
        .orElseGet(() -> Expression.outer(i.coefficient(), m));
  }

  @Override
  public String toString() {
    return "%s W, %s y %d x %d %s, messages %s, %d inner terms of %d rows, %d outer terms, halo %d, %s, %s, seed %d"
        .formatted(
            form,
            result,
            rows,
            cols,
            dtype,
            message,
            inner.size(),
            innerRows,
            outer.size(),
            haloRows,
            kind,
            noise.map(NoiseInput::toString).orElse("no noise"),
            seed);
  }
}
