package dev.kith.bench;

import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.openblas.global.openblas;

/** cblas calls of OpenBLAS on row-major memory, with all its threads. */
final class OpenBlas implements Implementation {
  @Override
  public String name() {
    return "openblas";
  }

  @Override
  public String description() {
    openblas.blas_set_num_threads(Runtime.getRuntime().availableProcessors());
    return "OpenBLAS "
        + Versions.of("openblas")
        + ", "
        + openblas.blas_get_num_threads()
        + " threads";
  }

  @Override
  public boolean supports(Workload w) {
    return switch (w.operation()) {
      case MIX_RING, MIX_ER8, MIX_DENSE -> w.rows() <= Weights.DENSE_LIMIT;
      case GRAM, ROWNORM, MULTIPLY -> true;
      default -> false;
    };
  }

  @Override
  public Task prepare(Workload w) {
    openblas.blas_set_num_threads(Runtime.getRuntime().availableProcessors());
    return switch (w.operation()) {
      case MIX_RING, MIX_ER8, MIX_DENSE -> mix(w);
      case GRAM -> gram(w);
      case ROWNORM -> norms(w);
      case MULTIPLY -> multiply(w);
      default -> throw Implementation.unsupported(this, w);
    };
  }

  private static Task mix(Workload w) {
    int n = w.rows();
    int d = Math.toIntExact(w.cols());
    FloatPointer weights = new FloatPointer(Weights.of(w).toDenseFloats());
    FloatPointer x = matrix(w, TestData.X);
    FloatPointer y = new FloatPointer(w.elements());
    return new Pointers(() -> gemm(false, n, d, n, weights, x, y), y, List.of(weights, x));
  }

  private static Task gram(Workload w) {
    int n = w.rows();
    FloatPointer x = matrix(w, TestData.X);
    FloatPointer out = new FloatPointer((long) n * n);
    return new Pointers(
        () -> gemm(true, n, n, Math.toIntExact(w.cols()), x, x, out), out, List.of(x));
  }

  private static Task multiply(Workload w) {
    int n = w.rows();
    FloatPointer a = matrix(w, TestData.X);
    FloatPointer b = matrix(w, TestData.GRADIENT);
    FloatPointer c = new FloatPointer(w.elements());
    return new Pointers(() -> gemm(false, n, n, n, a, b, c), c, List.of(a, b));
  }

  private static Task norms(Workload w) {
    FloatPointer x = matrix(w, TestData.X);
    FloatPointer out = new FloatPointer((long) w.rows());
    FloatPointer[] rows = new FloatPointer[w.rows()];
    Arrays.setAll(rows, i -> new FloatPointer(x).position(i * w.cols()));
    int d = Math.toIntExact(w.cols());
    return new Pointers(
        () -> {
          for (int i = 0; i < rows.length; i++) {
            out.put(i, openblas.cblas_snrm2(d, rows[i], 1));
          }
        },
        out,
        List.of(x));
  }

  /** C (m x n) = A (m x k) B, with B k x n or transposed n x k. */
  private static void gemm(
      boolean transposed, int m, int n, int k, FloatPointer a, FloatPointer b, FloatPointer c) {
    openblas.cblas_sgemm(
        openblas.CblasRowMajor,
        openblas.CblasNoTrans,
        transposed ? openblas.CblasTrans : openblas.CblasNoTrans,
        m,
        n,
        k,
        1,
        a,
        k,
        b,
        transposed ? k : n,
        0,
        c,
        n);
  }

  private static FloatPointer matrix(Workload w, int stream) {
    FloatPointer matrix = new FloatPointer(w.elements());
    for (long k = 0; k < w.elements(); k++) {
      matrix.put(k, TestData.at(stream, k));
    }
    return matrix;
  }

  private record Pointers(Runnable work, FloatPointer output, List<FloatPointer> inputs)
      implements Task {
    @Override
    public void run() {
      work.run();
    }

    @Override
    public double result(long index) {
      return output.get(index);
    }

    @Override
    public void close() {
      output.close();
      for (FloatPointer input : inputs) {
        input.close();
      }
    }
  }
}
