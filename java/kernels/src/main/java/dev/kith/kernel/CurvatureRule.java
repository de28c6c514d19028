package dev.kith.kernel;

/**
 * How a gradient moves the parameters where an estimate of the curvature is at hand. Every rule is
 * element-wise; x are the parameters, g the gradient, h the curvature, eta the step size and t the
 * number of the step, counted from 1. Arithmetic is that of {@code kith_curvature_step} in {@code
 * kith.h}. Immutable and thread-safe.
 *
 * <p>Constructors throw {@link IllegalArgumentException} when the step size is not finite, a decay
 * is not in [0, 1), or another number is not in its range.
 */
public sealed interface CurvatureRule {
  /**
   * The step size eta.
   *
   * @return a finite number
   */
  double stepSize();

  /**
   * The same rule with another step size, for schedules.
   *
   * @param stepSize eta
   * @return the changed rule
   */
  CurvatureRule withStepSize(double stepSize);

  /**
   * How many matrices of the size of x it keeps.
   *
   * @return 1 or 2
   */
  int states();

  /**
   * Its name.
   *
   * @return for example {@code "adahessian"}
   */
  String name();

  /**
   * m &larr; beta1 m + (1 - beta1) g, v &larr; beta2 v + (1 - beta2) h&sup2;, x &larr; x - eta m /
   * (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon), with h = Hz of a Rademacher probe z; the
   * state is m, then v. Z. Yao, A. Gholami, S. Shen, M. Mustafa, K. Keutzer, M. Mahoney,
   * "AdaHessian", AAAI 2021, algorithm 1 with Hessian power 1, which is all there is; its average
   * over the window of a convolution is for the caller to take. Decoupled decay is the paper's
   * release.
   *
   * @param stepSize eta
   * @param beta1 decay of the first moment, in [0, 1)
   * @param beta2 decay of the second moment, in [0, 1)
   * @param epsilon at least 0, added after the correction of v
   */
  record AdaHessian(double stepSize, double beta1, double beta2, double epsilon)
      implements CurvatureRule {
    /** Checks. */
    public AdaHessian {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("beta1", beta1);
      StepParameters.decay("beta2", beta2);
      StepParameters.epsilon("epsilon", epsilon);
    }

    /**
     * The usual values. The factory takes eta = 0.15, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-4,
     * those of the authors' code.
     *
     * @return the rule
     */
    public static AdaHessian withDefaults() {
      return new AdaHessian(0.15, 0.9, 0.999, 1e-4);
    }

    @Override
    public AdaHessian withStepSize(double newStepSize) {
      return new AdaHessian(newStepSize, beta1, beta2, epsilon);
    }

    @Override
    public int states() {
      return 2;
    }

    @Override
    public String name() {
      return "adahessian";
    }
  }

  /**
   * m &larr; beta1 m + (1 - beta1) g, x &larr; x - eta clip(m / max(rho B h, epsilon)), clipped to
   * [-1, 1]; the state is m. h is the moving average of the Gauss-Newton-Bartlett estimate without
   * its factor B, the squares of a gradient with labels drawn from the model, which is refreshed
   * every ten steps or so: {@link StepRule.RmsProp} of step size 0 keeps one. H. Liu, Z. Li, D.
   * Hall, P. Liang, T. Ma, "Sophia", ICLR 2024; this normalisation of the paper is reconstructed.
   * The authors' first release moves by eta' clip(m / (h + 1e-15), gamma): that is eta = eta'
   * gamma, rho B = gamma, epsilon = 1e-15 gamma here, up to sum against maximum in the divisor. No
   * bias correction.
   *
   * @param stepSize eta
   * @param beta1 decay of the first moment, in [0, 1); 0.965 in the release
   * @param rho how far from clipping, positive
   * @param batchSize B, at least 1: what the estimate is of
   * @param epsilon positive: the least divisor
   */
  record SophiaG(double stepSize, double beta1, double rho, long batchSize, double epsilon)
      implements CurvatureRule {
    /** Checks. */
    public SophiaG {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("beta1", beta1);
      positive("rho", rho);
      positive("epsilon", epsilon);
      if (batchSize < 1) {
        throw new IllegalArgumentException("batchSize is " + batchSize + " and must be at least 1");
      }
    }

    @Override
    public SophiaG withStepSize(double newStepSize) {
      return new SophiaG(newStepSize, beta1, rho, batchSize, epsilon);
    }

    @Override
    public int states() {
      return 1;
    }

    @Override
    public String name() {
      return "sophia-g";
    }
  }

  /**
   * m &larr; beta1 m + (1 - beta1) g, x &larr; x - eta / (1 - beta1^t) clip(m / (gamma max(h, 0) +
   * epsilon)), clipped to [-1, 1]; the state is m. h is the moving average z Hz that {@link
   * Curvature#hutchinson} keeps, with decay 0.99. Where the curvature is negative the step is that
   * of the sign of m. Liu and others, the Hutchinson form, as in the authors' code.
   *
   * @param stepSize eta
   * @param beta1 decay of the first moment, in [0, 1)
   * @param gamma how far from clipping, positive
   * @param epsilon positive
   */
  record SophiaH(double stepSize, double beta1, double gamma, double epsilon)
      implements CurvatureRule {
    /** Checks. */
    public SophiaH {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("beta1", beta1);
      positive("gamma", gamma);
      positive("epsilon", epsilon);
    }

    /**
     * The usual values. The factory takes eta = 1e-3, beta1 = 0.9, gamma = 10, epsilon = 1e-12,
     * those of the code; decoupled decay there is 0.01.
     *
     * @return the rule
     */
    public static SophiaH withDefaults() {
      return new SophiaH(1e-3, 0.9, 10, 1e-12);
    }

    @Override
    public SophiaH withStepSize(double newStepSize) {
      return new SophiaH(newStepSize, beta1, gamma, epsilon);
    }

    @Override
    public int states() {
      return 1;
    }

    @Override
    public String name() {
      return "sophia-h";
    }
  }

  private static void positive(String name, double value) {
    if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          name + " is " + value + " and must be positive and finite");
    }
  }
}
