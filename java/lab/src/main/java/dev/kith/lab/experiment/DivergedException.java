package dev.kith.lab.experiment;

/**
 * The numbers of a run left the finite ones; the message names node and round, and where the last
 * good state is.
 */
public final class DivergedException extends RuntimeException {
  private static final long serialVersionUID = 1;

  DivergedException(String message, Throwable cause) {
    super(message, cause);
  }
}
