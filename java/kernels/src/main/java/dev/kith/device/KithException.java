package dev.kith.device;

import java.io.Serial;

/**
 * What native code reports: the device failed, memory ran out, an output did not fit. Mistakes in
 * arguments are {@link IllegalArgumentException}, misuse of lifetimes and threads {@link
 * IllegalStateException}, and what a library lacks {@link UnsupportedOperationException} instead.
 */
public final class KithException extends RuntimeException {
  @Serial private static final long serialVersionUID = 1;

  private final String operation;
  private final String status;

  /**
   * Made by the operation that failed.
   *
   * @param operation the operation, for example {@code "mix"}
   * @param status the name of the status, for example {@code "OUT_OF_MEMORY"}
   * @param text what the library says about it
   */
  public KithException(String operation, String status, String text) {
    super(operation + ": " + (text.isEmpty() ? status : text + " (" + status + ")"));
    this.operation = operation;
    this.status = status;
  }

  /**
   * The operation that failed.
   *
   * @return its name, for example {@code "mix"}
   */
  public String operation() {
    return operation;
  }

  /**
   * What kind of failure it was.
   *
   * @return the name of the status in {@code kith.h} without its prefix, for example {@code
   *     "OUT_OF_MEMORY"}
   */
  public String status() {
    return status;
  }
}
