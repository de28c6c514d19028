package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** One call of an operation of {@link Curvature}, drawn at random, beside kith.h read aloud. */
final class CurvatureCase {
  enum Operation {
    HUTCHINSON,
    AVERAGE,
    STATISTICS,
    OASIS_STEP,
    SCALED_STEP,
    DOTS,
    CONJUGATE
  }

  private final SharedRandom random;
  private long drawn;

  private final long seed;
  private final Operation operation;
  private final DType dtype;
  private final DType productType;
  private final int rows;
  private final int cols;
  private final boolean secret;
  private final Samples.Kind kind;
  private final Curvature.Floor floor;
  private final double alpha;
  private final double beta;
  private final Arithmetic t;

  /** The matrices in the order of the operation's parameters, before and after. */
  private double[][][] before;

  private double[][][] after;
  private NoiseField field;

  CurvatureCase(long seed, Operation operation, DType dtype, int rows, int cols) {
    this.seed = seed;
    this.operation = operation;
    this.dtype = dtype;
    this.rows = rows;
    this.cols = cols;
    t = Arithmetic.of(dtype);
    random = new SharedRandom(seed, Stream.TEST, 6, 0);
    boolean estimate = operation == Operation.HUTCHINSON || operation == Operation.AVERAGE;
    productType = estimate ? List.of(dtype, dtype, DType.BF16, DType.F16).get(below(4)) : dtype;
    kind = below(3) == 0 ? Samples.Kind.SPECIAL : Samples.Kind.WIDE;
    secret = below(2) == 0;
    floor = Curvature.Floor.values()[below(4)];
    alpha = below(2) == 0 ? 1e-5 : 0.3;
    beta = below(4) == 0 ? 0 : 0.95;
  }

  private int below(int bound) {
    return (int) random.below(drawn++, bound);
  }

  private double[][] draw(int number) {
    return Samples.matrix(kind, dtype, rows, cols, seed + 100_000L * number);
  }

  private double[][] perRow(int number) {
    return Samples.matrix(Samples.Kind.ORDINARY, DType.F64, 1, rows, seed + 100_000L * number);
  }

  private static double[][][] copy(double[][]... matrices) {
    return Arrays.stream(matrices)
        .map(m -> Arrays.stream(m).map(double[]::clone).toArray(double[][]::new))
        .toArray(double[][][]::new);
  }

  /** z of every row, and the field that makes it. */
  private double[][] signs() {
    double[][] z = new double[rows][];
    List<NoiseField.PublicRow> open = new ArrayList<>();
    List<NoiseField.SecretRow> hidden = new ArrayList<>();
    NoiseField.Distribution signs = NoiseField.Distribution.RADEMACHER;
    for (int r = 0; r < rows; r++) {
      long round = (1L << 40) - 1 - below(1000);
      int node = below(1000);
      if (secret) {
        byte[] key = new byte[Secret.BYTES];
        for (int i = 0; i < key.length; i++) {
          key[i] = (byte) below(256);
        }
        hidden.add(new NoiseField.SecretRow(Secret.of(key), round, node));
        z[r] = OracleNoise.secretRow(signs, key, Stream.PERTURBATION, node, round, cols);
      } else {
        open.add(new NoiseField.PublicRow(seed, round, node));
        z[r] = OracleNoise.publicRow(signs, seed, Stream.PERTURBATION, node, round, cols);
      }
    }
    field =
        secret
            ? NoiseField.secret(signs, Stream.PERTURBATION, hidden)
            : NoiseField.shared(signs, Stream.PERTURBATION, open);
    return z;
  }

  private void work() {
    if (before != null) {
      return;
    }
    switch (operation) {
      case HUTCHINSON, AVERAGE -> {
        double[][] hz = Samples.matrix(kind, productType, rows, cols, seed + 100_000);
        before = copy(hz, draw(2));
        after = copy(before);
        average(after[0], after[1]);
      }
      case STATISTICS -> {
        before = copy(draw(1), draw(2), draw(3), draw(4), draw(5), draw(6), new double[2][rows]);
        after = copy(before);
        average(after[0], after[1]);
        norms();
      }
      case OASIS_STEP, SCALED_STEP -> {
        before = copy(perRow(1), draw(2), draw(3), draw(4), draw(5));
        after = copy(before);
        if (operation == Operation.OASIS_STEP) {
          after[4] = copy(before[3])[0];
        }
        step(after[0][0], after[1], after[2], after[3]);
      }
      case DOTS -> {
        before = copy(draw(1), draw(2), new double[2][rows]);
        after = copy(before);
        for (int r = 0; r < rows; r++) {
          after[2][0][r] = dot(before[0][r], before[0][r]);
          after[2][1][r] = dot(before[0][r], before[1][r]);
        }
      }
      default -> {
        before = copy(perRow(1), perRow(2), draw(3), draw(4), draw(5), draw(6), draw(7));
        for (int r = 1; r < rows; r += 3) {
          before[0][0][r] = r % 2 == 0 ? 0.0 : -0.0;
        }
        after = copy(before);
        conjugate();
      }
    }
  }

  private double dot(double[] a, double[] b) {
    return Oracle.reduce(Reduction.Kind.DOT, dtype, a, b);
  }

  private void average(double[][] hz, double[][] d) {
    double[][] z = operation == Operation.AVERAGE ? new double[0][] : signs();
    double keep = t.round(beta);
    double rest = t.round(1 - beta);
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        double product = operation == Operation.AVERAGE ? hz[r][c] : z[r][c] * hz[r][c];
        d[r][c] = t.fma(keep, d[r][c], t.multiply(rest, product));
      }
    }
  }

  private double scale(double d, Curvature.Floor how) {
    double least = t.round(alpha);
    boolean root = how == Curvature.Floor.MAXIMUM_OF_ROOT || how == Curvature.Floor.SUM_WITH_ROOT;
    double size = root ? t.sqrt(Math.abs(d)) : Math.abs(d);
    boolean sum = how == Curvature.Floor.SUM || how == Curvature.Floor.SUM_WITH_ROOT;
    return sum ? t.add(size, least) : Math.max(size, least);
  }

  private void norms() {
    for (int r = 0; r < rows; r++) {
      double[] scaled = new double[cols];
      double[] s = new double[cols];
      double[] divided = new double[cols];
      double[] y = new double[cols];
      for (int c = 0; c < cols; c++) {
        double scale = scale(after[1][r][c], Curvature.Floor.MAXIMUM);
        s[c] = t.subtract(after[2][r][c], after[3][r][c]);
        scaled[c] = t.multiply(scale, s[c]);
        y[c] = t.subtract(after[4][r][c], after[5][r][c]);
        divided[c] = t.divide(y[c], scale);
      }
      after[6][0][r] = dot(scaled, s);
      after[6][1][r] = dot(divided, y);
    }
  }

  private void step(double[] eta, double[][] d, double[][] g, double[][] x) {
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < cols; c++) {
        double push = t.multiply(t.round(eta[r]), g[r][c]);
        x[r][c] = t.subtract(x[r][c], t.divide(push, scale(d[r][c], floor)));
      }
    }
  }

  private void conjugate() {
    double[][] rest = after[2];
    double[][] p = after[4];
    double[][] s = after[5];
    double[][] x = after[6];
    for (int k = 0; k < rows; k++) {
      double a = t.round(after[0][0][k]);
      double b = t.round(after[1][0][k]);
      if (a == 0) {
        continue;
      }
      for (int c = 0; c < cols; c++) {
        p[k][c] = t.fma(b, p[k][c], rest[k][c]);
        s[k][c] = t.fma(b, s[k][c], after[3][k][c]);
        x[k][c] = t.fma(a, p[k][c], x[k][c]);
        rest[k][c] = t.fma(-a, s[k][c], rest[k][c]);
      }
    }
  }

  private DType type(int i) {
    return switch (operation) {
      case HUTCHINSON, AVERAGE -> i == 0 ? productType : dtype;
      case STATISTICS -> i == 6 ? DType.F64 : dtype;
      case OASIS_STEP, SCALED_STEP -> i == 0 ? DType.F64 : dtype;
      case DOTS -> i == 2 ? DType.F64 : dtype;
      case CONJUGATE -> i < 2 ? DType.F64 : dtype;
    };
  }

  void run(Rig.Session session) {
    work();
    // Twice: the second result may not depend on what the first left in scratch.
    for (int turn = 0; turn < 2; turn++) {
      Operand[] operands = new Operand[before.length];
      DeviceMatrix[] m = new DeviceMatrix[before.length];
      for (int i = 0; i < before.length; i++) {
        int width = before[i].length == 0 ? cols : before[i][0].length;
        operands[i] = session.operand(type(i), before[i], width);
        m[i] = operands[i].matrix();
      }
      switch (operation) {
        case HUTCHINSON -> Curvature.hutchinson(field, beta, m[0], m[1]);
        case AVERAGE -> Curvature.average(beta, m[0], m[1]);
        case STATISTICS ->
            Curvature.oasisStatistics(field, beta, alpha, m[0], m[1], m[2], m[3], m[4], m[5], m[6]);
        case OASIS_STEP -> Curvature.oasisStep(alpha, floor, m[0], m[1], m[2], m[3], m[4]);
        case SCALED_STEP -> Curvature.scaledStep(alpha, floor, m[0], m[1], m[2], m[3]);
        case DOTS -> Curvature.dots(m[0], m[1], m[2]);
        default -> Curvature.conjugateUpdate(m[0], m[1], m[2], m[3], m[4], m[5], m[6]);
      }
      for (int i = 0; i < before.length; i++) {
        operands[i].expect(after[i]);
      }
    }
  }

  @Override
  public String toString() {
    return "%s on %d x %d %s, product %s, %s, %s, alpha %s, beta %s, %s, seed %d"
        .formatted(
            operation,
            rows,
            cols,
            dtype,
            productType,
            secret ? "secret" : "public",
            floor,
            alpha,
            beta,
            kind,
            seed);
  }
}
