package dev.kith.problem;

import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;

/**
 * Hidden layers with ReLU, then a dense layer under softmax with cross-entropy (see {@link
 * LayeredClassifier}).
 *
 * <p>Starts: weights of hidden layers are normal with variance 2 / inputs (K. He et al., "Delving
 * deep into rectifiers", 2015), those of the last layer with variance 2 / (inputs + outputs) (X.
 * Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
 * networks", 2010), biases are 0. Drawn by (seed, node) in stream {@link Stream#INITIALIZATION},
 * element k of the row from index k.
 */
public final class MultilayerPerceptron extends LayeredClassifier {
  private MultilayerPerceptron(Builder builder) {
    super(builder, builder.hidden);
  }

  /**
   * A problem of {@code parts.length} nodes.
   *
   * @param queue where its matrices live
   * @param data training samples
   * @param parts for every node the samples that it holds; may be empty for a node that only relays
   * @param hidden widths of the hidden layers, at least one
   */
  public static Builder builder(
      Queue queue, ClassificationData data, int[][] parts, int... hidden) {
    return new Builder(queue, data, parts, hidden);
  }

  @Override
  double[] initialValues(long initialSeed, int node) {
    SharedRandom random = new SharedRandom(initialSeed, Stream.INITIALIZATION, node, 0);
    double[] values = new double[Math.toIntExact(layout().size())];
    int last = layout().tensors().size() / 2 - 1;
    for (Layout.Tensor tensor : layout().tensors()) {
      if (tensor.group().equals("weight")) {
        boolean output = tensor.name().equals("layer" + last + ".weight");
        double deviation =
            Math.sqrt(2.0 / (output ? tensor.rows() + tensor.cols() : tensor.cols()));
        for (long k = tensor.offset(); k < tensor.offset() + tensor.size(); k++) {
          values[(int) k] = deviation * random.normal(k);
        }
      }
    }
    return values;
  }

  /** Settings of {@link MultilayerPerceptron}. */
  public static final class Builder extends ClassifierBuilder<Builder> {
    private final int[] hidden;

    private Builder(Queue queue, ClassificationData data, int[][] parts, int... hidden) {
      super(queue, data, parts);
      this.hidden = hidden.clone();
      if (hidden.length == 0) {
        throw new IllegalArgumentException(
            "a perceptron needs a hidden layer; without one take SoftmaxRegression");
      }
      for (int width : hidden) {
        if (width < 1) {
          throw new IllegalArgumentException("a hidden layer of width " + width + " is impossible");
        }
      }
    }

    /** Uploads the data of the own nodes. */
    public MultilayerPerceptron build() {
      return new MultilayerPerceptron(this);
    }

    @Override
    Builder self() {
      return this;
    }
  }
}
