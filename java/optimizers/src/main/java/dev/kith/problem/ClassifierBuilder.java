package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.Queue;
import java.util.Arrays;
import java.util.Objects;
import java.util.Optional;

/**
 * Settings of the classifiers.
 *
 * @param <B> the builder itself
 */
public abstract sealed class ClassifierBuilder<B extends ClassifierBuilder<B>>
    permits SoftmaxRegression.Builder, MultilayerPerceptron.Builder {
  final Queue queue;
  final ClassificationData data;
  final int[][] parts;
  Optional<ClassificationData> test = Optional.empty();
  DType dtype = DType.F32;
  int batch = 32;
  long seed = 1;
  double regularization;
  int firstNode;
  int localNodes = -1;

  ClassifierBuilder(Queue queue, ClassificationData data, int[][] parts) {
    this.queue = Objects.requireNonNull(queue, "queue");
    this.data = Objects.requireNonNull(data, "data");
    this.parts = Arrays.stream(parts).map(int[]::clone).toArray(int[][]::new);
    if (parts.length == 0) {
      throw new IllegalArgumentException("a problem needs at least one node");
    }
    for (int node = 0; node < parts.length; node++) {
      for (int sample : parts[node]) {
        if (sample < 0 || sample >= data.samples()) {
          throw new IllegalArgumentException(
              "sample %d of node %d does not exist: the data have %d"
                  .formatted(sample, node, data.samples()));
        }
      }
    }
  }

  abstract B self();

  /** What {@link LayeredClassifier#evaluate} uses. Default: none. */
  public final B test(ClassificationData testData) {
    if (testData.features() != data.features() || testData.classes() != data.classes()) {
      throw new IllegalArgumentException(
          "the test data are %s and the training data %s: features and classes must agree"
              .formatted(testData, data));
    }
    this.test = Optional.of(testData);
    return self();
  }

  /** Samples of a mini-batch at each node; 0 takes all samples of the node. Default: 32. */
  public final B batch(int size) {
    if (size < 0) {
      throw new IllegalArgumentException(
          "a batch of " + size + " samples is impossible: give 1 or more, or 0 for all");
    }
    this.batch = size;
    return self();
  }

  /** Of the mini-batches. Default: 1. */
  public final B seed(long value) {
    this.seed = value;
    return self();
  }

  /** lambda of (lambda / 2) |x|^2, biases included. Default: 0. */
  public final B regularization(double lambda) {
    if (!(lambda >= 0 && lambda < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "the regularization " + lambda + " is not a finite number from 0 up");
    }
    this.regularization = lambda;
    return self();
  }

  /** The type of parameters and features: F32 (default) or F64. */
  public final B dtype(DType type) {
    if (type != DType.F32 && type != DType.F64) {
      throw new IllegalArgumentException("a classifier computes in F32 or F64, not " + type);
    }
    this.dtype = type;
    return self();
  }

  /** The nodes of this process, as {@code Network} gives them. Default: all. */
  public final B nodes(int first, int count) {
    if (first < 0 || count < 1 || first > parts.length - count) {
      throw new IllegalArgumentException(
          "nodes %d to %d do not lie among %d nodes"
              .formatted(first, first + count - 1, parts.length));
    }
    this.firstNode = first;
    this.localNodes = count;
    return self();
  }
}
