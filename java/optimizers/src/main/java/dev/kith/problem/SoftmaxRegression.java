package dev.kith.problem;

import dev.kith.device.Queue;

/**
 * Multinomial logistic regression: one dense layer under softmax with cross-entropy (see {@link
 * LayeredClassifier}). Convex, and strongly convex with a regularization above 0. All nodes begin
 * at zero: the problem has no symmetry to be broken.
 */
public final class SoftmaxRegression extends LayeredClassifier {
  private SoftmaxRegression(Builder builder) {
    super(builder);
  }

  /**
   * A problem of {@code parts.length} nodes.
   *
   * @param queue where its matrices live
   * @param data training samples
   * @param parts for every node the samples that it holds; may be empty for a node that only relays
   */
  public static Builder builder(Queue queue, ClassificationData data, int[][] parts) {
    return new Builder(queue, data, parts);
  }

  @Override
  double[] initialValues(long initialSeed, int node) {
    return new double[Math.toIntExact(layout().size())];
  }

  /** Settings of {@link SoftmaxRegression}. */
  public static final class Builder extends ClassifierBuilder<Builder> {
    private Builder(Queue queue, ClassificationData data, int[][] parts) {
      super(queue, data, parts);
    }

    /** Uploads the data of the own nodes. */
    public SoftmaxRegression build() {
      return new SoftmaxRegression(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
