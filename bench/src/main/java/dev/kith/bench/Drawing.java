package dev.kith.bench;

import dev.kith.bench.KithKernels.KithTask;
import dev.kith.bench.KithKernels.Plan;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.NoiseField.Distribution;
import dev.kith.kernel.NoiseField.PublicRow;
import dev.kith.kernel.NoiseField.SecretRow;
import dev.kith.kernel.Product;
import dev.kith.kernel.Secret;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * Workloads of the family {@code noise}, and what its goals compare them with. The twin of a draw
 * writes a row and nothing else.
 */
final class Drawing {
  static final long SEED = 1;

  /** Directions of a perturbation, each of a seed of its own. */
  static final int DIRECTIONS = 16;

  /**
   * Words of a draw on one thread: more are spread over the threads of the device. The cost of a
   * call is taken out with a draw of half as many.
   */
  private static final int FEW = 16_320;

  private static final int RUNS = 4000;

  /**
   * Columns of the buffer of {@link Normals}: 16 rows take a megabyte of each second-level cache.
   */
  private static final int CACHED = 32_768;

  private static final int CHAIN = 20_000;

  // Not constants: of those the compiler and the processor may know the sum beforehand.
  private static int added = 0x9E3779B1;
  private static int flipped = 0x3C6EF35F;
  private static volatile int chainEnd;

  private Drawing() {}

  static Plan draw(KithTask task) {
    Workload w = task.workload();
    NoiseField field = field(task, w);
    boolean words = field.distribution() == Distribution.WORDS;
    DeviceMatrix y = task.zeros(words ? DType.I32 : DType.F32);
    DeviceMatrix written = words ? task.keep(y.bits(DType.F32)) : y;
    return new Plan(() -> Noise.draw(field, 1, y), y, List.of(), List.of(written));
  }

  static Plan correlated(KithTask task) {
    MixingWeights factor = task.weights();
    NoiseField field = group(task.workload());
    DeviceMatrix x = task.x();
    return new Plan(() -> Noise.sum(factor, field, 1, true, x), x, List.of(x), List.of(x));
  }

  static Plan pairwise(KithTask task) {
    Workload w = task.workload();
    DeviceMatrix g = task.filled(TestData.GRADIENT, DType.F32);
    DeviceMatrix y = task.zeros(DType.F32);
    MixingWeights weights = task.weights();
    int n = w.rows();
    long[] offsets = new long[n + 1];
    int[] columns = new int[2 * n];
    double[] values = new double[2 * n];
    for (int i = 0; i < n; i++) {
      offsets[i + 1] = 2L * (i + 1);
      columns[2 * i] = i;
      values[2 * i] = 1;
      columns[2 * i + 1] = Math.floorMod(i - 1, n);
      values[2 * i + 1] = -1;
    }
    MixingWeights edges =
        task.keep(MixingWeights.sparse(task.queue(), n, n, offsets, columns, values));
    Expression step =
        Expression.inner(task.x())
            .plusInner(-Workload.STEP_SIZE, g)
            .plusNoise(Workload.NOISE_SCALE, edges, edgeNoise(w));
    return new Plan(() -> Mixing.mix(weights, step, y), y, List.of(task.x(), g), List.of(y));
  }

  static Plan perturb(KithTask task) {
    double[] row = IntStream.range(0, DIRECTIONS).mapToDouble(Drawing::coefficient).toArray();
    MixingWeights coefficients = task.keep(MixingWeights.dense(task.queue(), 1, DIRECTIONS, row));
    NoiseField field =
        NoiseField.shared(distribution(task.workload()), Stream.PERTURBATION, directions());
    DeviceMatrix x = task.x();
    return new Plan(
        () -> Noise.sum(coefficients, field, Workload.STEP_SIZE, true, x),
        x,
        List.of(x),
        List.of(x));
  }

  /** The bytes of the secret of {@link Operation#CHACHA20}. */
  static byte[] secret() {
    byte[] bytes = new byte[Secret.BYTES];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) i;
    }
    return bytes;
  }

  /** The seed of direction k. */
  static long seed(int k) {
    return SEED + k;
  }

  /** The factor of direction k, before the step size: both signs, none 0. */
  static double coefficient(int k) {
    return (k + 0.5) / DIRECTIONS - 0.5;
  }

  private static NoiseField field(KithTask task, Workload w) {
    int rows = w.rows();
    return switch (w.operation()) {
      case PHILOX -> NoiseField.shared(Distribution.WORDS, Stream.NODE_NOISE, SEED, 0, 0, rows);
      case NORMAL -> NoiseField.shared(Distribution.NORMAL, Stream.NODE_NOISE, SEED, 0, 0, rows);
      case CHACHA20 -> secretWords(task.keep(Secret.of(secret())), rows);
      default -> throw new IllegalArgumentException(w.operation().text() + " draws no rows");
    };
  }

  private static NoiseField secretWords(Secret secret, int rows) {
    return NoiseField.secret(
        Distribution.WORDS,
        Stream.NODE_NOISE,
        IntStream.range(0, rows).mapToObj(r -> new SecretRow(secret, 0, r)).toList());
  }

  private static NoiseField group(Workload w) {
    return NoiseField.shared(Distribution.NORMAL, Stream.GROUP_NOISE, SEED, 0, 0, w.rows());
  }

  private static NoiseField edgeNoise(Workload w) {
    return NoiseField.shared(Distribution.NORMAL, Stream.EDGE_NOISE, SEED, 0, 0, w.rows());
  }

  private static Distribution distribution(Workload w) {
    return w.operation() == Operation.PERTURB16_GAUSSIAN
        ? Distribution.NORMAL
        : Distribution.RADEMACHER;
  }

  private static List<PublicRow> directions() {
    return IntStream.range(0, DIRECTIONS).mapToObj(k -> new PublicRow(seed(k), 0, 0)).toList();
  }

  /** The measures of a goal row beside those that all rows have. */
  static void measure(
      Workload w, Paired.Timed kernel, int pairs, Map<String, Double> measures, List<String> notes)
      throws Exception {
    switch (w.operation()) {
      case PHILOX, CHACHA20 -> {
        OneCore cost = OneCore.measure();
        measures.put("cycles", cost.philoxNanos() * cost.gigahertz());
        measures.put("overPhilox", cost.chachaNanos() / cost.philoxNanos());
        notes.add(
            "on one core at %.2f GHz, in its caches, Philox %.3f ns or %.2f cycles a word, ChaCha20 %.3f ns or %.2f cycles"
                .formatted(
                    cost.gigahertz(),
                    cost.philoxNanos(),
                    cost.philoxNanos() * cost.gigahertz(),
                    cost.chachaNanos(),
                    cost.chachaNanos() * cost.gigahertz()));
      }
      case CORN -> {
        for (boolean byBlas : new boolean[] {false, true}) {
          try (Apart apart = new Apart(w, byBlas)) {
            apart.run();
            new Reference(w).check("apart", apart);
            if (!Product.blas(KithKernels.device()).isEmpty()) {
              Paired beside = Paired.alternate(kernel, Paired.timed(apart::run), pairs);
              if (byBlas) {
                notes.add("%.2fx with the product added by BLAS".formatted(beside.ratio()));
              } else {
                measures.put("apart", beside.ratio());
              }
            }
          }
        }
      }
      case PAIRWISE_RING -> {
        Workload step = new Workload(Operation.ATC_RING, w.rows(), w.cols());
        try (KithTask noiseless = new KithTask(step);
            Normals normals = new Normals(w, edgeNoise(w))) {
          noiseless.run();
          Paired.Timed stepped = Paired.timed(noiseless::run);
          Paired.Timed drawn = normals.timed();
          // Both parts in each turn, so that the machine is as busy for them as for the whole.
          double[] parts = new double[2];
          Paired beside =
              Paired.alternate(
                  kernel,
                  () -> {
                    double mixing = stepped.nanos();
                    double drawing = drawn.nanos();
                    parts[0] += mixing;
                    parts[1] += drawing;
                    return mixing + drawing;
                  },
                  pairs);
          measures.put("overParts", 1 / beside.ratio());
          notes.add(
              "the step alone takes %.0f%% of its parts, the normals %.0f%%; quartiles of %d ratios %.3f to %.3f"
                  .formatted(
                      100 * parts[0] / (parts[0] + parts[1]),
                      100 * parts[1] / (parts[0] + parts[1]),
                      pairs,
                      1 / beside.high(),
                      1 / beside.low()));
        }
      }
      case PERTURB16_GAUSSIAN -> {
        NoiseField field =
            NoiseField.shared(Distribution.NORMAL, Stream.PERTURBATION, directions());
        try (Normals normals = new Normals(w, field)) {
          Paired beside = Paired.alternate(kernel, normals.timed(), pairs);
          measures.put("overNormals", 1 / beside.ratio());
          notes.add(
              "%.3f ns a normal, %.3f ns alone, quartiles of %d ratios %.3f to %.3f"
                  .formatted(
                      beside.nanos() / w.cols() / DIRECTIONS,
                      beside.otherNanos() / w.cols() / DIRECTIONS,
                      pairs,
                      1 / beside.high(),
                      1 / beside.low()));
        }
      }
      case PERTURB16_RADEMACHER -> {
        try (Loop loop = new Loop(w)) {
          loop.run();
          new Reference(w).check("loop", loop);
          measures.put("loop", Paired.alternate(kernel, Paired.timed(loop::run), pairs).ratio());
        }
      }
      default -> {}
    }
  }

  /**
   * Cost of a word on one core, and its clock: the least of many times, since this is arithmetic
   * alone and whatever else the machine does only adds to it.
   *
   * @param philoxNanos a word of a public seed
   * @param chachaNanos a word of a secret
   * @param gigahertz cycles in a nanosecond
   */
  private record OneCore(double philoxNanos, double chachaNanos, double gigahertz) {
    static OneCore measure() {
      try (Queue queue = KithKernels.device().newQueue();
          Secret secret = Secret.of(secret());
          DeviceMatrix all = DeviceMatrix.allocate(queue, 1, FEW, DType.I32);
          DeviceMatrix half = all.columns(0, FEW / 2)) {
        NoiseField philox = NoiseField.shared(Distribution.WORDS, Stream.NODE_NOISE, SEED, 0, 0, 1);
        NoiseField chacha = secretWords(secret, 1);
        double[] least = new double[5];
        Arrays.fill(least, Double.MAX_VALUE);
        // In turn, so that the processor is as fast for all.
        for (int i = 0; i < RUNS; i++) {
          least[0] = Math.min(least[0], nanos(queue, philox, all));
          least[1] = Math.min(least[1], nanos(queue, philox, half));
          least[2] = Math.min(least[2], nanos(queue, chacha, all));
          least[3] = Math.min(least[3], nanos(queue, chacha, half));
          least[4] = Math.min(least[4], chainNanos());
        }
        int more = FEW / 2;
        return new OneCore(
            (least[0] - least[1]) / more, (least[2] - least[3]) / more, 2 * CHAIN / least[4]);
      }
    }

    private static double nanos(Queue queue, NoiseField field, DeviceMatrix y) {
      long begin = System.nanoTime();
      Noise.draw(field, 1, y);
      queue.sync();
      return (double) (System.nanoTime() - begin);
    }

    /** Additions and exclusive ors in turn, each of the result before it: a cycle each. */
    private static double chainNanos() {
      int b = added;
      int c = flipped;
      long begin = System.nanoTime();
      int a = chainEnd;
      for (int i = 0; i < CHAIN; i++) {
        a = (a + b) ^ c;
      }
      chainEnd = a;
      return (double) (System.nanoTime() - begin);
    }
  }

  /**
   * {@link Operation#CORN} as one would write it without the fused form: Z into a matrix, F Z by
   * BLAS into another, and their sum; or F Z added to X by BLAS.
   */
  private static final class Apart implements Implementation.Task {
    private final KithTask task;
    private final Runnable work;

    Apart(Workload w, boolean addedByBlas) {
      task = new KithTask(w);
      DeviceMatrix x = task.x();
      DeviceMatrix z = task.zeros(DType.F32);
      DeviceMatrix factor =
          task.keep(DeviceMatrix.allocate(task.queue(), w.rows(), w.rows(), DType.F32));
      factor.upload(Weights.of(w).toDenseFloats());
      NoiseField field = group(w);
      if (addedByBlas) {
        Batch f = Batch.of(factor);
        Batch drawn = Batch.of(z);
        Batch to = Batch.of(x);
        work =
            () -> {
              Noise.draw(field, 1, z);
              Product.multiply(1, 1, f, false, drawn, false, 1, to);
            };
      } else {
        DeviceMatrix product = task.zeros(DType.F32);
        Expression sum = Expression.inner(x).plusInner(product);
        work =
            () -> {
              Noise.draw(field, 1, z);
              Product.multiply(factor, false, z, false, product);
              Mixing.combine(sum, x);
            };
      }
    }

    @Override
    public void run() {
      work.run();
      task.queue().sync();
    }

    @Override
    public double result(long index) {
      return task.result(index);
    }

    @Override
    public void close() {
      task.close();
    }
  }

  /** As many normals as a row of each source, into a buffer that stays in the caches. */
  private static final class Normals implements AutoCloseable {
    private final Queue queue = KithKernels.device().newQueue();
    private final DeviceMatrix buffer;
    private final NoiseField field;
    private final long cols;

    Normals(Workload w, NoiseField field) {
      this.field = field;
      cols = w.cols();
      buffer = DeviceMatrix.allocate(queue, field.count(), Math.min(CACHED, cols), DType.F32);
    }

    /** The time of exactly that many, of a whole number of buffers. */
    Paired.Timed timed() {
      long times = (cols + buffer.cols() - 1) / buffer.cols();
      Paired.Timed whole =
          Paired.timed(
              () -> {
                for (long i = 0; i < times; i++) {
                  Noise.draw(field, 1, buffer);
                }
                queue.sync();
              });
      return () -> whole.nanos() * cols / (times * buffer.cols());
    }

    @Override
    public void close() {
      buffer.close();
      queue.close();
    }
  }

  /** A perturbation direction by direction. */
  private static final class Loop implements Implementation.Task {
    private final KithTask task;
    private final List<NoiseField> fields = new ArrayList<>();

    Loop(Workload w) {
      task = new KithTask(w);
      for (PublicRow row : directions()) {
        fields.add(NoiseField.shared(distribution(w), Stream.PERTURBATION, List.of(row)));
      }
    }

    @Override
    public void run() {
      for (int k = 0; k < DIRECTIONS; k++) {
        Noise.add(fields.get(k), Workload.STEP_SIZE * coefficient(k), task.x());
      }
      task.queue().sync();
    }

    @Override
    public double result(long index) {
      return task.result(index);
    }

    @Override
    public void close() {
      task.close();
    }
  }
}
