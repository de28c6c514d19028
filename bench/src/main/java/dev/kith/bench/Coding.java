package dev.kith.bench;

import dev.kith.bench.KithKernels.KithTask;
import dev.kith.bench.KithKernels.Plan;
import dev.kith.bench.KithKernels.Streams;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Code;
import dev.kith.kernel.Draw;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Quantize;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Workloads of the family {@code quantize}. Twins have streams of one shape, so the twin of a code
 * of 8 bits reads four quarters of a row at once for each word that it writes; the few columns that
 * parts of equal length leave over, and the scales of blocks, are not in it.
 */
final class Coding {
  /** Elements that share a scale, and levels; of the compressor {@code qsgd:7}. */
  static final int QSGD_BLOCK = 512;

  static final int QSGD_LEVELS = 7;

  private static final int INT8_BLOCK = 256;
  private static final int WORD = 32;
  private static final int MOST_STREAMS = 8;
  private static final long SEED = 1;
  private static final int PHILOX_RUNS = 4000;

  private Coding() {}

  /** The code of an operation's messages. */
  static Code of(Operation operation) {
    return switch (operation) {
      case INT8_QUANTIZE, INT8_ACCUMULATE, ROUND_INT8_RING -> Code.absmax(8, false, INT8_BLOCK);
      case QSGD4 -> Code.qsgd(4, QSGD_LEVELS, Code.Norm.TWO, QSGD_BLOCK);
      case SIGN_PACK, SIGN_MAJORITY -> Code.sign();
      default -> throw new IllegalArgumentException(operation.text() + " has no messages");
    };
  }

  static Plan quantize(KithTask task) {
    Workload w = task.workload();
    Code code = of(w.operation());
    Optional<Draw> draw = draw(code);
    DeviceMatrix messages = messages(task, w.rows());
    DeviceMatrix words = words(task, messages, code);
    int each = WORD / code.bits();
    List<Streams> passes =
        each <= MOST_STREAMS
            ? List.of(new Streams(parts(task, task.x(), each), List.of(words)))
            : List.of(
                new Streams(parts(task, task.x(), MOST_STREAMS), List.of()),
                new Streams(List.of(), List.of(words)));
    return new Plan(() -> Quantize.quantize(code, draw, task.x(), messages), messages, passes);
  }

  static Plan accumulate(KithTask task) {
    Workload w = task.workload();
    Code code = of(w.operation());
    DeviceMatrix messages = messages(task, w.rows());
    Quantize.quantize(code, Optional.empty(), task.x(), messages);
    DeviceMatrix y = task.filled(TestData.GRADIENT, DType.F32);
    List<DeviceMatrix> updated = parts(task, y, WORD / code.bits());
    List<DeviceMatrix> reads = new ArrayList<>(updated);
    reads.add(words(task, messages, code));
    return new Plan(() -> Quantize.accumulate(code, messages, y), y, reads, updated);
  }

  static Plan majority(KithTask task) {
    Workload w = task.workload();
    Code code = of(w.operation());
    DeviceMatrix messages = messages(task, w.rows());
    Quantize.quantize(code, Optional.empty(), task.x(), messages);
    DeviceMatrix out = messages(task, 1);
    List<DeviceMatrix> rows =
        IntStream.range(0, w.rows())
            .mapToObj(r -> words(task, task.keep(messages.row(r)), code))
            .toList();
    List<Streams> passes = new ArrayList<>();
    for (int r = 0; r < w.rows(); r += MOST_STREAMS) {
      int end = Math.min(w.rows(), r + MOST_STREAMS);
      passes.add(
          new Streams(
              rows.subList(r, end), end < w.rows() ? List.of() : List.of(words(task, out, code))));
    }
    return new Plan(() -> Quantize.majority(messages, w.cols(), out), out, passes);
  }

  static Plan round(KithTask task) {
    Workload w = task.workload();
    Code code = of(w.operation());
    DeviceMatrix messages = messages(task, w.rows());
    DeviceMatrix y = task.zeros(DType.F32);
    Optional<MixingWeights> weights = Optional.of(task.weights());
    DeviceMatrix words = words(task, messages, code);
    int each = WORD / code.bits();
    return new Plan(
        () -> {
          Quantize.quantize(code, Optional.empty(), task.x(), messages);
          Quantize.accumulate(weights, code, messages, Optional.empty(), false, y);
        },
        y,
        List.of(
            new Streams(parts(task, task.x(), each), List.of(words)),
            new Streams(List.of(words), parts(task, y, each))));
  }

  /** The half of a round that sums the messages of neighbours. */
  static final class Received implements AutoCloseable {
    private final KithTask task;
    private final Runnable sum;

    Received(Workload workload) {
      task = new KithTask(workload);
      Code code = of(workload.operation());
      DeviceMatrix messages = messages(task, workload.rows());
      Quantize.quantize(code, Optional.empty(), task.x(), messages);
      Optional<MixingWeights> weights = Optional.of(task.weights());
      sum =
          () ->
              Quantize.accumulate(weights, code, messages, Optional.empty(), false, task.output());
    }

    void run() {
      sum.run();
      task.queue().sync();
    }

    @Override
    public void close() {
      task.close();
    }
  }

  /** Bytes that {@link Received} must move: a byte read and a float written for each element. */
  static long receivedBytes(Workload workload) {
    return workload.elements() * (1 + Float.BYTES);
  }

  /**
   * What making random numbers adds to {@link Operation#QSGD4} for an element, over reading them,
   * on one thread and in the caches: the difference of the least of many times, since it is
   * arithmetic alone and whatever else the machine does only adds to it. A uniform takes one word
   * of the generator.
   */
  static double philoxNanos() {
    int cols = 8192;
    Code code = of(Operation.QSGD4);
    try (Queue queue = KithKernels.device().newQueue();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 1, cols, DType.F32);
        DeviceMatrix uniforms = DeviceMatrix.allocate(queue, 1, cols, DType.F32);
        DeviceMatrix message = DeviceMatrix.allocate(queue, 1, code.words(cols), DType.I32)) {
      float[] numbers = new float[cols];
      for (int c = 0; c < cols; c++) {
        numbers[c] = TestData.at(TestData.X, c);
      }
      x.upload(numbers);
      for (int c = 0; c < cols; c++) {
        numbers[c] = TestData.at(TestData.GRADIENT, c) + 0.5f;
      }
      uniforms.upload(numbers);
      Optional<Draw> made = draw(code);
      Optional<Draw> given = Optional.of(Draw.of(uniforms));
      // In turn, so that the processor is as fast for both.
      double fromKeys = Double.MAX_VALUE;
      double fromMemory = Double.MAX_VALUE;
      for (int i = 0; i < PHILOX_RUNS; i++) {
        fromKeys = Math.min(fromKeys, nanos(queue, code, made, x, message));
        fromMemory = Math.min(fromMemory, nanos(queue, code, given, x, message));
      }
      return (fromKeys - fromMemory) / cols;
    }
  }

  private static double nanos(
      Queue queue, Code code, Optional<Draw> draw, DeviceMatrix x, DeviceMatrix message) {
    long begin = System.nanoTime();
    Quantize.quantize(code, draw, x, message);
    queue.sync();
    return (double) (System.nanoTime() - begin);
  }

  /** What messages stand for, as many rows as there are. */
  static DeviceMatrix decode(KithTask task, DeviceMatrix messages) {
    Workload w = task.workload();
    DeviceMatrix y =
        task.keep(DeviceMatrix.allocate(task.queue(), messages.rows(), w.cols(), DType.F32));
    Quantize.accumulate(of(w.operation()), messages, y);
    return y;
  }

  private static Optional<Draw> draw(Code code) {
    return code.stochastic() ? Optional.of(Draw.of(SEED, 0, 0)) : Optional.empty();
  }

  private static DeviceMatrix messages(KithTask task, long rows) {
    Workload w = task.workload();
    return task.keep(
        DeviceMatrix.allocate(task.queue(), rows, of(w.operation()).words(w.cols()), DType.I32));
  }

  /** As many words as whole packets of codes fill, as a stream of a twin. */
  private static DeviceMatrix words(KithTask task, DeviceMatrix messages, Code code) {
    long words = task.workload().cols() / (WORD / code.bits());
    DeviceMatrix floats = task.keep(messages.bits(DType.F32));
    return task.keep(floats.columns(0, words));
  }

  /** The columns of a matrix in parts of equal length. */
  private static List<DeviceMatrix> parts(KithTask task, DeviceMatrix matrix, int count) {
    long each = matrix.cols() / count;
    return IntStream.range(0, count)
        .mapToObj(k -> task.keep(matrix.columns(k * each, (k + 1) * each)))
        .toList();
  }
}
