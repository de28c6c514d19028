package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Abi;
import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.internal.Window;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Two steps of a rule, drawn at random, through the ABI: so that states, factors and copies too lie
 * between guard pages, and every field of kith_step is exercised.
 */
final class StepCase {
  /** The rules of kith_rule, in its order, and then those of kith_curvature_rule. */
  static final List<String> RULES =
      List.of(
          "sgd",
          "heavy-ball",
          "nesterov",
          "adagrad",
          "adadelta",
          "rmsprop",
          "adam",
          "adamax",
          "nadam",
          "yogi",
          "adahessian",
          "sophia-g",
          "sophia-h");

  /** How many of them are of kith_rule. */
  static final int PLAIN = 10;

  private static final int ADAHESSIAN = 10;
  private static final int[] STATES = {0, 1, 1, 1, 2, 1, 2, 2, 2, 2, 2, 1, 1};
  private static final double SCALE = 0.7;

  private record Group(int begin, int end, double stepScale, double weightDecay) {}

  private final SharedRandom random;
  private long drawn;

  private final long seed;
  private final int rule;
  private final DType dtype;
  private final DType gradientType;
  private final Optional<DType> copyType;
  private final int rows;
  private final int cols;
  private final Samples.Kind kind;
  private final boolean decoupled;
  private final double decay;
  private final List<Group> groups;
  private final boolean scaled;
  private final boolean flagged;
  private final double beta1;
  private final double beta2;
  private final long count;

  private double[][] x;
  private double[][] s1;
  private double[][] s2;
  private double[][][] gradients;
  private double[][][] curvatures;
  private double[][] scales;
  private double[][] flags;
  private double[][][] expected;

  StepCase(long seed, int rule, DType dtype, int rows, int cols) {
    this.seed = seed;
    this.rule = rule;
    this.dtype = dtype;
    this.rows = rows;
    this.cols = cols;
    random = new SharedRandom(seed, Stream.TEST, 2, 0);
    gradientType = List.of(dtype, dtype, DType.BF16, DType.F16).get(below(4));
    copyType =
        List.of(Optional.<DType>empty(), Optional.of(DType.BF16), Optional.of(DType.F16))
            .get(below(3));
    kind = below(3) == 0 ? Samples.Kind.SPECIAL : Samples.Kind.WIDE;
    decoupled = below(2) == 0;
    decay = below(2) * 0.01;
    groups = drawGroups();
    scaled = below(2) == 0;
    flagged = below(2) == 0;
    beta1 = below(4) == 0 ? 0 : 0.9;
    beta2 = 0.999;
    count = 1L + below(50);
  }

  private int below(int bound) {
    return (int) random.below(drawn++, bound);
  }

  private List<Group> drawGroups() {
    if (below(2) == 0) {
      return List.of();
    }
    int a = below(cols + 1);
    int b = a + below(cols - a + 1);
    return List.of(
        new Group(0, a, 1, 0),
        new Group(a, a, 7, 7),
        new Group(a, b, 0.3, 0.02),
        new Group(b, cols, 3, -0.01));
  }

  private void work() {
    if (expected != null) {
      return;
    }
    x = Samples.matrix(kind, dtype, rows, cols, seed);
    s1 = Samples.matrix(Samples.Kind.WIDE, dtype, rows, cols, seed + 100_000);
    s2 = Samples.matrix(Samples.Kind.WIDE, dtype, rows, cols, seed + 200_000);
    if (rule != 1 && rule != 2) {
      // Sums of squares are not negative; the first moments of Adam and its relatives may be, and
      // stay so.
      absolute(s2);
      if ((STATES[rule] == 1 && rule < PLAIN) || rule == 4) {
        absolute(s1);
      }
    }
    gradients = new double[2][][];
    curvatures = new double[2][][];
    for (int i = 0; i < 2; i++) {
      gradients[i] = Samples.matrix(kind, gradientType, rows, cols, seed + 300_000 + i);
      curvatures[i] = Samples.matrix(kind, curvatureType(), rows, cols, seed + 500_000 + i);
    }
    int width = Math.max(1, groups.size());
    scales = Samples.matrix(Samples.Kind.ORDINARY, DType.F64, rows, width, seed + 400_000);
    flags = new double[1][rows];
    Arrays.fill(flags[0], 4);
    double[][][] state = {copy(x), copy(s1), copy(s2), new double[1][rows]};
    Arrays.fill(state[3][0], 4);
    for (int i = 0; i < 2; i++) {
      step(state, gradients[i], curvatures[i], count + i);
    }
    expected = state;
  }

  private DType curvatureType() {
    return rule == ADAHESSIAN ? gradientType : dtype;
  }

  private static void absolute(double[][] m) {
    for (double[] row : m) {
      Arrays.setAll(row, c -> Math.abs(row[c]));
    }
  }

  private static double[][] copy(double[][] m) {
    return Arrays.stream(m).map(double[]::clone).toArray(double[][]::new);
  }

  private void step(double[][][] state, double[][] g, double[][] h, long t) {
    List<Group> all = groups.isEmpty() ? List.of(new Group(0, cols, 1, 0)) : groups;
    int[] found = new int[rows];
    for (int r = 0; r < rows; r++) {
      for (int k = 0; k < all.size(); k++) {
        Group group = all.get(k);
        OracleStep one =
            new OracleStep(
                RULES.get(rule),
                Arithmetic.of(dtype),
                0.05 * group.stepScale(),
                beta1,
                beta2,
                1e-6,
                decay + group.weightDecay(),
                decoupled,
                t,
                SCALE);
        double scale = scaled ? scales[r][k] : Double.NaN;
        one.apply(
            state[0][r], g[r], h[r], state[1][r], state[2][r], scale, group.begin(), group.end());
      }
      found[r] |= Oracle.allFinite(g[r]) && (rule < PLAIN || Oracle.allFinite(h[r])) ? 0 : 1;
      found[r] |= Oracle.allFinite(state[0][r]) ? 0 : 2;
      state[3][0][r] = (int) state[3][0][r] | found[r];
    }
  }

  void run(Rig.Session session) {
    work();
    Operand parameters = session.operand(dtype, x, cols);
    Operand first = session.operand(dtype, s1, cols);
    Operand second = session.operand(dtype, s2, cols);
    Operand flag = session.operand(DType.I32, flags, rows);
    DType copied = copyType.orElse(DType.BF16);
    Operand copy = session.operand(copied, new double[rows][cols], cols);
    DeviceMatrix factors =
        session.matrix(DType.F64, scales, scales.length == 0 ? 1 : scales[0].length);
    for (int i = 0; i < 2; i++) {
      DeviceMatrix g = session.matrix(gradientType, gradients[i], cols);
      apply(
          session,
          count + i,
          parameters.matrix(),
          g,
          session.matrix(curvatureType(), curvatures[i], cols),
          STATES[rule] > 0 ? Optional.of(first.matrix()) : Optional.empty(),
          STATES[rule] > 1 ? Optional.of(second.matrix()) : Optional.empty(),
          scaled ? Optional.of(factors) : Optional.empty(),
          copyType.isPresent() ? Optional.of(copy.matrix()) : Optional.empty(),
          flagged ? Optional.of(flag.matrix()) : Optional.empty());
    }
    parameters.expect(expected[0]);
    first.expect(STATES[rule] > 0 ? expected[1] : s1);
    second.expect(STATES[rule] > 1 ? expected[2] : s2);
    flag.expect(flagged ? expected[3] : flags);
    copy.expect(copyType.isPresent() ? Oracle.round(copied, expected[0]) : new double[rows][cols]);
  }

  private void apply(
      Rig.Session session,
      long t,
      DeviceMatrix x,
      DeviceMatrix g,
      DeviceMatrix h,
      Optional<DeviceMatrix> s1,
      Optional<DeviceMatrix> s2,
      Optional<DeviceMatrix> factors,
      Optional<DeviceMatrix> copy,
      Optional<DeviceMatrix> flags) {
    NativeQueue q = Access.queue(session.queue());
    int mark = q.begin("step");
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment step = arena.allocate(Abi.STEP);
      set(step, "rule", rule < PLAIN ? rule : rule - PLAIN);
      set(step, "decoupled", decoupled ? 1 : 0);
      set(step, "step_size", 0.05);
      set(step, "beta1", beta1);
      set(step, "beta2", beta2);
      set(step, "epsilon", 1e-6);
      set(step, "weight_decay", decay);
      set(step, "bias1", 1 - StrictMath.pow(beta1, (double) t));
      set(step, "bias2", 1 - StrictMath.pow(beta2, (double) t));
      MemorySegment array = arena.allocate(Abi.GROUP, Math.max(1, groups.size()));
      for (int k = 0; k < groups.size(); k++) {
        MemorySegment at = array.asSlice(k * Abi.GROUP.byteSize(), Abi.GROUP);
        at.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.GROUP, "begin"), groups.get(k).begin());
        at.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.GROUP, "end"), groups.get(k).end());
        at.set(
            ValueLayout.JAVA_DOUBLE,
            Abi.offset(Abi.GROUP, "step_scale"),
            groups.get(k).stepScale());
        at.set(
            ValueLayout.JAVA_DOUBLE,
            Abi.offset(Abi.GROUP, "weight_decay"),
            groups.get(k).weightDecay());
      }
      set(step, "groups", groups.isEmpty() ? MemorySegment.NULL : array);
      step.set(ValueLayout.JAVA_LONG, Abi.offset(Abi.STEP, "group_count"), groups.size());
      set(step, "row_scale", q.useOrNull(Access.windowOrNull(factors)));
      set(step, "copy", q.useOrNull(Access.windowOrNull(copy)));
      set(step, "flags", q.useOrNull(Access.windowOrNull(flags)));
      MemorySegment first = q.useOrNull(Access.windowOrNull(s1));
      MemorySegment second = q.useOrNull(Access.windowOrNull(s2));
      Window parameters = Access.window(x);
      Window gradient = Access.window(g);
      q.use(parameters);
      q.use(gradient);
      Window curvature = Access.window(h);
      q.use(curvature);
      int status;
      do {
        status =
            rule < PLAIN
                ? q.abi()
                    .applyStep(
                        q.handle(),
                        step,
                        parameters.descriptor(),
                        gradient.descriptor(),
                        first,
                        second,
                        q.call())
                : q.abi()
                    .curvatureStep(
                        q.handle(),
                        step,
                        rule == ADAHESSIAN ? 0 : SCALE,
                        parameters.descriptor(),
                        gradient.descriptor(),
                        curvature.descriptor(),
                        first,
                        second,
                        q.call());
      } while (status == Abi.AGAIN);
      q.check(status);
    } finally {
      q.end(mark);
    }
  }

  private static void set(MemorySegment step, String field, int value) {
    step.set(ValueLayout.JAVA_INT, Abi.offset(Abi.STEP, field), value);
  }

  private static void set(MemorySegment step, String field, double value) {
    step.set(ValueLayout.JAVA_DOUBLE, Abi.offset(Abi.STEP, field), value);
  }

  private static void set(MemorySegment step, String field, MemorySegment value) {
    step.set(ValueLayout.ADDRESS, Abi.offset(Abi.STEP, field), value);
  }

  @Override
  public String toString() {
    return "%s on %d x %d %s, gradient %s, copy %s, decay %s%s, groups %s%s, %s, seed %d"
        .formatted(
            RULES.get(rule),
            rows,
            cols,
            dtype,
            gradientType,
            copyType.map(DType::toString).orElse("none"),
            decay,
            decoupled ? " decoupled" : "",
            groups,
            scaled ? ", scaled" : "",
            kind,
            seed);
  }
}
