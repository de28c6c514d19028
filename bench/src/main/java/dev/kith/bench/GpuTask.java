package dev.kith.bench;

import dev.kith.device.DeviceMatrix;
import dev.kith.jcuda.CublasProducts;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * What a row of the GPU benchmark measures.
 *
 * @param work calls the kernels without waiting for them
 * @param calls how many operations one run of the work is
 * @param bytes that one run must move, each stream of each pass once; 0 where that says nothing
 * @param fmas fused multiply-adds that one run must do; 0 where memory is the bound
 * @param passes the streams of each pass, for the twin
 * @param check throws when the first run gave a wrong result
 * @param apart the same work in single calls, where that is compared
 * @param product the same work as a matrix product, where cuBLAS can do it
 * @param jcublas the same work by JCublas on the same matrices, where it has it
 */
record GpuTask(
    Runnable work,
    int calls,
    long bytes,
    double fmas,
    List<Pass> passes,
    Runnable check,
    Optional<Runnable> apart,
    Optional<Runnable> product,
    Optional<Consumer<CublasProducts>> jcublas) {

  /** The streams of one pass; a matrix in both lists is updated in place. */
  record Pass(List<DeviceMatrix> reads, List<DeviceMatrix> writes) {}

  static GpuTask streaming(Runnable work, long bytes, List<Pass> passes, Runnable check) {
    return new GpuTask(
        work, 1, bytes, 0, passes, check, Optional.empty(), Optional.empty(), Optional.empty());
  }

  GpuTask withFmas(double count) {
    return new GpuTask(work, calls, bytes, count, passes, check, apart, product, jcublas);
  }

  GpuTask withApart(Runnable single) {
    return new GpuTask(
        work, calls, bytes, fmas, passes, check, Optional.of(single), product, jcublas);
  }

  GpuTask withProduct(Runnable multiply) {
    return new GpuTask(
        work, calls, bytes, fmas, passes, check, apart, Optional.of(multiply), jcublas);
  }

  GpuTask withJCublas(Consumer<CublasProducts> multiply) {
    return new GpuTask(
        work, calls, bytes, fmas, passes, check, apart, product, Optional.of(multiply));
  }

  /** Compares one number with what must come out. */
  static void expect(String what, double expected, double found, double tolerance) {
    if (!(Math.abs(found - expected) <= tolerance)) {
      throw new IllegalStateException(
          "%s is %s and must be %s within %.1e".formatted(what, found, expected, tolerance));
    }
  }
}
