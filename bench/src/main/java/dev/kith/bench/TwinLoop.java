package dev.kith.bench;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Twin;
import java.util.List;
import java.util.Optional;

/**
 * The roof of a kernel: a native loop over the same streams with one addition for each element. It
 * runs on the very matrices of the kernel, so size, stride and pages are the same.
 */
final class TwinLoop implements Implementation {
  @Override
  public String name() {
    return "twin";
  }

  @Override
  public String description() {
    return "same streams, one addition for each element, the faster of plain and non-temporal stores";
  }

  @Override
  public boolean supports(Workload workload) {
    // Products are bound by arithmetic, not by memory.
    return workload.operation() != Operation.MULTIPLY;
  }

  @Override
  public Task prepare(Workload workload) {
    return new TwinTask(new KithKernels.KithTask(workload), true);
  }

  /** The twin of a task. */
  static final class TwinTask implements Task {
    private static final int TRIES = 5;

    private final KithKernels.KithTask kernel;
    private final boolean owner;
    private final Optional<DeviceMatrix> sink;
    private boolean nontemporal;

    TwinTask(KithKernels.KithTask kernel, boolean owner) {
      this.kernel = kernel;
      this.owner = owner;
      this.sink =
          kernel.passes().stream().anyMatch(pass -> pass.writes().isEmpty())
              ? Optional.of(DeviceMatrix.allocate(kernel.queue(), 1, 1, DType.F64))
              : Optional.empty();
      if (writes()) {
        long[] best = {Long.MAX_VALUE, Long.MAX_VALUE};
        for (int i = 0; i < 2 * TRIES; i++) {
          nontemporal = i % 2 == 1;
          long begin = System.nanoTime();
          run();
          best[i % 2] = Math.min(best[i % 2], System.nanoTime() - begin);
        }
        nontemporal = best[1] < best[0];
      }
    }

    private boolean writes() {
      return kernel.passes().stream().anyMatch(pass -> !pass.writes().isEmpty());
    }

    String stores() {
      return !writes() ? "read only" : nontemporal ? "non-temporal stores" : "plain stores";
    }

    @Override
    public void run() {
      for (KithKernels.Streams pass : kernel.passes()) {
        Twin.run(pass.reads(), pass.writes(), nontemporal, sink);
      }
      kernel.queue().sync();
    }

    @Override
    public double result(long index) {
      throw new UnsupportedOperationException("a twin has no result to compare");
    }

    @Override
    public void close() {
      sink.ifPresent(DeviceMatrix::close);
      if (owner) {
        kernel.close();
      }
    }
  }

  /** Whether a task has results that {@link Reference} can compare. */
  static boolean isRoof(Implementation implementation) {
    return List.of("twin", "memcpy").contains(implementation.name());
  }
}
