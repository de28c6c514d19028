package dev.kith.bench;

import dev.kith.device.HalfPrecision;
import java.util.Arrays;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import java.util.stream.IntStream;

/**
 * What one writes without a library: loops over {@code float[]} that the JIT compiler vectorises,
 * cut into blocks over all processors.
 */
class PlainJava implements Implementation {
  /**
   * Columns that are worked on at a time: inputs and output of a block stay in the first-level
   * cache.
   */
  static final int BLOCK = 2048;

  @Override
  public String name() {
    return "java";
  }

  @Override
  public String description() {
    return "loops over float[], " + Runtime.getRuntime().availableProcessors() + " threads";
  }

  @Override
  public boolean supports(Workload w) {
    return switch (w.operation()) {
      case MIX_RING, MIX_ER8, MIX_DENSE, MIX_REGULAR4, ATC_RING -> true;
      case ROWNORM, ADAMW, HEAVY_BALL, CONVERT_BF16, GATHER, MULTIPLY, NORMAL -> true;
      default -> false;
    };
  }

  @Override
  public Task prepare(Workload w) {
    return switch (w.operation()) {
      case MIX_RING, MIX_ER8, MIX_DENSE, MIX_REGULAR4 -> mix(w);
      case ATC_RING -> atc(w);
      case ROWNORM -> norms(w);
      case ADAMW -> adamW(w);
      case HEAVY_BALL -> heavyBall(w);
      case CONVERT_BF16 -> convert(w);
      case GATHER -> gather(w);
      case MULTIPLY -> multiply(w);
      case NORMAL -> normals(w);
      default -> throw Implementation.unsupported(this, w);
    };
  }

  // The inner loops, which VectorApi writes with explicit vectors.

  /** y = a x. */
  void scale(float a, float[] x, float[] y, int from, int to) {
    for (int c = from; c < to; c++) {
      y[c] = a * x[c];
    }
  }

  /** y += a x. */
  void accumulate(float a, float[] x, float[] y, int from, int to) {
    for (int c = from; c < to; c++) {
      y[c] += a * x[c];
    }
  }

  /** y = a x + b u + c v. */
  void three(
      float a, float[] x, float b, float[] u, float c, float[] v, float[] y, int from, int to) {
    for (int i = from; i < to; i++) {
      y[i] = a * x[i] + b * u[i] + c * v[i];
    }
  }

  /** sum x^2. */
  double squares(float[] x, int from, int to) {
    // Four sums: a single one is a chain that cannot be vectorised.
    float s0 = 0;
    float s1 = 0;
    float s2 = 0;
    float s3 = 0;
    int c = from;
    for (; c + 3 < to; c += 4) {
      s0 += x[c] * x[c];
      s1 += x[c + 1] * x[c + 1];
      s2 += x[c + 2] * x[c + 2];
      s3 += x[c + 3] * x[c + 3];
    }
    for (; c < to; c++) {
      s0 += x[c] * x[c];
    }
    return (double) s0 + s1 + s2 + s3;
  }

  /** AdamW on one window; a = eta / (1 - beta1^t), q = 1 / sqrt(1 - beta2^t). */
  void adamW(float[] x, float[] g, float[] m, float[] v, float a, float q, int from, int to) {
    float keep = 1 - Workload.STEP_SIZE * Workload.WEIGHT_DECAY;
    for (int c = from; c < to; c++) {
      float gradient = g[c];
      float first = Workload.BETA1 * m[c] + (1 - Workload.BETA1) * gradient;
      float second = Workload.BETA2 * v[c] + (1 - Workload.BETA2) * gradient * gradient;
      m[c] = first;
      v[c] = second;
      x[c] = x[c] * keep - a * first / ((float) Math.sqrt(second) * q + Workload.EPSILON);
    }
  }

  /** The inner sums of a block, and a row of the result. */
  private record Scratch(float[][] inner, float[] row) {}

  /** inner = x - eta g, from column {@code from} of x and g on. */
  void step(float[] x, float[] g, int from, float[] inner, int count) {
    for (int c = 0; c < count; c++) {
      inner[c] = x[from + c] - Workload.STEP_SIZE * g[from + c];
    }
  }

  private Task mix(Workload w) {
    Weights weights = Weights.of(w);
    float[] values = weights.floatValues();
    float[][] x = matrix(w, TestData.X);
    float[][] y = new float[w.rows()][(int) w.cols()];
    if (w.cols() <= BLOCK) {
      return new Arrays2d(
          y,
          () ->
              IntStream.range(0, w.rows())
                  .parallel()
                  .forEach(i -> mixRow(weights, values, x, y[i], i, 0, y[i].length)),
          w);
    }
    return new Arrays2d(
        y, () -> blocks(w, (from, to) -> mixBlock(weights, values, x, y, from, to)), w);
  }

  private void mixBlock(
      Weights weights, float[] values, float[][] x, float[][] y, int from, int to) {
    for (int i = 0; i < weights.rows(); i++) {
      mixRow(weights, values, x, y[i], i, from, to);
    }
  }

  private void mixRow(
      Weights weights, float[] values, float[][] x, float[] y, int i, int from, int to) {
    int k = weights.begin(i);
    int[] columns = weights.columns();
    if (weights.end(i) - k == 3) {
      three(
          values[k],
          x[columns[k]],
          values[k + 1],
          x[columns[k + 1]],
          values[k + 2],
          x[columns[k + 2]],
          y,
          from,
          to);
      return;
    }
    scale(values[k], x[columns[k]], y, from, to);
    for (k++; k < weights.end(i); k++) {
      accumulate(values[k], x[columns[k]], y, from, to);
    }
  }

  private Task atc(Workload w) {
    Weights weights = Weights.of(w);
    float[] values = weights.floatValues();
    float[][] x = matrix(w, TestData.X);
    float[][] g = matrix(w, TestData.GRADIENT);
    float[][] y = new float[w.rows()][(int) w.cols()];
    // One pass over memory: the inner sum of a block is formed where it stays in the cache.
    ThreadLocal<Scratch> scratch =
        ThreadLocal.withInitial(() -> new Scratch(new float[w.rows()][BLOCK], new float[BLOCK]));
    return new Arrays2d(
        y,
        () ->
            blocks(
                w,
                (from, to) -> {
                  float[][] inner = scratch.get().inner();
                  float[] row = scratch.get().row();
                  for (int i = 0; i < w.rows(); i++) {
                    step(x[i], g[i], from, inner[i], to - from);
                  }
                  for (int i = 0; i < w.rows(); i++) {
                    mixRow(weights, values, inner, row, i, 0, to - from);
                    System.arraycopy(row, 0, y[i], from, to - from);
                  }
                }),
        w);
  }

  private Task norms(Workload w) {
    float[][] x = matrix(w, TestData.X);
    float[][] out = new float[1][w.rows()];
    return new Arrays2d(
        out,
        () ->
            IntStream.range(0, w.rows())
                .parallel()
                .forEach(
                    i -> {
                      double sum = 0;
                      for (int from = 0; from < w.cols(); from += BLOCK) {
                        sum += squares(x[i], from, (int) Math.min(w.cols(), from + (long) BLOCK));
                      }
                      out[0][i] = (float) Math.sqrt(sum);
                    }),
        w.rows());
  }

  private Task adamW(Workload w) {
    float[] x = matrix(w, TestData.X)[0];
    float[] g = matrix(w, TestData.GRADIENT)[0];
    float[] m = new float[x.length];
    float[] v = new float[x.length];
    int[] step = {0};
    return new Arrays2d(
        new float[][] {x},
        () -> {
          step[0]++;
          float a = (float) (Workload.STEP_SIZE / (1 - Math.pow(Workload.BETA1, step[0])));
          float q = (float) (1 / Math.sqrt(1 - Math.pow(Workload.BETA2, step[0])));
          blocks(w, (from, to) -> adamW(x, g, m, v, a, q, from, to));
        },
        w);
  }

  private Task heavyBall(Workload w) {
    float[] x = matrix(w, TestData.X)[0];
    float[] g = matrix(w, TestData.GRADIENT)[0];
    float[] v = new float[x.length];
    return new Arrays2d(
        new float[][] {x},
        () ->
            blocks(
                w,
                (from, to) -> {
                  scale(Workload.MOMENTUM, v, v, from, to);
                  accumulate(Workload.STEP_SIZE, g, v, from, to);
                  accumulate(-1, v, x, from, to);
                }),
        w);
  }

  private Task convert(Workload w) {
    float[][] x = matrix(w, TestData.X);
    short[][] y = new short[w.rows()][(int) w.cols()];
    return new Task() {
      @Override
      public void run() {
        blocks(
            w,
            (from, to) -> {
              for (int i = 0; i < y.length; i++) {
                for (int c = from; c < to; c++) {
                  y[i][c] = HalfPrecision.floatToBf16(x[i][c]);
                }
              }
            });
      }

      @Override
      public double result(long index) {
        return HalfPrecision.bf16ToFloat(y[(int) (index / w.cols())][(int) (index % w.cols())]);
      }

      @Override
      public void close() {}
    };
  }

  private Task gather(Workload w) {
    float[][] x = matrix(w, TestData.X);
    float[][] y = new float[w.rows()][(int) w.cols()];
    return new Arrays2d(
        y,
        () ->
            IntStream.range(0, w.rows())
                .parallel()
                .forEach(
                    i ->
                        System.arraycopy(
                            x[Reference.shuffled(i, w.rows())], 0, y[i], 0, y[i].length)),
        w);
  }

  private Task multiply(Workload w) {
    float[][] a = matrix(w, TestData.X);
    float[][] b = matrix(w, TestData.GRADIENT);
    float[][] c = new float[w.rows()][(int) w.cols()];
    return new Arrays2d(
        c,
        () ->
            IntStream.range(0, w.rows())
                .parallel()
                .forEach(
                    i -> {
                      scale(a[i][0], b[0], c[i], 0, b.length);
                      for (int k = 1; k < b.length; k++) {
                        accumulate(a[i][k], b[k], c[i], 0, b.length);
                      }
                    }),
        w);
  }

  /** A generator for each processor, of the fastest kind that Java has. */
  private Task normals(Workload w) {
    float[][] y = new float[w.rows()][(int) w.cols()];
    int parts = Runtime.getRuntime().availableProcessors();
    RandomGenerator[] generators = new RandomGenerator[parts];
    Arrays.setAll(
        generators,
        p -> RandomGeneratorFactory.of("Xoroshiro128PlusPlus").create(Drawing.SEED + p));
    return new Arrays2d(
        y,
        () ->
            IntStream.range(0, parts)
                .parallel()
                .forEach(
                    p -> {
                      RandomGenerator generator = generators[p];
                      for (float[] row : y) {
                        int end = (int) ((p + 1) * w.cols() / parts);
                        for (int c = (int) (p * w.cols() / parts); c < end; c++) {
                          row[c] = (float) generator.nextGaussian();
                        }
                      }
                    }),
        w);
  }

  private interface Window {
    void run(int from, int to);
  }

  private static void blocks(Workload w, Window window) {
    int count = (int) ((w.cols() + BLOCK - 1) / BLOCK);
    IntStream.range(0, count)
        .parallel()
        .forEach(b -> window.run(b * BLOCK, (int) Math.min(w.cols(), (b + 1L) * BLOCK)));
  }

  static float[][] matrix(Workload w, int stream) {
    float[][] x = new float[w.rows()][(int) w.cols()];
    IntStream.range(0, w.rows())
        .parallel()
        .forEach(
            i -> {
              for (int c = 0; c < x[i].length; c++) {
                x[i][c] = TestData.at(stream, i * w.cols() + c);
              }
            });
    return x;
  }

  private record Arrays2d(float[][] result, Runnable work, long cols) implements Task {
    Arrays2d(float[][] result, Runnable work, Workload w) {
      this(result, work, w.cols());
    }

    @Override
    public void run() {
      work.run();
    }

    @Override
    public double result(long index) {
      return result[(int) (index / cols)][(int) (index % cols)];
    }

    @Override
    public void close() {}
  }
}
