package dev.kith.bench;

/** A way to compute workloads: Kith, one of its roofs, or a peer. */
interface Implementation {
  /** The name in tables and on the command line. */
  String name();

  /** Whether it can compute the workload. */
  boolean supports(Workload workload);

  /**
   * Lays the data of a supported workload out as this implementation likes them best, outputs
   * included.
   */
  Task prepare(Workload workload);

  /** What {@link #prepare} throws for a workload that it does not support. */
  static IllegalArgumentException unsupported(Implementation implementation, Workload workload) {
    return new IllegalArgumentException(
        implementation.name() + " cannot compute " + workload.name());
  }

  /** What answers, with its version and the forms that were used; for the capability line. */
  String description();

  /** A workload that is ready to run. */
  interface Task extends AutoCloseable {
    /** Computes the workload once more; the result is complete on return. */
    void run();

    /** The element of the result at an index of {@link Reference#samples}, after the first run. */
    double result(long index);

    @Override
    void close();
  }
}
