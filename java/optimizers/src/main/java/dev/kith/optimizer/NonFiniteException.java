package dev.kith.optimizer;

/** A number stopped being finite; the text names the node and the round. */
public final class NonFiniteException extends ArithmeticException {
  private static final long serialVersionUID = 1L;

  private final int node;
  private final long round;

  /**
   * @param node global number of the node
   * @param round the round that could not be done, from 0
   * @param what what is not finite, for example "the gradient"
   */
  public NonFiniteException(int node, long round, String what) {
    super(
        what
            + " of node "
            + node
            + " is not finite in round "
            + round
            + ": look at that node's data, or take a smaller step size");
    this.node = node;
    this.round = round;
  }

  /** Global number of the node. */
  public int node() {
    return node;
  }

  /** The round that could not be done, from 0. */
  public long round() {
    return round;
  }
}
