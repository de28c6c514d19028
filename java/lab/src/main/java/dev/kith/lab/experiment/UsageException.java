package dev.kith.lab.experiment;

/** A flag has a value that cannot be used; the message is one sentence for the user. */
public final class UsageException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** One sentence. */
  public UsageException(String message) {
    super(message);
  }

  /** One sentence and what was behind it. */
  public UsageException(String message, Throwable cause) {
    super(message, cause);
  }
}
