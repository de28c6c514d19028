package dev.kith.bench;

import java.util.Arrays;
import java.util.List;
import java.util.function.LongUnaryOperator;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.IntPointer;
import org.bytedeco.javacpp.Pointer;
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
      case GRAM, ROWNORM, MULTIPLY, POWERSGD_R4, POLAR -> true;
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
      case POWERSGD_R4 -> powerSgd(w);
      case POLAR -> polar(w);
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

  /** Products by BLAS, an orthonormal basis by LAPACK's Householder reflections. */
  private static Task powerSgd(Workload w) {
    int n = PowerSgdReference.side(w);
    int r = PowerSgdReference.RANK;
    FloatPointer m = matrix(w, TestData.X);
    FloatPointer start = new FloatPointer((long) n * r);
    for (int i = 0; i < n * r; i++) {
      start.put(i, PowerSgdReference.start(n, i / n, i % n));
    }
    FloatPointer p = new FloatPointer((long) n * r);
    FloatPointer q = new FloatPointer((long) n * r);
    FloatPointer reflections = new FloatPointer((long) r);
    FloatPointer y = new FloatPointer(w.elements());
    int column = openblas.CblasColMajor;
    int plain = openblas.CblasNoTrans;
    int turned = openblas.CblasTrans;
    // Row-major M is M' to BLAS; factors lie column by column.
    return new Pointers(
        () -> {
          openblas.cblas_sgemm(column, turned, plain, n, r, n, 1, m, n, start, n, 0, p, n);
          openblas.LAPACKE_sgeqrf(openblas.LAPACK_COL_MAJOR, n, r, p, n, reflections);
          openblas.LAPACKE_sorgqr(openblas.LAPACK_COL_MAJOR, n, r, r, p, n, reflections);
          openblas.cblas_sgemm(column, plain, plain, n, r, n, 1, m, n, p, n, 0, q, n);
          openblas.cblas_sgemm(column, plain, turned, n, n, r, 1, q, n, p, n, 0, y, n);
        },
        y,
        List.of(m, start, p, q, reflections));
  }

  /**
   * u v' of the thin singular value decomposition of each matrix, all column by column as LAPACK
   * likes them. gesdd destroys what it is given, so it gets a copy.
   */
  private static Task polar(Workload w) {
    int n = PolarReference.COLS;
    int m = Math.toIntExact(w.cols() / n);
    FloatPointer x = new FloatPointer(w.elements());
    FloatPointer y = new FloatPointer(w.elements());
    FloatPointer[] from = new FloatPointer[w.rows()];
    FloatPointer[] to = new FloatPointer[w.rows()];
    for (int b = 0; b < w.rows(); b++) {
      for (int k = 0; k < m * n; k++) {
        long element = b * w.cols() + k;
        x.put(columnwise(element, m, n), TestData.at(TestData.X, element));
      }
      from[b] = new FloatPointer(x).position(b * w.cols());
      to[b] = new FloatPointer(y).position(b * w.cols());
    }
    FloatPointer a = new FloatPointer((long) m * n);
    FloatPointer u = new FloatPointer((long) m * n);
    FloatPointer s = new FloatPointer((long) n);
    FloatPointer v = new FloatPointer((long) n * n);
    IntPointer integers = new IntPointer(8L * n);
    FloatPointer asked = new FloatPointer(1L);
    int column = openblas.LAPACK_COL_MAJOR;
    openblas.LAPACKE_sgesdd_work(
        column, (byte) 'S', m, n, a, m, s, u, m, v, n, asked, -1, integers);
    int size = (int) asked.get();
    FloatPointer work = new FloatPointer((long) size);
    asked.close();
    Runnable loop =
        () -> {
          for (int b = 0; b < from.length; b++) {
            openblas.cblas_scopy(m * n, from[b], 1, a, 1);
            openblas.LAPACKE_sgesdd_work(
                column, (byte) 'S', m, n, a, m, s, u, m, v, n, work, size, integers);
            int plain = openblas.CblasNoTrans;
            openblas.cblas_sgemm(
                openblas.CblasColMajor, plain, plain, m, n, n, 1, u, m, v, n, 0, to[b], m);
          }
        };
    return new Pointers(
        loop, y, index -> columnwise(index, m, n), List.of(x, a, u, s, v, work, integers));
  }

  /** Where the element of row-major m x n matrices one after the other is when they are turned. */
  private static long columnwise(long element, int m, int n) {
    long at = element % ((long) m * n);
    return element - at + at % n * m + at / n;
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

  private record Pointers(
      Runnable work, FloatPointer output, LongUnaryOperator place, List<? extends Pointer> inputs)
      implements Task {
    Pointers(Runnable work, FloatPointer output, List<FloatPointer> inputs) {
      this(work, output, LongUnaryOperator.identity(), inputs);
    }

    @Override
    public void run() {
      work.run();
    }

    @Override
    public double result(long index) {
      return output.get(place.applyAsLong(index));
    }

    @Override
    public void close() {
      output.close();
      for (Pointer input : inputs) {
        input.close();
      }
    }
  }
}
