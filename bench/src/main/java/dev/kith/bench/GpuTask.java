package dev.kith.bench;

import dev.kith.device.DeviceMatrix;
import java.util.List;
import java.util.Optional;

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
 * @param caveat what the row's name promises and the work does not do; "" where it does all
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
    String caveat) {

  /** The streams of one pass; a matrix in both lists is updated in place. */
  record Pass(List<DeviceMatrix> reads, List<DeviceMatrix> writes) {}

  static GpuTask streaming(Runnable work, long bytes, List<Pass> passes, Runnable check) {
    return new GpuTask(work, 1, bytes, 0, passes, check, Optional.empty(), Optional.empty(), "");
  }

  GpuTask withFmas(double count) {
    return new GpuTask(work, calls, bytes, count, passes, check, apart, product, caveat);
  }

  GpuTask withApart(Runnable single) {
    return new GpuTask(
        work, calls, bytes, fmas, passes, check, Optional.of(single), product, caveat);
  }

  GpuTask withProduct(Runnable multiply) {
    return new GpuTask(
        work, calls, bytes, fmas, passes, check, apart, Optional.of(multiply), caveat);
  }

  GpuTask withCaveat(String text) {
    return new GpuTask(work, calls, bytes, fmas, passes, check, apart, product, text);
  }

  /** Compares one number with what must come out. */
  static void expect(String what, double expected, double found, double tolerance) {
    if (!(Math.abs(found - expected) <= tolerance)) {
      throw new IllegalStateException(
          "%s is %s and must be %s within %.1e".formatted(what, found, expected, tolerance));
    }
  }
}
