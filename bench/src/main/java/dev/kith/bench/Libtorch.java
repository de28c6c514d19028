package dev.kith.bench;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.function.Supplier;

/**
 * libtorch through DJL. The binding has no {@code out=} forms, so every result is new memory;
 * started with {@code MALLOC_MMAP_MAX_=0} and {@code MALLOC_TRIM_THRESHOLD_} above the size of the
 * arrays, as {@link PeerProcess} does, the C library gives the pages of the last result again and
 * the page faults are gone.
 */
final class Libtorch implements Implementation {
  static final String OFFLINE = "ai.djl.offline";

  private final boolean memoryReused = "0".equals(System.getenv("MALLOC_MMAP_MAX_"));

  Libtorch() {
    // The natives are on the class path; nothing may be fetched.
    System.setProperty(OFFLINE, "true");
  }

  @Override
  public String name() {
    return memoryReused ? "libtorch-djl" : "libtorch-djl-fresh";
  }

  @Override
  public String description() {
    Engine engine = Engine.getInstance();
    return "libtorch "
        + engine.getVersion()
        + " through DJL "
        + Engine.getDjlVersion()
        + (memoryReused ? ", memory reused" : ", fresh results");
  }

  @Override
  public boolean supports(Workload w) {
    return switch (w.operation()) {
      case MIX_RING, MIX_ER8, MIX_DENSE, ATC_RING -> w.rows() <= Weights.DENSE_LIMIT;
      case ROWNORM, CONSENSUS, GRAM, ADAMW, HEAVY_BALL, MULTIPLY, GATHER -> true;
      default -> false;
    };
  }

  @Override
  public Task prepare(Workload w) {
    NDManager manager = NDManager.newBaseManager();
    return switch (w.operation()) {
      case MIX_RING, MIX_ER8, MIX_DENSE -> mix(w, manager);
      case ATC_RING -> atc(w, manager);
      case ROWNORM -> norms(w, manager);
      case CONSENSUS -> consensus(w, manager);
      case GRAM -> gram(w, manager);
      case ADAMW -> adamW(w, manager);
      case HEAVY_BALL -> heavyBall(w, manager);
      case MULTIPLY -> multiply(w, manager);
      case GATHER -> gather(w, manager);
      default -> throw Implementation.unsupported(this, w);
    };
  }

  private static Task mix(Workload w, NDManager manager) {
    NDArray weights = weights(w, manager);
    NDArray x = matrix(w, manager, TestData.X);
    return results(manager, () -> weights.matMul(x));
  }

  private static Task atc(Workload w, NDManager manager) {
    NDArray weights = weights(w, manager);
    NDArray x = matrix(w, manager, TestData.X);
    NDArray g = matrix(w, manager, TestData.GRADIENT);
    return results(
        manager,
        () -> {
          try (NDArray inner = g.mul(-Workload.STEP_SIZE)) {
            return weights.matMul(inner.addi(x));
          }
        });
  }

  private static Task norms(Workload w, NDManager manager) {
    NDArray x = matrix(w, manager, TestData.X);
    return results(manager, () -> x.norm(2, new int[] {1}, false));
  }

  private static Task consensus(Workload w, NDManager manager) {
    NDArray x = matrix(w, manager, TestData.X);
    return results(
        manager,
        () -> {
          try (NDArray mean = x.mean(new int[] {0}, true);
              NDArray difference = x.sub(mean);
              // The norm of the whole adds in single precision one by one and loses three digits.
              NDArray rows = difference.norm(2, new int[] {1}, false);
              NDArray squares = rows.square();
              NDArray sum = squares.sum()) {
            return sum.div(w.rows());
          }
        });
  }

  private static Task gram(Workload w, NDManager manager) {
    NDArray x = matrix(w, manager, TestData.X);
    NDArray transposed = x.transpose();
    return results(manager, () -> x.matMul(transposed));
  }

  private static Task multiply(Workload w, NDManager manager) {
    NDArray a = matrix(w, manager, TestData.X);
    NDArray b = matrix(w, manager, TestData.GRADIENT);
    return results(manager, () -> a.matMul(b));
  }

  private static Task gather(Workload w, NDManager manager) {
    NDArray x = matrix(w, manager, TestData.X);
    int[] order = new int[w.rows()];
    for (int i = 0; i < order.length; i++) {
      order[i] = Reference.shuffled(i, w.rows());
    }
    NDArray index = manager.create(order).toType(DataType.INT64, false);
    return results(manager, () -> x.get(index));
  }

  /** DJL's own {@code adamUpdate}, the call of its optimizer. */
  private static Task adamW(Workload w, NDManager manager) {
    NDArray x = matrix(w, manager, TestData.X);
    NDArray g = matrix(w, manager, TestData.GRADIENT);
    NDArray m = x.zerosLike();
    NDArray v = x.zerosLike();
    int[] step = {0};
    return inPlace(
        manager,
        x,
        () -> {
          step[0]++;
          double first = 1 - Math.pow(Workload.BETA1, step[0]);
          double second = 1 - Math.pow(Workload.BETA2, step[0]);
          float corrected = (float) (Workload.STEP_SIZE * Math.sqrt(second) / first);
          x.getNDArrayInternal()
              .adamUpdate(
                  new NDList(x, g, m, v),
                  new NDList(x),
                  Workload.STEP_SIZE,
                  corrected,
                  Workload.WEIGHT_DECAY,
                  1,
                  -1,
                  Workload.BETA1,
                  Workload.BETA2,
                  Workload.EPSILON,
                  false,
                  true);
        });
  }

  /**
   * DJL's own {@code sgdUpdate} has no state of the form used here, so this is in-place operators.
   */
  private static Task heavyBall(Workload w, NDManager manager) {
    NDArray x = matrix(w, manager, TestData.X);
    NDArray g = matrix(w, manager, TestData.GRADIENT);
    NDArray v = x.zerosLike();
    return inPlace(
        manager,
        x,
        () -> {
          v.muli(Workload.MOMENTUM);
          try (NDArray scaled = g.mul(Workload.STEP_SIZE)) {
            v.addi(scaled);
          }
          x.subi(v);
        });
  }

  private static NDArray weights(Workload w, NDManager manager) {
    return manager.create(Weights.of(w).toDenseFloats(), new Shape(w.rows(), w.rows()));
  }

  private static NDArray matrix(Workload w, NDManager manager, int stream) {
    NDArray matrix = manager.create(new Shape(w.rows(), w.cols()), DataType.FLOAT32);
    MemorySegment memory =
        MemorySegment.ofBuffer(matrix.toByteBuffer(true).order(ByteOrder.nativeOrder()));
    for (long k = 0; k < w.elements(); k++) {
      memory.setAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, k, TestData.at(stream, k));
    }
    return matrix;
  }

  private static Task results(NDManager manager, Supplier<NDArray> work) {
    return new Results(manager, work, null);
  }

  private static Task inPlace(NDManager manager, NDArray x, Runnable work) {
    return new Results(
        manager,
        () -> {
          work.run();
          return null;
        },
        x);
  }

  /** Keeps the last result, and gives its memory back before the next is made. */
  private static final class Results implements Task {
    private final NDManager manager;
    private final Supplier<NDArray> work;
    private final NDArray updated;
    private NDArray result;

    Results(NDManager manager, Supplier<NDArray> work, NDArray updated) {
      this.manager = manager;
      this.work = work;
      this.updated = updated;
    }

    @Override
    public void run() {
      if (result != null) {
        result.close();
      }
      result = work.get();
    }

    @Override
    public double result(long index) {
      NDArray last = updated != null ? updated : result;
      try (NDArray flat = last.flatten();
          NDArray one = flat.get(index);
          NDArray value = one.toType(DataType.FLOAT32, false)) {
        return value.getFloat();
      }
    }

    @Override
    public void close() {
      manager.close();
    }
  }
}
