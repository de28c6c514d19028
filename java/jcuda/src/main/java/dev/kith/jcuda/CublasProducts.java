package dev.kith.jcuda;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.KithException;
import dev.kith.device.Queue;
import java.util.Optional;
import jcuda.Pointer;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasOperation;
import jcuda.jcublas.cublasStatus;

/**
 * Products and sums by JCublas on Kith's matrices, without a copy: a peer for benchmarks, and a
 * help for programs that have both. Work runs on the queue's stream, in order with Kith's. Used by
 * one thread at a time.
 */
public final class CublasProducts implements AutoCloseable {
  private final Queue queue;
  private final cublasHandle handle = new cublasHandle();
  private boolean closed;

  /**
   * Opens cuBLAS.
   *
   * @param queue a queue of a CUDA device, on whose stream the work runs
   * @throws UnsupportedOperationException if cuBLAS of CUDA 12 or a driver is missing; says which
   * @throws IllegalArgumentException if the queue is not one of CUDA
   */
  public CublasProducts(Queue queue) {
    Optional<String> problem = JCudaLibraries.cublasProblem().or(JCudaLibraries::runtimeProblem);
    if (problem.isPresent()) {
      throw new UnsupportedOperationException("cuBLAS: " + problem.get());
    }
    if (!queue.device().backend().equals("cuda")) {
      throw new IllegalArgumentException(
          "cuBLAS: the queue is of device " + queue.device().name() + "; give one of CUDA");
    }
    this.queue = queue;
    check("cublasCreate", JCublas2.cublasCreate(handle));
    try {
      check("cublasSetStream", JCublas2.cublasSetStream(handle, JCudaBridge.stream(queue)));
    } catch (RuntimeException e) {
      JCublas2.cublasDestroy(handle);
      throw e;
    }
  }

  /**
   * c = a b by cublasSgemm or cublasDgemm.
   *
   * @param a m x k, F32 or F64
   * @param b k x n of the same dtype
   * @param c m x n of the same dtype; overlaps neither
   * @throws IllegalArgumentException if shapes or dtypes do not fit
   * @throws KithException if cuBLAS fails
   */
  public void multiply(DeviceMatrix a, DeviceMatrix b, DeviceMatrix c) {
    checkOpen();
    if (a.rows() != c.rows() || b.cols() != c.cols() || a.cols() != b.rows()) {
      throw new IllegalArgumentException("multiply: %s by %s does not give %s".formatted(a, b, c));
    }
    sameType("multiply", a, b);
    sameType("multiply", a, c);
    // cuBLAS counts by columns: it is told of the transposes, c^T = b^T a^T.
    int n = Math.toIntExact(c.cols());
    int m = Math.toIntExact(c.rows());
    int k = Math.toIntExact(a.cols());
    int lda = Math.toIntExact(a.stride());
    int ldb = Math.toIntExact(b.stride());
    int ldc = Math.toIntExact(c.stride());
    Pointer pa = JCudaBridge.pointer(a);
    Pointer pb = JCudaBridge.pointer(b);
    Pointer pc = JCudaBridge.pointer(c);
    int plain = cublasOperation.CUBLAS_OP_N;
    if (a.dtype() == DType.F32) {
      Pointer one = Pointer.to(new float[] {1});
      Pointer zero = Pointer.to(new float[] {0});
      check(
          "cublasSgemm",
          JCublas2.cublasSgemm(
              handle, plain, plain, n, m, k, one, pb, ldb, pa, lda, zero, pc, ldc));
    } else {
      Pointer one = Pointer.to(new double[] {1});
      Pointer zero = Pointer.to(new double[] {0});
      check(
          "cublasDgemm",
          JCublas2.cublasDgemm(
              handle, plain, plain, n, m, k, one, pb, ldb, pa, lda, zero, pc, ldc));
    }
  }

  /**
   * c = x x^T by cublasSgemm or cublasDgemm.
   *
   * @param x n x k, F32 or F64
   * @param c n x n of the same dtype; does not overlap x
   * @throws IllegalArgumentException if shapes or dtypes do not fit
   * @throws KithException if cuBLAS fails
   */
  public void gram(DeviceMatrix x, DeviceMatrix c) {
    checkOpen();
    if (c.rows() != x.rows() || c.cols() != x.rows()) {
      throw new IllegalArgumentException("gram: rows of %s do not give %s".formatted(x, c));
    }
    sameType("gram", x, c);
    int n = Math.toIntExact(x.rows());
    int k = Math.toIntExact(x.cols());
    int ldx = Math.toIntExact(x.stride());
    int ldc = Math.toIntExact(c.stride());
    Pointer px = JCudaBridge.pointer(x);
    Pointer pc = JCudaBridge.pointer(c);
    // By columns x is the transpose.
    int turned = cublasOperation.CUBLAS_OP_T;
    int plain = cublasOperation.CUBLAS_OP_N;
    if (x.dtype() == DType.F32) {
      Pointer one = Pointer.to(new float[] {1});
      Pointer zero = Pointer.to(new float[] {0});
      check(
          "cublasSgemm",
          JCublas2.cublasSgemm(
              handle, turned, plain, n, n, k, one, px, ldx, px, ldx, zero, pc, ldc));
    } else {
      Pointer one = Pointer.to(new double[] {1});
      Pointer zero = Pointer.to(new double[] {0});
      check(
          "cublasDgemm",
          JCublas2.cublasDgemm(
              handle, turned, plain, n, n, k, one, px, ldx, px, ldx, zero, pc, ldc));
    }
  }

  /**
   * y += alpha x by cublasSaxpy or cublasDaxpy, a call for each row.
   *
   * @param alpha a factor
   * @param x F32 or F64
   * @param y of the same shape and dtype
   * @throws IllegalArgumentException if shapes or dtypes do not fit
   * @throws KithException if cuBLAS fails
   */
  public void add(double alpha, DeviceMatrix x, DeviceMatrix y) {
    checkOpen();
    if (x.rows() != y.rows() || x.cols() != y.cols()) {
      throw new IllegalArgumentException("add: %s and %s differ in shape".formatted(x, y));
    }
    sameType("add", x, y);
    int n = Math.toIntExact(x.cols());
    for (long row = 0; row < x.rows(); row++) {
      Pointer px = JCudaBridge.pointer(x).withByteOffset(row * x.stride() * x.dtype().bytes());
      Pointer py = JCudaBridge.pointer(y).withByteOffset(row * y.stride() * y.dtype().bytes());
      if (x.dtype() == DType.F32) {
        Pointer factor = Pointer.to(new float[] {(float) alpha});
        check("cublasSaxpy", JCublas2.cublasSaxpy(handle, n, factor, px, 1, py, 1));
      } else {
        Pointer factor = Pointer.to(new double[] {alpha});
        check("cublasDaxpy", JCublas2.cublasDaxpy(handle, n, factor, px, 1, py, 1));
      }
    }
  }

  private static void sameType(String operation, DeviceMatrix a, DeviceMatrix b) {
    if (a.dtype() != b.dtype() || (a.dtype() != DType.F32 && a.dtype() != DType.F64)) {
      throw new IllegalArgumentException(
          "%s: %s and %s; both must be F32 or both F64".formatted(operation, a, b));
    }
  }

  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException("cuBLAS: it is closed");
    }
  }

  private static void check(String function, int status) {
    if (status != cublasStatus.CUBLAS_STATUS_SUCCESS) {
      throw new KithException(
          function, "DEVICE_FAILED", "cuBLAS returned " + cublasStatus.stringFor(status));
    }
  }

  /** Waits for the queue and closes cuBLAS. Idempotent. */
  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    try {
      queue.sync();
    } finally {
      check("cublasDestroy", JCublas2.cublasDestroy(handle));
    }
  }
}
