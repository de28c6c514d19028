package dev.kith.kernel;

import dev.kith.device.DType;

/**
 * One step of a rule on one row, in the words of kith.h, with the coefficients of one group and one
 * step number.
 */
final class OracleStep {
  private final String rule;
  private final Arithmetic t;
  private final double decay;
  private final boolean decoupled;
  private final double eta;
  private final double b1;
  private final double b2;
  private final double c1;
  private final double c2;
  private final double eps;
  private final double a;
  private final double q;
  private final double n1;
  private final double n2;
  private final double shrink;
  private final double k;

  OracleStep(
      String rule,
      Arithmetic t,
      double stepSize,
      double beta1,
      double beta2,
      double epsilon,
      double decay,
      boolean decoupled,
      long count) {
    this(rule, t, stepSize, beta1, beta2, epsilon, decay, decoupled, count, 0);
  }

  /** With the scale of h in the rules of Sophia. */
  OracleStep(
      String rule,
      Arithmetic t,
      double stepSize,
      double beta1,
      double beta2,
      double epsilon,
      double decay,
      boolean decoupled,
      long count,
      double k) {
    this.rule = rule;
    this.t = t;
    this.decay = decay;
    this.decoupled = decoupled;
    double bias1 = 1 - StrictMath.pow(beta1, (double) count);
    double bias2 = 1 - StrictMath.pow(beta2, (double) count);
    eta = t.round(stepSize);
    b1 = t.round(beta1);
    b2 = t.round(beta2);
    c1 = t.round(1 - beta1);
    c2 = t.round(1 - beta2);
    eps = t.round(epsilon);
    a = t.round(stepSize / bias1);
    q = t.round(1 / Math.sqrt(bias2));
    n1 = t.round(stepSize * beta1 / bias1);
    n2 = t.round(stepSize * (1 - beta1) / bias1);
    shrink = t.round(1 - stepSize * decay);
    this.k = t.round(k);
  }

  /**
   * Writes columns [begin, end) of x, s1 and s2; scale is the factor on the gradient, NaN when
   * there is none.
   */
  void apply(double[] x, double[] g, double[] s1, double[] s2, double scale, int begin, int end) {
    apply(x, g, g, s1, s2, scale, begin, end);
  }

  /** With curvature h, which only the rules of {@link CurvatureRule} read. */
  void apply(
      double[] x,
      double[] g,
      double[] h,
      double[] s1,
      double[] s2,
      double scale,
      int begin,
      int end) {
    for (int c = begin; c < end; c++) {
      element(x, g[c], h[c], s1, s2, scale, c);
    }
  }

  private void element(
      double[] x,
      double gradient,
      double curvature,
      double[] s1,
      double[] s2,
      double scale,
      int c) {
    double g = Double.isNaN(scale) ? gradient : t.multiply(t.round(scale), gradient);
    double old = x[c];
    if (decay != 0 && !decoupled) {
      g = t.fma(t.round(decay), old, g);
    }
    if (decay != 0 && decoupled) {
      old = t.multiply(old, shrink);
    }
    switch (rule) {
      case "sgd" -> x[c] = t.fma(-eta, g, old);
      case "heavy-ball" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(eta, g));
        x[c] = t.subtract(old, s1[c]);
      }
      case "nesterov" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(eta, g));
        x[c] = t.subtract(old, t.fma(b1, s1[c], t.multiply(eta, g)));
      }
      case "adagrad" -> {
        s1[c] = t.fma(g, g, s1[c]);
        x[c] = t.subtract(old, t.divide(t.multiply(eta, g), t.sqrt(t.add(s1[c], eps))));
      }
      case "adadelta" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(c1, t.multiply(g, g)));
        double d = t.multiply(t.divide(t.sqrt(t.add(s2[c], eps)), t.sqrt(t.add(s1[c], eps))), g);
        s2[c] = t.fma(b1, s2[c], t.multiply(c1, t.multiply(d, d)));
        x[c] = t.fma(-eta, d, old);
      }
      case "rmsprop" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(c1, t.multiply(g, g)));
        x[c] = t.subtract(old, t.divide(t.multiply(eta, g), t.add(t.sqrt(s1[c]), eps)));
      }
      case "adam" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(c1, g));
        s2[c] = t.fma(b2, s2[c], t.multiply(c2, t.multiply(g, g)));
        x[c] = t.subtract(old, t.divide(t.multiply(a, s1[c]), t.fma(t.sqrt(s2[c]), q, eps)));
      }
      case "adamax" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(c1, g));
        s2[c] = Math.max(t.multiply(b2, s2[c]), Math.abs(g));
        x[c] = t.subtract(old, t.divide(t.multiply(a, s1[c]), t.add(s2[c], eps)));
      }
      case "nadam" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(c1, g));
        s2[c] = t.fma(b2, s2[c], t.multiply(c2, t.multiply(g, g)));
        double top = t.fma(n1, s1[c], t.multiply(n2, g));
        x[c] = t.subtract(old, t.divide(top, t.fma(t.sqrt(s2[c]), q, eps)));
      }
      case "yogi" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(c1, g));
        double h = t.multiply(g, g);
        double sign = Math.signum(t.subtract(s2[c], h));
        s2[c] = t.fma(-c2 * sign, h, s2[c]);
        x[c] = t.subtract(old, t.divide(t.multiply(a, s1[c]), t.fma(t.sqrt(s2[c]), q, eps)));
      }
      case "adahessian" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(c1, g));
        s2[c] = t.fma(b2, s2[c], t.multiply(c2, t.multiply(curvature, curvature)));
        x[c] = t.subtract(old, t.divide(t.multiply(a, s1[c]), t.fma(t.sqrt(s2[c]), q, eps)));
      }
      case "sophia-g" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(c1, g));
        x[c] = t.fma(-a, clip(t.divide(s1[c], Math.max(t.multiply(k, curvature), eps))), old);
      }
      case "sophia-h" -> {
        s1[c] = t.fma(b1, s1[c], t.multiply(c1, g));
        x[c] = t.fma(-a, clip(t.divide(s1[c], t.fma(k, Math.max(curvature, 0), eps))), old);
      }
      default -> throw new IllegalArgumentException("no rule " + rule);
    }
  }

  /** To [-1, 1]; NaN stays. */
  private static double clip(double v) {
    return Math.max(-1, Math.min(1, v));
  }

  /** The bf16 or f16 copy of a row. */
  static double[] copy(DType t, double[] x) {
    return Oracle.round(t, new double[][] {x})[0];
  }
}
