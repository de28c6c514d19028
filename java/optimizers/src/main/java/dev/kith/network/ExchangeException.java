package dev.kith.network;

/**
 * A message did not come, or not as expected; the text names both processes and what was waited
 * for.
 */
public final class ExchangeException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final int peer;
  private final String what;

  /**
   * @param peer the process that was waited for
   * @param what the exchange, as given to {@link Transport#begin}
   * @param message one sentence
   */
  public ExchangeException(int peer, String what, String message) {
    super(message);
    this.peer = peer;
    this.what = what;
  }

  /** The process that was waited for. */
  public int peer() {
    return peer;
  }

  /** The exchange, as given to {@link Transport#begin}. */
  public String what() {
    return what;
  }
}
