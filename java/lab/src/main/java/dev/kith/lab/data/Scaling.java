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

  /** Scales both parts by constants of the training part. */
  public ClassificationData.Split apply(
      ClassificationData train, ClassificationData test, float pixelMaximum) {
    int columns = train.features();
    double[] offset = new double[columns];
    double[] factor = new double[columns];
    double[] mean = new double[columns];
    double[] squares = new double[columns];
    double[] low = new double[columns];
    double[] high = new double[columns];
    Arrays.fill(low, Double.POSITIVE_INFINITY);
    Arrays.fill(high, Double.NEGATIVE_INFINITY);
    for (int i = 0; i < train.samples(); i++) {
      for (int j = 0; j < columns; j++) {
        double value = train.value(i, j);
        mean[j] += value;
        low[j] = Math.min(low[j], value);
        high[j] = Math.max(high[j], value);
      }
    }
    boolean pixels = pixelMaximum > 0;
    for (int j = 0; j < columns; j++) {
      mean[j] /= train.samples();
    }
    if (pixels) {
      Arrays.fill(mean, Arrays.stream(mean).average().orElseThrow());
      Arrays.fill(low, 0);
      Arrays.fill(high, pixelMaximum);
    }
    for (int i = 0; i < train.samples(); i++) {
      for (int j = 0; j < columns; j++) {
        double distance = train.value(i, j) - mean[j];
        squares[j] += distance * distance;
      }
    }
    if (pixels) {
      Arrays.fill(squares, Arrays.stream(squares).average().orElseThrow());
    }
    for (int j = 0; j < columns; j++) {
      double width = high[j] - low[j];
      double deviation = Math.sqrt(squares[j] / train.samples());
      offset[j] = this == UNIT ? low[j] : mean[j];
      factor[j] =
          switch (this) {
            case UNIT -> inverse(width, 1);
            case CENTRED -> inverse(width, 2);
            case STANDARD -> inverse(deviation, 1);
          };
    }
    return new ClassificationData.Split(
        scaled(train, offset, factor), scaled(test, offset, factor));
  }

  private static double inverse(double width, double numerator) {
    return width > 0 ? numerator / width : 0;
  }

  private static ClassificationData scaled(
      ClassificationData data, double[] offset, double[] factor) {
    int[] all = new int[data.samples()];
    Arrays.setAll(all, i -> i);
    float[] values = data.rows(all);
    for (int i = 0; i < values.length; i++) {
      int j = i % offset.length;
      values[i] = (float) ((values[i] - offset[j]) * factor[j]);
    }
    return ClassificationData.of(
        data.name(), data.features(), data.classes(), values, data.labels(all));
  }
}
