package dev.kith.bench;

import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.impl.reduce.floating.Norm2;
import org.nd4j.linalg.api.ops.impl.updaters.AdamUpdater;
import org.nd4j.linalg.factory.Nd4j;

/** ND4J on its CPU backend, with outputs that are allocated once. */
final class Nd4jPeer implements Implementation {
  @Override
  public String name() {
    return "nd4j";
  }

  @Override
  public String description() {
    return "ND4J " + Versions.of("nd4j") + ", outputs preallocated";
  }

  @Override
  public boolean supports(Workload w) {
    return switch (w.operation()) {
      case MIX_RING, MIX_ER8, MIX_DENSE, ATC_RING -> w.rows() <= Weights.DENSE_LIMIT;
      case ROWNORM, GRAM, ADAMW, MULTIPLY -> true;
      default -> false;
    };
  }

  @Override
  public Task prepare(Workload w) {
    return switch (w.operation()) {
      case MIX_RING, MIX_ER8, MIX_DENSE -> mix(w);
      case ATC_RING -> atc(w);
      case ROWNORM -> norms(w);
      case GRAM -> gram(w);
      case ADAMW -> adamW(w);
      case MULTIPLY -> multiply(w);
      default -> throw Implementation.unsupported(this, w);
    };
  }

  private static Task mix(Workload w) {
    Product product = new Product(weights(w), matrix(w, TestData.X));
    return new Arrays(product::run, product.result());
  }

  private static Task atc(Workload w) {
    INDArray x = matrix(w, TestData.X);
    INDArray g = matrix(w, TestData.GRADIENT);
    INDArray inner = Nd4j.createUninitialized(DataType.FLOAT, w.rows(), w.cols());
    Product product = new Product(weights(w), inner);
    return new Arrays(
        () -> {
          g.muli(-Workload.STEP_SIZE, inner);
          inner.addi(x);
          product.run();
        },
        product.result());
  }

  private static Task norms(Workload w) {
    INDArray x = matrix(w, TestData.X);
    INDArray out = Nd4j.createUninitialized(DataType.FLOAT, w.rows());
    return new Arrays(() -> Nd4j.getExecutioner().exec(new Norm2(x, out, false, 1)), out);
  }

  private static Task gram(Workload w) {
    INDArray x = matrix(w, TestData.X);
    INDArray out = Nd4j.createUninitialized(DataType.FLOAT, new long[] {w.rows(), w.rows()}, 'f');
    return new Arrays(() -> Nd4j.gemm(x, x, out, false, true, 1, 0), out);
  }

  private static Task multiply(Workload w) {
    Product product = new Product(matrix(w, TestData.X), matrix(w, TestData.GRADIENT));
    return new Arrays(product::run, product.result());
  }

  /**
   * The updater turns the gradient into the update in place, so the gradient is copied first, as
   * its trainers do.
   */
  private static Task adamW(Workload w) {
    INDArray x = matrix(w, TestData.X);
    INDArray g = matrix(w, TestData.GRADIENT);
    INDArray update = Nd4j.createUninitialized(DataType.FLOAT, w.rows(), w.cols());
    INDArray m = Nd4j.zeros(DataType.FLOAT, w.rows(), w.cols());
    INDArray v = Nd4j.zeros(DataType.FLOAT, w.rows(), w.cols());
    int[] iteration = {0};
    return new Arrays(
        () -> {
          update.assign(g);
          Nd4j.getExecutioner()
              .exec(
                  new AdamUpdater(
                      update,
                      v,
                      m,
                      Workload.STEP_SIZE,
                      Workload.BETA1,
                      Workload.BETA2,
                      Workload.EPSILON,
                      iteration[0]++));
          x.muli(1 - Workload.STEP_SIZE * Workload.WEIGHT_DECAY);
          x.subi(update);
        },
        x);
  }

  /**
   * C = A B on row-major arrays. ND4J's gemm wants its output column-major and copies otherwise, so
   * the transposed product is formed, B' A', where all three are column-major views of the
   * row-major memory.
   */
  private record Product(INDArray left, INDArray right, INDArray result) {
    Product(INDArray a, INDArray b) {
      this(
          b.transpose(),
          a.transpose(),
          Nd4j.createUninitialized(DataType.FLOAT, new long[] {b.size(1), a.size(0)}, 'f'));
    }

    void run() {
      Nd4j.gemm(left, right, result, false, false, 1, 0);
    }
  }

  private static INDArray weights(Workload w) {
    return Nd4j.createFromArray(Weights.of(w).toDenseFloats()).reshape(w.rows(), w.rows());
  }

  private static INDArray matrix(Workload w, int stream) {
    INDArray matrix = Nd4j.createUninitialized(DataType.FLOAT, w.rows(), w.cols());
    for (long k = 0; k < w.elements(); k++) {
      matrix.data().put(k, TestData.at(stream, k));
    }
    return matrix;
  }

  /** The result lies in memory as the row-major one of the workload. */
  private record Arrays(Runnable work, INDArray output) implements Task {
    @Override
    public void run() {
      work.run();
    }

    @Override
    public double result(long index) {
      return output.data().getFloat(index);
    }

    @Override
    public void close() {
      output.close();
    }
  }
}
