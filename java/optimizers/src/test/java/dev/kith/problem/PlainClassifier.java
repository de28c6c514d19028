package dev.kith.problem;

import java.util.Arrays;

/**
 * Dense layers with ReLU under softmax with cross-entropy, in obvious loops in f64: the oracle of
 * {@link LayeredClassifier}.
 */
final class PlainClassifier {
  private final int[] widths;

  PlainClassifier(int features, int[] hidden, int classes) {
    widths = new int[hidden.length + 2];
    widths[0] = features;
    System.arraycopy(hidden, 0, widths, 1, hidden.length);
    widths[widths.length - 1] = classes;
  }

  /**
   * Outputs of all layers for one sample, the input first; a layer's weights (outputs x inputs) and
   * biases follow each other.
   */
  private double[][] forward(double[] x, ClassificationData data, int sample) {
    double[][] h = new double[widths.length][];
    h[0] = new double[widths[0]];
    for (int j = 0; j < widths[0]; j++) {
      h[0][j] = data.value(sample, j);
    }
    int at = 0;
    for (int l = 1; l < widths.length; l++) {
      h[l] = new double[widths[l]];
      int bias = at + widths[l] * widths[l - 1];
      for (int o = 0; o < widths[l]; o++) {
        double sum = x[bias + o];
        for (int i = 0; i < widths[l - 1]; i++) {
          sum += x[at + o * widths[l - 1] + i] * h[l - 1][i];
        }
        h[l][o] = l < widths.length - 1 ? Math.max(0, sum) : sum;
      }
      at = bias + widths[l];
    }
    return h;
  }

  private static double[] softmax(double[] z) {
    double largest = Arrays.stream(z).max().orElseThrow();
    double[] p = Arrays.stream(z).map(v -> Math.exp(v - largest)).toArray();
    double total = Arrays.stream(p).sum();
    return Arrays.stream(p).map(v -> v / total).toArray();
  }

  double loss(double[] x, ClassificationData data, int... samples) {
    double sum = 0;
    for (int sample : samples) {
      double[] z = forward(x, data, sample)[widths.length - 1];
      sum -= Math.log(softmax(z)[data.label(sample)]);
    }
    return sum / samples.length;
  }

  double accuracy(double[] x, ClassificationData data, int... samples) {
    int correct = 0;
    for (int sample : samples) {
      double[] z = forward(x, data, sample)[widths.length - 1];
      int best = 0;
      for (int c = 1; c < z.length; c++) {
        best = z[c] > z[best] ? c : best;
      }
      correct += best == data.label(sample) ? 1 : 0;
    }
    return (double) correct / samples.length;
  }

  double[] gradient(double[] x, ClassificationData data, int... samples) {
    double[] gradient = new double[x.length];
    for (int sample : samples) {
      double[][] h = forward(x, data, sample);
      double[] delta = softmax(h[widths.length - 1]);
      delta[data.label(sample)] -= 1;
      int at = x.length;
      for (int l = widths.length - 1; l > 0; l--) {
        int bias = at - widths[l];
        int weight = bias - widths[l] * widths[l - 1];
        double[] below = new double[widths[l - 1]];
        for (int o = 0; o < widths[l]; o++) {
          gradient[bias + o] += delta[o] / samples.length;
          for (int i = 0; i < widths[l - 1]; i++) {
            gradient[weight + o * widths[l - 1] + i] += delta[o] * h[l - 1][i] / samples.length;
            below[i] += delta[o] * x[weight + o * widths[l - 1] + i];
          }
        }
        for (int i = 0; i < widths[l - 1]; i++) {
          below[i] = h[l - 1][i] > 0 ? below[i] : 0;
        }
        delta = below;
        at = weight;
      }
    }
    return gradient;
  }
}
