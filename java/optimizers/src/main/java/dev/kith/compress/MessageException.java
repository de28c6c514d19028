package dev.kith.compress;

/** Bytes are not the message that was expected; the text says what was wrong and what to do. */
public final class MessageException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * @param message one sentence
   */
  public MessageException(String message) {
    super(message);
  }
}
