package dev.kith.optimizer;

/** A snapshot file cannot be read: it is missing, damaged, or of another version. */
public final class SnapshotException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * @param message one sentence that names the file
   */
  public SnapshotException(String message) {
    super(message);
  }
}
