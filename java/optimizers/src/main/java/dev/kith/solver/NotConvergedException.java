package dev.kith.solver;

/** A solver's iterations were not enough; the text names the row and how far it came. */
public final class NotConvergedException extends ArithmeticException {
  private static final long serialVersionUID = 1L;

  private final int row;
  private final int iterations;
  private final double relativeResidual;

  /**
   * @param row the system
   * @param iterations how many were made
   * @param relativeResidual |r| / |b| after the last
   * @param tolerance what was wanted
   */
  public NotConvergedException(int row, int iterations, double relativeResidual, double tolerance) {
    super(
        "row %d is at a relative residual of %s after %d iterations and not at %s; allow more of them, or a larger tolerance"
            .formatted(row, relativeResidual, iterations, tolerance));
    this.row = row;
    this.iterations = iterations;
    this.relativeResidual = relativeResidual;
  }

  /** The system. */
  public int row() {
    return row;
  }

  /** How many iterations were made. */
  public int iterations() {
    return iterations;
  }

  /** |r| / |b| after the last. */
  public double relativeResidual() {
    return relativeResidual;
  }
}
