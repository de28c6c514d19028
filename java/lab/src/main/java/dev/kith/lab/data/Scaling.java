package dev.kith.lab.data;

import dev.kith.problem.ClassificationData;
import java.util.Arrays;
import java.util.Locale;

/**
 * How raw numbers become features. Constants are taken from the training part alone. Pixels share
 * one offset and one factor; the columns of other files have their own. A column without spread
 * becomes 0.
 */
public enum Scaling {
  /** Into [0, 1]: pixels divided by their maximum, columns by their range. */
  UNIT,
  /**
   * 2 (u - mean of u) for u in [0, 1] as above: mean 0, width 2. The default: on MNIST it trains
   * faster than {@link #UNIT} (the common offset of all pixels is the worst-conditioned direction
   * of a linear layer), and unlike {@link #STANDARD} it is bounded, so that no file makes the
   * default step size diverge by a few outliers.
   */
  CENTRED,
  /** (x - mean) / standard deviation. */
  STANDARD;

  /** As the command line writes it. */
  public String shortName() {
    return name().toLowerCase(Locale.ROOT);
  }

  /**
   * Scales both parts by constants of the training part.
   *
   * @param pixelMaximum the largest grey level where features are pixels of one scale, else 0
   */
  public ClassificationData.Split apply(
      ClassificationData train, ClassificationData test, float pixelMaximum) {
    float[] values = values(train);
    int columns = train.features();
    boolean pixels = pixelMaximum > 0;
    double[] mean = meanOfColumns(values, columns, false, new double[columns]);
    double[] spread = new double[columns];
    double[] low = new double[columns];
    if (pixels) {
      Arrays.fill(mean, Arrays.stream(mean).average().orElseThrow());
    }
    if (this == STANDARD) {
      double[] variance = meanOfColumns(values, columns, true, mean);
      if (pixels) {
        Arrays.fill(variance, Arrays.stream(variance).average().orElseThrow());
      }
      Arrays.setAll(spread, j -> Math.sqrt(variance[j]));
    } else if (pixels) {
      Arrays.fill(spread, pixelMaximum);
    } else {
      range(values, columns, low, spread);
    }
    double[] offset = this == UNIT ? low : mean;
    double[] factor = new double[columns];
    double width = this == CENTRED ? 2 : 1;
    Arrays.setAll(factor, j -> spread[j] > 0 ? width / spread[j] : 0);
    return new ClassificationData.Split(
        scaled(train, values, offset, factor), scaled(test, values(test), offset, factor));
  }

  private static float[] values(ClassificationData data) {
    int[] all = new int[data.samples()];
    Arrays.setAll(all, i -> i);
    return data.rows(all);
  }

  /** Mean of every column of x - centre, or of its square. */
  private static double[] meanOfColumns(
      float[] values, int columns, boolean squared, double[] centre) {
    double[] mean = new double[columns];
    int rows = values.length / columns;
    for (int row = 0; row < values.length; row += columns) {
      for (int j = 0; j < columns; j++) {
        double value = values[row + j] - centre[j];
        mean[j] += squared ? value * value : value;
      }
    }
    for (int j = 0; j < columns; j++) {
      mean[j] /= rows;
    }
    return mean;
  }

  private static void range(float[] values, int columns, double[] low, double[] spread) {
    Arrays.fill(low, Double.POSITIVE_INFINITY);
    double[] high = new double[columns];
    Arrays.fill(high, Double.NEGATIVE_INFINITY);
    for (int row = 0; row < values.length; row += columns) {
      for (int j = 0; j < columns; j++) {
        low[j] = Math.min(low[j], values[row + j]);
        high[j] = Math.max(high[j], values[row + j]);
      }
    }
    Arrays.setAll(spread, j -> high[j] - low[j]);
  }

  /** Writes into {@code values}. */
  private static ClassificationData scaled(
      ClassificationData data, float[] values, double[] offset, double[] factor) {
    int columns = data.features();
    int[] labels = new int[data.samples()];
    for (int i = 0; i < labels.length; i++) {
      labels[i] = data.label(i);
      for (int j = 0; j < columns; j++) {
        values[i * columns + j] = (float) ((values[i * columns + j] - offset[j]) * factor[j]);
      }
    }
    return ClassificationData.of(data.name(), columns, data.classes(), values, labels);
  }
}
