package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.random.SharedRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The family product: products within their bound, the model passes bit for bit, on every tier,
 * thread count and cut.
 */
class ProductTest {
  private static final List<DType> TYPES = List.of(DType.F32, DType.F64);
  static final List<Contract.Case> PRODUCTS = productCases();
  static final List<Contract.Case> SYMMETRIC = symmetricCases();
  private static final List<Contract.Case> PASSES = passCases();
  private static final List<Contract.Case> SOFTMAX = softmaxCases();
  private static final List<Contract.Case> CURVATURE = curvatureCases();

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void productsStayWithinTheBound(Rig rig) {
    Contract.run(rig, PRODUCTS);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void symmetricProductsStayWithinTheBound(Rig rig) {
    Contract.run(rig, SYMMETRIC);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void biasAndActivation(Rig rig) {
    Contract.run(rig, PASSES);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void softmaxCrossEntropy(Rig rig) {
    Contract.run(rig, SOFTMAX);
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void softmaxCurvature(Rig rig) {
    Contract.run(rig, CURVATURE);
  }

  private static double[][][] sample(
      Samples.Kind kind, DType t, int batches, int rows, int cols, long seed) {
    double[][][] all = new double[batches][][];
    for (int b = 0; b < batches; b++) {
      all[b] = Samples.matrix(kind, t, rows, cols, seed * 100 + b);
    }
    return all;
  }

  private static double[][][] copy(double[][][] a) {
    return Arrays.stream(a)
        .map(m -> Arrays.stream(m).map(double[]::clone).toArray(double[][]::new))
        .toArray(double[][][]::new);
  }

  // ---- products

  private static List<Contract.Case> productCases() {
    int[][] shapes = {
      {1, 1, 1},
      {0, 3, 4},
      {3, 0, 4},
      {3, 4, 0},
      {1, 33, 17},
      {5, 1, 31},
      {7, 9, 1},
      {16, 16, 16},
      {31, 33, 65},
      {32, 10, 784},
      {129, 65, 33},
      {64, 100, 257}
    };
    double[][] factors = {{1, 0}, {0.75, 1}, {-1.0 / 3, 0.5}};
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 40_000;
    for (DType t : TYPES) {
      for (int[] s : shapes) {
        for (int flags = 0; flags < 4; flags++) {
          double[] f = factors[(int) (seed % factors.length)];
          int batches = 1 + (int) (seed % 3);
          cases.add(product(t, batches, s, (flags & 1) != 0, (flags & 2) != 0, f[0], f[1], seed++));
        }
      }
      cases.add(product(t, 1, new int[] {283, 531, 111}, false, true, 1, 1, seed++));
      cases.add(product(t, 1, new int[] {251, 123, 311}, true, false, 1, 0, seed++));
      cases.add(product(t, 2, new int[] {5, 7, 5003}, false, false, 0.5, 0, seed++));
      cases.add(product(t, 0, new int[] {3, 3, 3}, false, false, 1, 0, seed++));
    }
    for (DType t : TYPES) {
      for (Values values : List.of(Values.SPECIAL, Values.TINY)) {
        for (int[] s : new int[][] {{1, 1, 1}, {31, 33, 65}, {64, 60, 300}, {40, 250, 20}}) {
          double[] f = factors[(int) (seed % factors.length)];
          boolean ta = seed % 2 != 0;
          cases.add(product(t, values, 4, s, ta, seed % 4 < 2, f[0], f[1], seed++));
        }
      }
      cases.add(
          product(t, Values.SPECIAL, 1, new int[] {250, 200, 33}, false, false, 1, 1, seed++));
    }
    // Tiles of 128 x 128 and of 64 x 64 in f32: more than multiprocessors, little beyond the edges.
    cases.add(product(DType.F32, 1, new int[] {250, 200, 300}, false, true, 0.75, 1, seed++));
    cases.add(product(DType.F32, 150, new int[] {114, 100, 17}, true, false, 1, 0, seed++));
    cases.add(product(DType.F32, 4, new int[] {64, 60, 300}, true, true, -1.0 / 3, 0.5, seed++));
    cases.add(product(DType.F32, 150, new int[] {60, 50, 17}, false, false, 1, 1, seed++));
    return cases;
  }

  /** What a, b and c hold. */
  private enum Values {
    WIDE,
    /** Wide, and special ones among them. */
    SPECIAL,
    /** a and c below the normal range, or just above it. */
    TINY
  }

  /**
   * What a product does with NaN, infinities, zeros and numbers below the normal range: few in a
   * and b, so that results of every kind come out, many in c.
   */
  private static double[][][] withSpecials(double[][][] m, DType t, int oneIn, long seed) {
    boolean f32 = t == DType.F32;
    double least = f32 ? Float.MIN_VALUE : Double.MIN_VALUE;
    double normal = f32 ? Float.MIN_NORMAL : Double.MIN_NORMAL;
    double[] specials = {
      Double.NaN,
      Double.POSITIVE_INFINITY,
      Double.NEGATIVE_INFINITY,
      0.0,
      -0.0,
      least,
      -3 * least,
      normal - least,
      -normal
    };
    SharedRandom random = Samples.random(seed);
    long index = 0;
    for (double[][] matrix : m) {
      for (double[] row : matrix) {
        for (int i = 0; i < row.length; i++) {
          long at = 2 * index++;
          if (random.below(at, oneIn) == 0) {
            row[i] = specials[(int) random.below(at + 1, specials.length)];
          }
        }
      }
    }
    return m;
  }

  private static double[][][] tiny(double[][][] m, DType t) {
    double normal = t == DType.F32 ? Float.MIN_NORMAL : Double.MIN_NORMAL;
    for (double[][] matrix : m) {
      for (double[] row : matrix) {
        Arrays.setAll(row, i -> Arithmetic.of(t).round(row[i] * normal / 64));
      }
    }
    return m;
  }

  private static double[] column(double[][] m, int c) {
    return Arrays.stream(m).mapToDouble(row -> row[c]).toArray();
  }

  private static Contract.Case product(
      DType t,
      int batches,
      int[] shape,
      boolean ta,
      boolean tb,
      double alpha,
      double beta,
      long seed) {
    return product(t, Values.WIDE, batches, shape, ta, tb, alpha, beta, seed);
  }

  private static Contract.Case product(
      DType t,
      Values values,
      int batches,
      int[] shape,
      boolean ta,
      boolean tb,
      double alpha,
      double beta,
      long seed) {
    int m = shape[0];
    int n = shape[1];
    int k = shape[2];
    Samples.Kind kind = Samples.Kind.WIDE;
    Supplier<double[][][]> a =
        Contract.once(
            () -> {
              double[][][] start = sample(kind, t, batches, ta ? k : m, ta ? m : k, seed);
              return switch (values) {
                case WIDE -> start;
                case SPECIAL -> withSpecials(start, t, 2 * k, seed + 700_000);
                case TINY -> tiny(start, t);
              };
            });
    Supplier<double[][][]> b =
        Contract.once(
            () -> {
              double[][][] start = sample(kind, t, batches, tb ? n : k, tb ? k : n, seed + 500_000);
              return values == Values.SPECIAL
                  ? withSpecials(start, t, 2 * k, seed + 800_000)
                  : start;
            });
    // With beta = 0 the result must not even read c.
    Supplier<double[][][]> c =
        Contract.once(
            () -> {
              double[][][] start = sample(kind, t, batches, m, n, seed + 600_000);
              if (values == Values.SPECIAL) {
                withSpecials(start, t, 8, seed + 900_000);
              } else if (values == Values.TINY) {
                tiny(start, t);
              }
              for (double[][] matrix : start) {
                for (double[] row : matrix) {
                  if (beta == 0) {
                    Arrays.fill(row, Double.NaN);
                  }
                }
              }
              return start;
            });
    Supplier<OracleProduct.Bounded[][][]> expected =
        Contract.once(
            () -> {
              OracleProduct.Bounded[][][] all = new OracleProduct.Bounded[batches][m][n];
              for (int x = 0; x < batches; x++) {
                for (int i = 0; i < m; i++) {
                  for (int j = 0; j < n; j++) {
                    double[] row = ta ? column(a.get()[x], i) : a.get()[x][i];
                    double[] col = tb ? b.get()[x][j] : column(b.get()[x], j);
                    all[x][i][j] =
                        OracleProduct.product(
                            Arithmetic.of(t), alpha, row, col, beta, c.get()[x][i][j]);
                  }
                }
              }
              return all;
            });
    Map<String, double[][][]> bits = new HashMap<>();
    return new Contract.Case(
        "%d products %s%s x %s%s of %s %s, m n k = %s, alpha %s, beta %s, seed %d"
            .formatted(
                batches,
                "a",
                ta ? "^T" : "",
                "b",
                tb ? "^T" : "",
                values,
                t,
                Arrays.toString(shape),
                alpha,
                beta,
                seed),
        session -> {
          int gap = (int) (seed % 4);
          BatchOperand left =
              new BatchOperand(session, t, a.get(), ta ? k : m, ta ? m : k, gap, gap, 2 * gap);
          BatchOperand right =
              new BatchOperand(session, t, b.get(), tb ? n : k, tb ? k : n, 1, gap % 2, gap);
          BatchOperand out = new BatchOperand(session, t, c.get(), m, n, 3, gap, 1);
          Product.multiply(batches, alpha, left.batch(), ta, right.batch(), tb, beta, out.batch());
          double[][][] actual = out.values(batches);
          for (int x = 0; x < batches; x++) {
            for (int i = 0; i < m; i++) {
              for (int j = 0; j < n; j++) {
                OracleProduct.Bounded want = expected.get()[x][i][j];
                if (!want.holds(actual[x][i][j])) {
                  fail("c_%d(%d, %d) = %s, not %s".formatted(x, i, j, actual[x][i][j], want));
                }
              }
            }
          }
          out.expect(actual);
          // On one tier the bits depend neither on threads nor on cuts.
          double[][][] first =
              bits.putIfAbsent(session.tier() + Product.blas(Rig.chosen()), actual);
          if (first != null) {
            out.expect(first);
          }
        });
  }

  // ---- symmetric products

  /** What is added to the product. */
  private enum Start {
    NOTHING,
    DIAGONAL,
    /** A matrix of its own, whose part above the diagonal is NaN: it is not read. */
    MATRIX,
    /** The window of c. */
    IN_PLACE,
    /** a itself, which is symmetric then. */
    ARGUMENT
  }

  private static List<Contract.Case> symmetricCases() {
    int[][] shapes = {
      {0, 3}, {3, 0}, {1, 1}, {1, 33}, {31, 5}, {32, 32}, {33, 64}, {65, 257}, {129, 20}
    };
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 45_000;
    for (DType t : TYPES) {
      for (Start start : Start.values()) {
        for (int[] s : shapes) {
          int k = start == Start.ARGUMENT ? s[0] : s[1];
          int batches = 1 + (int) (seed % 3);
          cases.add(symmetric(t, Values.WIDE, batches, s[0], k, seed % 2 != 0, start, seed++));
        }
      }
      cases.add(symmetric(t, Values.WIDE, 1, 191, 33, false, Start.MATRIX, seed++));
      cases.add(symmetric(t, Values.WIDE, 2, 192, 33, true, Start.IN_PLACE, seed++));
      cases.add(symmetric(t, Values.WIDE, 1, 397, 60, false, Start.DIAGONAL, seed++));
      cases.add(symmetric(t, Values.WIDE, 2, 7, 5003, true, Start.IN_PLACE, seed++));
      cases.add(symmetric(t, Values.WIDE, 0, 3, 3, false, Start.MATRIX, seed++));
      for (Values values : List.of(Values.SPECIAL, Values.TINY)) {
        cases.add(symmetric(t, values, 3, 40, 65, false, Start.MATRIX, seed++));
        cases.add(symmetric(t, values, 2, 200, 20, true, Start.IN_PLACE, seed++));
      }
    }
    // Tiles of 64 x 64 and of 128 x 128 in f32: more than multiprocessors, little beyond the edges.
    cases.add(symmetric(DType.F32, Values.WIDE, 150, 60, 17, true, Start.MATRIX, seed++));
    cases.add(symmetric(DType.F32, Values.WIDE, 150, 120, 17, false, Start.DIAGONAL, seed++));
    return cases;
  }

  private static double[][][] mirrored(double[][][] m) {
    for (double[][] matrix : m) {
      for (int i = 0; i < matrix.length; i++) {
        for (int j = 0; j < i; j++) {
          matrix[j][i] = matrix[i][j];
        }
      }
    }
    return m;
  }

  private static Contract.Case symmetric(
      DType t, Values values, int batches, int n, int k, boolean ta, Start start, long seed) {
    double alpha = seed % 2 == 0 ? 0.75 : -1.0 / 3;
    double beta = seed % 3 == 0 ? 1 : 0.5;
    double gamma = start == Start.NOTHING || seed % 4 == 0 ? 0 : 2.0 / 3;
    Samples.Kind kind = Samples.Kind.WIDE;
    Supplier<double[][][]> a =
        Contract.once(
            () -> {
              double[][][] made = sample(kind, t, batches, ta ? k : n, ta ? n : k, seed);
              switch (values) {
                case WIDE -> {}
                case SPECIAL -> withSpecials(made, t, 2 * k, seed + 700_000);
                case TINY -> tiny(made, t);
              }
              return start == Start.ARGUMENT ? mirrored(made) : made;
            });
    Supplier<double[][][]> d =
        Contract.once(
            () -> {
              double[][][] made = sample(kind, t, batches, n, n, seed + 600_000);
              if (values == Values.SPECIAL) {
                withSpecials(made, t, 8, seed + 900_000);
              } else if (values == Values.TINY) {
                tiny(made, t);
              }
              for (double[][] matrix : made) {
                for (int i = 0; i < n; i++) {
                  Arrays.fill(matrix[i], i + 1, n, Double.NaN);
                }
              }
              return made;
            });
    Supplier<double[][][]> unread =
        Contract.once(
            () -> {
              double[][][] made = new double[batches][n][n];
              for (double[][] matrix : made) {
                for (double[] row : matrix) {
                  Arrays.fill(row, Double.NaN);
                }
              }
              return made;
            });
    Supplier<OracleProduct.Bounded[][][]> expected =
        Contract.once(
            () -> {
              Arithmetic arithmetic = Arithmetic.of(t);
              OracleProduct.Bounded[][][] all = new OracleProduct.Bounded[batches][n][n];
              for (int x = 0; x < batches; x++) {
                for (int i = 0; i < n; i++) {
                  for (int j = 0; j <= i; j++) {
                    double[] left = ta ? column(a.get()[x], i) : a.get()[x][i];
                    double[] right = ta ? column(a.get()[x], j) : a.get()[x][j];
                    double term =
                        switch (start) {
                          case NOTHING, DIAGONAL -> 0;
                          case MATRIX, IN_PLACE -> d.get()[x][i][j];
                          case ARGUMENT -> a.get()[x][i][j];
                        };
                    double t0 = arithmetic.multiply(arithmetic.round(beta), term);
                    double begin = i == j ? arithmetic.add(t0, arithmetic.round(gamma)) : t0;
                    boolean adds =
                        start != Start.NOTHING && (start != Start.DIAGONAL || gamma != 0);
                    all[x][i][j] =
                        OracleProduct.product(arithmetic, alpha, left, right, adds ? 1 : 0, begin);
                  }
                }
              }
              return all;
            });
    Map<String, double[][][]> bits = new HashMap<>();
    return new Contract.Case(
        "%d symmetric products of %s %s%s, n %d, k %d, start %s, alpha %s, beta %s, gamma %s, seed %d"
            .formatted(batches, values, t, ta ? " ^T" : "", n, k, start, alpha, beta, gamma, seed),
        session -> {
          int gap = (int) (seed % 4);
          BatchOperand in =
              new BatchOperand(session, t, a.get(), ta ? k : n, ta ? n : k, gap, gap, 2 * gap);
          BatchOperand out =
              new BatchOperand(
                  session, t, (start == Start.IN_PLACE ? d : unread).get(), n, n, 3, gap, 1);
          Optional<Batch> term =
              switch (start) {
                case NOTHING, DIAGONAL -> Optional.empty();
                case MATRIX ->
                    Optional.of(new BatchOperand(session, t, d.get(), n, n, 1, 2, gap).batch());
                case IN_PLACE -> Optional.of(out.batch());
                case ARGUMENT -> Optional.of(in.batch());
              };
          Product.multiplySymmetric(batches, alpha, in.batch(), ta, beta, term, gamma, out.batch());
          double[][][] actual = out.values(batches);
          for (int x = 0; x < batches; x++) {
            for (int i = 0; i < n; i++) {
              for (int j = 0; j <= i; j++) {
                OracleProduct.Bounded want = expected.get()[x][i][j];
                if (!want.holds(actual[x][i][j])) {
                  fail("c_%d(%d, %d) = %s, not %s".formatted(x, i, j, actual[x][i][j], want));
                }
                if (Double.compare(actual[x][i][j], actual[x][j][i]) != 0) {
                  fail(
                      "c_%d(%d, %d) = %s and its mirror image is %s"
                          .formatted(x, i, j, actual[x][i][j], actual[x][j][i]));
                }
              }
            }
          }
          out.expect(actual);
          double[][][] first =
              bits.putIfAbsent(session.tier() + Product.blas(Rig.chosen()), actual);
          if (first != null) {
            out.expect(first);
          }
        });
  }

  // ---- passes

  private static List<Contract.Case> passCases() {
    int[][] shapes = {
      {1, 0, 5},
      {1, 3, 0},
      {1, 1, 1},
      {2, 3, 31},
      {3, 32, 33},
      {1, 33, 128},
      {2, 5, 1025},
      {1, 700, 129}
    };
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 50_000;
    for (DType t : TYPES) {
      for (int[] s : shapes) {
        for (boolean relu : new boolean[] {false, true}) {
          cases.add(forward(t, s[0], s[1], s[2], relu, seed++));
          cases.add(backward(t, s[0], s[1], s[2], relu, seed++));
        }
      }
    }
    return cases;
  }

  private static Contract.Case forward(
      DType t, int batches, int rows, int cols, boolean relu, long seed) {
    Supplier<double[][][]> h =
        Contract.once(() -> sample(Samples.Kind.SPECIAL, t, batches, rows, cols, seed));
    Supplier<double[][][]> bias =
        Contract.once(() -> sample(Samples.Kind.SPECIAL, t, batches, 1, cols, seed + 500_000));
    Supplier<double[][][]> expected =
        Contract.once(
            () -> {
              double[][][] all = copy(h.get());
              for (int b = 0; b < batches; b++) {
                OracleProduct.biasActivate(Arithmetic.of(t), all[b], bias.get()[b][0], relu);
              }
              return all;
            });
    return new Contract.Case(
        "bias %s of %d x %d x %d %s, seed %d"
            .formatted(relu ? "and relu" : "only", batches, rows, cols, t, seed),
        session -> {
          BatchOperand out = new BatchOperand(session, t, h.get(), rows, cols, 1, 3, 2);
          BatchOperand second = new BatchOperand(session, t, bias.get(), 1, cols, 3, 0, 5);
          Product.biasActivate(batches, out.batch(), second.batch(), relu);
          out.expect(expected.get());
          second.expect(bias.get());
        });
  }

  private static Contract.Case backward(
      DType t, int batches, int rows, int cols, boolean relu, long seed) {
    Supplier<double[][][]> h =
        Contract.once(() -> sample(Samples.Kind.SPECIAL, t, batches, rows, cols, seed));
    Supplier<double[][][]> d =
        Contract.once(() -> sample(Samples.Kind.WIDE, t, batches, rows, cols, seed + 500_000));
    Supplier<double[][][]> masked = Contract.once(() -> copy(d.get()));
    Supplier<double[][][]> gradient =
        Contract.once(
            () -> {
              double[][][] all = new double[batches][1][];
              for (int b = 0; b < batches; b++) {
                all[b][0] =
                    OracleProduct.biasActivateBackward(
                        Arithmetic.of(t), h.get()[b], masked.get()[b], cols, relu);
              }
              return all;
            });
    return new Contract.Case(
        "backward of bias %s of %d x %d x %d %s, seed %d"
            .formatted(relu ? "and relu" : "only", batches, rows, cols, t, seed),
        session -> {
          BatchOperand activated = new BatchOperand(session, t, h.get(), rows, cols, 1, 3, 2);
          BatchOperand out = new BatchOperand(session, t, d.get(), rows, cols, 2, 1, 2);
          BatchOperand bias =
              new BatchOperand(
                  session,
                  t,
                  sample(Samples.Kind.ORDINARY, t, batches, 1, cols, seed),
                  1,
                  cols,
                  3,
                  0,
                  5);
          Product.biasActivateBackward(batches, activated.batch(), out.batch(), bias.batch(), relu);
          bias.expect(gradient.get());
          out.expect(masked.get());
          activated.expect(h.get());
        });
  }

  // ---- softmax

  private static List<Contract.Case> softmaxCases() {
    int[][] shapes = {
      {1, 1, 1},
      {1, 0, 3},
      {2, 5, 2},
      {3, 32, 10},
      {1, 33, 31},
      {2, 7, 33},
      {1, 3, 1025},
      {16, 64, 10}
    };
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 60_000;
    for (DType t : TYPES) {
      for (int[] s : shapes) {
        for (Samples.Kind kind :
            List.of(Samples.Kind.ORDINARY, Samples.Kind.WIDE, Samples.Kind.INTEGERS)) {
          cases.add(softmax(t, s[0], s[1], s[2], kind, seed++));
        }
      }
    }
    return cases;
  }

  private static Contract.Case softmax(
      DType t, int batches, int rows, int classes, Samples.Kind kind, long seed) {
    Supplier<double[][][]> z = Contract.once(() -> sample(kind, t, batches, rows, classes, seed));
    double[][] labels = new double[batches][rows];
    for (int b = 0; b < batches; b++) {
      for (int r = 0; r < rows; r++) {
        labels[b][r] = Samples.random(seed).below((long) b * rows + r, classes);
      }
    }
    Supplier<OracleProduct.Bounded[][][]> gradients =
        Contract.once(
            () -> {
              OracleProduct.Bounded[][][] all = new OracleProduct.Bounded[batches][rows][classes];
              for (int b = 0; b < batches; b++) {
                for (int r = 0; r < rows; r++) {
                  for (int c = 0; c < classes; c++) {
                    all[b][r][c] =
                        OracleProduct.gradient(
                            Arithmetic.of(t), z.get()[b][r], (int) labels[b][r], c, rows);
                  }
                }
              }
              return all;
            });
    Supplier<OracleProduct.Bounded[]> losses =
        Contract.once(
            () -> {
              OracleProduct.Bounded[] all = new OracleProduct.Bounded[batches];
              for (int b = 0; b < batches; b++) {
                all[b] = OracleProduct.meanLoss(Arithmetic.of(t), z.get()[b], labels[b]);
              }
              return all;
            });
    Map<String, double[][][]> bits = new HashMap<>();
    return new Contract.Case(
        "softmax of %d x %d x %d %s %s, seed %d".formatted(batches, rows, classes, t, kind, seed),
        session -> {
          BatchOperand logits = new BatchOperand(session, t, z.get(), rows, classes, 1, 3, 2);
          boolean inPlace = session.cut();
          BatchOperand gradient =
              inPlace ? logits : new BatchOperand(session, t, z.get(), rows, classes, 2, 1, 0);
          DeviceMatrix l = session.matrix(DType.I32, labels, rows);
          Operand loss = session.operand(DType.F64, new double[1][batches], batches);
          Operand correct = session.operand(DType.I32, new double[1][batches], batches);
          Product.softmaxCrossEntropy(
              batches,
              logits.batch(),
              l,
              Optional.of(gradient.batch()),
              Optional.of(loss.matrix()),
              Optional.of(correct.matrix()));
          double[][][] actual = gradient.values(batches);
          for (int b = 0; b < batches; b++) {
            for (int r = 0; r < rows; r++) {
              for (int c = 0; c < classes; c++) {
                OracleProduct.Bounded want = gradients.get()[b][r][c];
                if (!want.holds(actual[b][r][c])) {
                  fail(
                      "gradient_%d(%d, %d) = %s, not %s".formatted(b, r, c, actual[b][r][c], want));
                }
              }
            }
            double mean = loss.values()[0][b];
            assertTrue(losses.get()[b].holds(mean), "loss " + b + " = " + mean);
          }
          correct.expect(hits(z.get(), labels));
          // exp and log are the library's own: equal bits on every tier.
          double[][][] first = bits.putIfAbsent("gradient", actual);
          gradient.expect(first == null ? actual : first);
          double[][][] before = bits.putIfAbsent("loss", new double[][][] {loss.values()});
          if (before != null) {
            loss.expect(before[0]);
          }
        });
  }

  private static List<Contract.Case> curvatureCases() {
    int[][] shapes = {
      {1, 1, 1},
      {1, 0, 3},
      {2, 3, 0},
      {0, 3, 2},
      {2, 5, 2},
      {3, 32, 10},
      {1, 33, 31},
      {2, 7, 33},
      {1, 3, 1025},
      {16, 64, 10}
    };
    List<Contract.Case> cases = new ArrayList<>();
    long seed = 70_000;
    for (DType t : TYPES) {
      for (int[] s : shapes) {
        for (Samples.Kind kind : List.of(Samples.Kind.ORDINARY, Samples.Kind.INTEGERS)) {
          cases.add(curvature(t, s[0], s[1], s[2], kind, seed++));
        }
      }
    }
    return cases;
  }

  private static Contract.Case curvature(
      DType t, int batches, int rows, int classes, Samples.Kind kind, long seed) {
    Supplier<double[][][]> z = Contract.once(() -> sample(kind, t, batches, rows, classes, seed));
    Supplier<double[][][]> u =
        Contract.once(
            () -> {
              double[][][] all =
                  sample(Samples.Kind.ORDINARY, t, batches, rows, classes, seed + 500);
              if (batches > 1 && rows > 1 && classes > 1) {
                all[1][1][1] = Double.NaN;
                all[0][1][0] = Double.POSITIVE_INFINITY;
              }
              return all;
            });
    Supplier<OracleProduct.Bounded[][][]> products =
        Contract.once(
            () -> {
              OracleProduct.Bounded[][][] all = new OracleProduct.Bounded[batches][rows][classes];
              for (int b = 0; b < batches; b++) {
                for (int r = 0; r < rows; r++) {
                  for (int c = 0; c < classes; c++) {
                    all[b][r][c] =
                        OracleProduct.curvature(
                            Arithmetic.of(t), z.get()[b][r], u.get()[b][r], c, rows);
                  }
                }
              }
              return all;
            });
    Map<String, double[][][]> bits = new HashMap<>();
    return new Contract.Case(
        "softmax curvature of %d x %d x %d %s %s, seed %d"
            .formatted(batches, rows, classes, t, kind, seed),
        session -> {
          BatchOperand logits = new BatchOperand(session, t, z.get(), rows, classes, 1, 3, 2);
          BatchOperand out = new BatchOperand(session, t, u.get(), rows, classes, 2, 1, 0);
          Product.softmaxCurvature(batches, logits.batch(), out.batch());
          double[][][] actual = out.values(batches);
          for (int b = 0; b < batches; b++) {
            for (int r = 0; r < rows; r++) {
              for (int c = 0; c < classes; c++) {
                OracleProduct.Bounded want = products.get()[b][r][c];
                // One element that is not finite makes all of its row NaN, up to the sign of inf.
                boolean finite = Double.isFinite(want.value());
                if (finite ? !want.holds(actual[b][r][c]) : Double.isFinite(actual[b][r][c])) {
                  fail("u_%d(%d, %d) = %s, not %s".formatted(b, r, c, actual[b][r][c], want));
                }
              }
            }
          }
          double[][][] first = bits.putIfAbsent("u", actual);
          out.expect(first == null ? actual : first);
          logits.expect(z.get());
        });
  }

  private static double[] hits(double[][][] z, double[][] labels) {
    double[] hits = new double[z.length];
    for (int b = 0; b < z.length; b++) {
      for (int r = 0; r < z[b].length; r++) {
        hits[b] += OracleProduct.argmax(z[b][r]) == labels[b][r] ? 1 : 0;
      }
    }
    return hits;
  }
}
