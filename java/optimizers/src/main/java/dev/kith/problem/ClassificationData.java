package dev.kith.problem;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;

/**
 * Labelled samples: {@code samples x features} numbers, row by row, and for every row a class in
 * {@code [0, classes)}.
 *
 * <p>Immutable and thread-safe as long as nobody writes into the arrays that it was made from: they
 * are kept, not copied, because data sets are large.
 */
public final class ClassificationData {
  private final String name;
  private final int features;
  private final int classes;
  private final float[] values;
  private final int[] labels;

  private ClassificationData(String name, int features, int classes, float[] values, int[] labels) {
    this.name = name;
    this.features = features;
    this.classes = classes;
    this.values = values;
    this.labels = labels;
  }

  /**
   * Wraps the arrays.
   *
   * @param values row-major, {@code labels.length x features}; kept
   * @param labels kept
   * @throws IllegalArgumentException when lengths do not agree or a label lies outside {@code [0,
   *     classes)}
   */
  public static ClassificationData of(
      String name, int features, int classes, float[] values, int[] labels) {
    if (features < 1) {
      throw new IllegalArgumentException("a data set needs at least one feature, not " + features);
    }
    if (classes < 1) {
      throw new IllegalArgumentException("a data set needs at least one class, not " + classes);
    }
    if (values.length != (long) labels.length * features) {
      throw new IllegalArgumentException(
          "%d labels with %d features each need %d values, not %d"
              .formatted(labels.length, features, (long) labels.length * features, values.length));
    }
    for (int i = 0; i < labels.length; i++) {
      if (labels[i] < 0 || labels[i] >= classes) {
        throw new IllegalArgumentException(
            "label %d of sample %d lies outside [0, %d)".formatted(labels[i], i, classes));
      }
    }
    return new ClassificationData(name, features, classes, values, labels);
  }

  /** What reports call it. */
  public String name() {
    return name;
  }

  /** Number of rows. */
  public int samples() {
    return labels.length;
  }

  /** Numbers in a row. */
  public int features() {
    return features;
  }

  /** Number of classes; not all of them need occur. */
  public int classes() {
    return classes;
  }

  /** The class of a sample. */
  public int label(int sample) {
    return labels[sample];
  }

  /** One number of a sample. */
  public float value(int sample, int feature) {
    return values[sample * features + feature];
  }

  /** The rows of these samples, one after the other; a new array. */
  public float[] rows(int... samples) {
    float[] rows = new float[Math.multiplyExact(samples.length, features)];
    for (int i = 0; i < samples.length; i++) {
      System.arraycopy(values, samples[i] * features, rows, i * features, features);
    }
    return rows;
  }

  /** The classes of these samples; a new array. */
  public int[] labels(int... samples) {
    int[] picked = new int[samples.length];
    for (int i = 0; i < samples.length; i++) {
      picked[i] = labels[samples[i]];
    }
    return picked;
  }

  /** How many samples each class has. */
  public int[] labelCounts() {
    int[] counts = new int[classes];
    for (int label : labels) {
      counts[label]++;
    }
    return counts;
  }

  /** The given samples in the given order; numbers are copied. */
  public ClassificationData subset(String newName, int... samples) {
    return new ClassificationData(newName, features, classes, rows(samples), labels(samples));
  }

  /** A data set to train on and one to test on, without a common sample. */
  public record Split(ClassificationData train, ClassificationData test) {}

  /**
   * Takes {@code testSamples} samples away for testing, drawn without replacement by {@code seed}
   * (stream {@link Stream#DATA}). The same seed gives the same split, whatever is trained on it.
   *
   * @throws IllegalArgumentException unless both parts get at least one sample
   */
  public Split split(int testSamples, long seed) {
    if (testSamples < 1 || testSamples >= samples()) {
      throw new IllegalArgumentException(
          "cannot take %d of %d samples for testing: both parts need at least one"
              .formatted(testSamples, samples()));
    }
    int[] order = new SharedRandom(seed, Stream.DATA, 0, 0).permutation(samples());
    int train = samples() - testSamples;
    return new Split(
        subset(name + "-train", Arrays.copyOf(order, train)),
        subset(name + "-test", Arrays.copyOfRange(order, train, samples())));
  }

  @Override
  public String toString() {
    return "%s (%d x %d, %d classes)".formatted(name, samples(), features, classes);
  }
}
