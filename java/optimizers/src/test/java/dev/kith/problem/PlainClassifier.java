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
      backward(x, h, delta, samples.length, gradient);
    }
    return gradient;
  }

  /** Adds what the delta of the logits gives, over {@code count}. */
  private void backward(double[] x, double[][] h, double[] top, int count, double[] gradient) {
    double[] delta = top;
    int at = x.length;
    for (int l = widths.length - 1; l > 0; l--) {
      int bias = at - widths[l];
      int weight = bias - widths[l] * widths[l - 1];
      double[] below = new double[widths[l - 1]];
      for (int o = 0; o < widths[l]; o++) {
        gradient[bias + o] += delta[o] / count;
        for (int i = 0; i < widths[l - 1]; i++) {
          gradient[weight + o * widths[l - 1] + i] += delta[o] * h[l - 1][i] / count;
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

  /**
   * (1/m) sum_j J_j^T (diag(p_j) - p_j p_j^T) J_j v, with rows of J_j from the loops of {@link
   * #gradient} where only one class has a delta.
   */
  double[] gaussNewton(double[] x, double[] v, ClassificationData data, int... samples) {
    int classes = widths[widths.length - 1];
    double[] product = new double[x.length];
    for (int sample : samples) {
      double[][] jacobian = new double[classes][];
      double[] slopes = new double[classes];
      for (int c = 0; c < classes; c++) {
        double[] delta = new double[classes];
        delta[c] = 1;
        jacobian[c] = new double[x.length];
        backward(x, forward(x, data, sample), delta, 1, jacobian[c]);
        for (int k = 0; k < x.length; k++) {
          slopes[c] += jacobian[c][k] * v[k];
        }
      }
      double[] p = softmax(forward(x, data, sample)[widths.length - 1]);
      double mean = 0;
      for (int c = 0; c < classes; c++) {
        mean += p[c] * slopes[c];
      }
      for (int c = 0; c < classes; c++) {
        for (int k = 0; k < x.length; k++) {
          product[k] += p[c] * (slopes[c] - mean) * jacobian[c][k] / samples.length;
        }
      }
    }
    return product;
  }
}
