package dev.kith.problem;

import java.util.Arrays;

/**
 * What models reached on a test set, element r for row r of the evaluated matrix.
 *
 * @param accuracy share of examples classified correctly, in [0, 1]
 * @param loss mean loss per example
 */
public record Evaluation(double[] accuracy, double[] loss) {
  /** Takes copies, so that an evaluation never changes. */
  public Evaluation {
    if (accuracy.length != loss.length) {
      throw new IllegalArgumentException(
          "An evaluation has one accuracy and one loss a row, not "
              + accuracy.length
              + " and "
              + loss.length);
    }
    accuracy = accuracy.clone();
    loss = loss.clone();
  }

  @Override
  public double[] accuracy() {
    return accuracy.clone();
  }

  @Override
  public double[] loss() {
    return loss.clone();
  }

  /** Mean accuracy over the rows; NaN without rows. */
  public double meanAccuracy() {
    return Arrays.stream(accuracy).average().orElse(Double.NaN);
  }

  /** Mean loss over the rows; NaN without rows. */
  public double meanLoss() {
    return Arrays.stream(loss).average().orElse(Double.NaN);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Evaluation that
        && Arrays.equals(accuracy, that.accuracy)
        && Arrays.equals(loss, that.loss);
  }

  @Override
  public int hashCode() {
    return 31 * Arrays.hashCode(accuracy) + Arrays.hashCode(loss);
  }

  @Override
  public String toString() {
    return "Evaluation[rows="
        + accuracy.length
        + ", meanAccuracy="
        + meanAccuracy()
        + ", meanLoss="
        + meanLoss()
        + "]";
  }
}
