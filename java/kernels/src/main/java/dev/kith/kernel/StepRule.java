package dev.kith.kernel;

/**
 * How a gradient moves the parameters. Every rule is element-wise; x are the parameters, g the
 * gradient, eta the step size and t the number of the step, counted from 1. Overview: S. Ruder, "An
 * overview of gradient descent optimization algorithms", arXiv:1609.04747, 2016. Arithmetic is that
 * of {@code kith_apply_step} in {@code kith.h}: fused multiply-adds in the compute type of x.
 * Immutable and thread-safe.
 *
 * <p>Constructors throw {@link IllegalArgumentException} when the step size is not finite, a decay
 * or momentum is not in [0, 1), or epsilon is negative or not finite.
 */
public sealed interface StepRule {
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
  StepRule withStepSize(double stepSize);

  /**
   * How many matrices of the size of x it keeps.
   *
   * @return 0, 1 or 2
   */
  int states();

  /**
   * Its name on the command line.
   *
   * @return for example {@code "heavy-ball"}
   */
  String name();

  /**
   * Gradient descent: x &larr; x - eta g.
   *
   * @param stepSize eta
   */
  record Sgd(double stepSize) implements StepRule {
    /** Checks. */
    public Sgd {
      StepParameters.finite("stepSize", stepSize);
    }

    /**
     * The usual values. The factory takes eta = 0.01, the usual value of libraries (Keras); no
     * paper gives one.
     *
     * @return the rule
     */
    public static Sgd withDefaults() {
      return new Sgd(0.01);
    }

    @Override
    public Sgd withStepSize(double newStepSize) {
      return new Sgd(newStepSize);
    }

    @Override
    public int states() {
      return 0;
    }

    @Override
    public String name() {
      return "sgd";
    }
  }

  /**
   * Polyak's momentum: v &larr; beta v + eta g, x &larr; x - v. B. T. Polyak, "Some methods of
   * speeding up the convergence of iteration methods", 1964; in this form Ruder, section 4.1.
   *
   * @param stepSize eta
   * @param momentum beta, in [0, 1)
   */
  record HeavyBall(double stepSize, double momentum) implements StepRule {
    /** Checks. */
    public HeavyBall {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("momentum", momentum);
    }

    /**
     * The usual values. The factory takes beta = 0.9 (Ruder, section 4.1) and eta = 0.01.
     *
     * @return the rule
     */
    public static HeavyBall withDefaults() {
      return new HeavyBall(0.01, 0.9);
    }

    @Override
    public HeavyBall withStepSize(double newStepSize) {
      return new HeavyBall(newStepSize, momentum);
    }

    @Override
    public int states() {
      return 1;
    }

    @Override
    public String name() {
      return "heavy-ball";
    }
  }

  /**
   * Nesterov's accelerated gradient, with the gradient taken at x: v &larr; beta v + eta g, x
   * &larr; x - (beta v + eta g). Y. Nesterov, 1983; this form is T. Dozat's, "Incorporating
   * Nesterov momentum into Adam", 2016.
   *
   * @param stepSize eta
   * @param momentum beta, in [0, 1)
   */
  record Nesterov(double stepSize, double momentum) implements StepRule {
    /** Checks. */
    public Nesterov {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("momentum", momentum);
    }

    /**
     * The usual values. The factory takes beta = 0.9 (Ruder, section 4.2) and eta = 0.01.
     *
     * @return the rule
     */
    public static Nesterov withDefaults() {
      return new Nesterov(0.01, 0.9);
    }

    @Override
    public Nesterov withStepSize(double newStepSize) {
      return new Nesterov(newStepSize, momentum);
    }

    @Override
    public int states() {
      return 1;
    }

    @Override
    public String name() {
      return "nesterov";
    }
  }

  /**
   * G &larr; G + g&sup2;, x &larr; x - eta g / sqrt(G + epsilon). J. Duchi, E. Hazan, Y. Singer,
   * JMLR 12, 2011; Ruder, section 4.3.
   *
   * @param stepSize eta
   * @param epsilon at least 0
   */
  record Adagrad(double stepSize, double epsilon) implements StepRule {
    /** Checks. */
    public Adagrad {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.epsilon("epsilon", epsilon);
    }

    /**
     * The usual values. The factory takes eta = 0.01 and epsilon = 1e-8 (Ruder, section 4.3).
     *
     * @return the rule
     */
    public static Adagrad withDefaults() {
      return new Adagrad(0.01, 1e-8);
    }

    @Override
    public Adagrad withStepSize(double newStepSize) {
      return new Adagrad(newStepSize, epsilon);
    }

    @Override
    public int states() {
      return 1;
    }

    @Override
    public String name() {
      return "adagrad";
    }
  }

  /**
   * E &larr; rho E + (1 - rho) g&sup2;, d = sqrt(D + epsilon) / sqrt(E + epsilon) g, D &larr; rho D
   * + (1 - rho) d&sup2;, x &larr; x - eta d. M. D. Zeiler, arXiv:1212.5701, 2012, algorithm 1,
   * where eta = 1.
   *
   * @param stepSize eta
   * @param decay rho, in [0, 1)
   * @param epsilon at least 0
   */
  record Adadelta(double stepSize, double decay, double epsilon) implements StepRule {
    /** Checks. */
    public Adadelta {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("decay", decay);
      StepParameters.epsilon("epsilon", epsilon);
    }

    /**
     * The usual values. The factory takes eta = 1, rho = 0.95 and epsilon = 1e-6 (Zeiler, section
     * 4.1).
     *
     * @return the rule
     */
    public static Adadelta withDefaults() {
      return new Adadelta(1, 0.95, 1e-6);
    }

    @Override
    public Adadelta withStepSize(double newStepSize) {
      return new Adadelta(newStepSize, decay, epsilon);
    }

    @Override
    public int states() {
      return 2;
    }

    @Override
    public String name() {
      return "adadelta";
    }
  }

  /**
   * E &larr; rho E + (1 - rho) g&sup2;, x &larr; x - eta g / (sqrt(E) + epsilon). G. Hinton,
   * lecture 6e of "Neural networks for machine learning", 2012.
   *
   * @param stepSize eta
   * @param decay rho, in [0, 1)
   * @param epsilon at least 0
   */
  record RmsProp(double stepSize, double decay, double epsilon) implements StepRule {
    /** Checks. */
    public RmsProp {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("decay", decay);
      StepParameters.epsilon("epsilon", epsilon);
    }

    /**
     * The usual values. The factory takes rho = 0.9 and eta = 0.001 (Ruder, section 4.5), epsilon =
     * 1e-8.
     *
     * @return the rule
     */
    public static RmsProp withDefaults() {
      return new RmsProp(0.001, 0.9, 1e-8);
    }

    @Override
    public RmsProp withStepSize(double newStepSize) {
      return new RmsProp(newStepSize, decay, epsilon);
    }

    @Override
    public int states() {
      return 1;
    }

    @Override
    public String name() {
      return "rmsprop";
    }
  }

  /**
   * m &larr; beta1 m + (1 - beta1) g, v &larr; beta2 v + (1 - beta2) g&sup2;, x &larr; x - eta m' /
   * (sqrt(v') + epsilon) with m' = m / (1 - beta1^t), v' = v / (1 - beta2^t). D. P. Kingma, J. Ba,
   * "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1. AdamW (I. Loshchilov, F.
   * Hutter, "Decoupled weight decay regularization", ICLR 2019) is Adam with {@link
   * StepOptions#decoupledDecay}.
   *
   * @param stepSize eta
   * @param beta1 decay of the first moment, in [0, 1)
   * @param beta2 decay of the second moment, in [0, 1)
   * @param epsilon at least 0
   */
  record Adam(double stepSize, double beta1, double beta2, double epsilon) implements StepRule {
    /** Checks. */
    public Adam {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("beta1", beta1);
      StepParameters.decay("beta2", beta2);
      StepParameters.epsilon("epsilon", epsilon);
    }

    /**
     * The usual values. The factory takes eta = 0.001, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8
     * (Kingma and Ba, algorithm 1).
     *
     * @return the rule
     */
    public static Adam withDefaults() {
      return new Adam(0.001, 0.9, 0.999, 1e-8);
    }

    @Override
    public Adam withStepSize(double newStepSize) {
      return new Adam(newStepSize, beta1, beta2, epsilon);
    }

    @Override
    public int states() {
      return 2;
    }

    @Override
    public String name() {
      return "adam";
    }
  }

  /**
   * m as Adam, u &larr; max(beta2 u, |g|), x &larr; x - eta / (1 - beta1^t) m / (u + epsilon).
   * Kingma and Ba, algorithm 2, which has no epsilon: it keeps an element whose gradient has always
   * been zero from 0 / 0.
   *
   * @param stepSize eta
   * @param beta1 decay of the first moment, in [0, 1)
   * @param beta2 decay of the second moment, in [0, 1)
   * @param epsilon at least 0
   */
  record AdaMax(double stepSize, double beta1, double beta2, double epsilon) implements StepRule {
    /** Checks. */
    public AdaMax {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("beta1", beta1);
      StepParameters.decay("beta2", beta2);
      StepParameters.epsilon("epsilon", epsilon);
    }

    /**
     * The usual values. The factory takes eta = 0.002, beta1 = 0.9, beta2 = 0.999 (Kingma and Ba,
     * algorithm 2), epsilon = 1e-8.
     *
     * @return the rule
     */
    public static AdaMax withDefaults() {
      return new AdaMax(0.002, 0.9, 0.999, 1e-8);
    }

    @Override
    public AdaMax withStepSize(double newStepSize) {
      return new AdaMax(newStepSize, beta1, beta2, epsilon);
    }

    @Override
    public int states() {
      return 2;
    }

    @Override
    public String name() {
      return "adamax";
    }
  }

  /**
   * m and v as Adam, x &larr; x - eta (beta1 m + (1 - beta1) g) / (1 - beta1^t) / (sqrt(v') +
   * epsilon). T. Dozat, "Incorporating Nesterov momentum into Adam", 2016; in this form Ruder,
   * section 4.8.
   *
   * @param stepSize eta
   * @param beta1 decay of the first moment, in [0, 1)
   * @param beta2 decay of the second moment, in [0, 1)
   * @param epsilon at least 0
   */
  record Nadam(double stepSize, double beta1, double beta2, double epsilon) implements StepRule {
    /** Checks. */
    public Nadam {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("beta1", beta1);
      StepParameters.decay("beta2", beta2);
      StepParameters.epsilon("epsilon", epsilon);
    }

    /**
     * The usual values. The factory takes eta = 0.002, the value of Keras, and the betas and
     * epsilon of Adam.
     *
     * @return the rule
     */
    public static Nadam withDefaults() {
      return new Nadam(0.002, 0.9, 0.999, 1e-8);
    }

    @Override
    public Nadam withStepSize(double newStepSize) {
      return new Nadam(newStepSize, beta1, beta2, epsilon);
    }

    @Override
    public int states() {
      return 2;
    }

    @Override
    public String name() {
      return "nadam";
    }
  }

  /**
   * m as Adam, v &larr; v - (1 - beta2) sign(v - g&sup2;) g&sup2;, then as Adam. M. Zaheer, S.
   * Reddi, D. Sachan, S. Kale, S. Kumar, "Adaptive methods for nonconvex optimization", NeurIPS
   * 2018, algorithm 2, with the bias corrections of Adam; v starts at 0.
   *
   * @param stepSize eta
   * @param beta1 decay of the first moment, in [0, 1)
   * @param beta2 decay of the second moment, in [0, 1)
   * @param epsilon at least 0
   */
  record Yogi(double stepSize, double beta1, double beta2, double epsilon) implements StepRule {
    /** Checks. */
    public Yogi {
      StepParameters.finite("stepSize", stepSize);
      StepParameters.decay("beta1", beta1);
      StepParameters.decay("beta2", beta2);
      StepParameters.epsilon("epsilon", epsilon);
    }

    /**
     * The usual values. The factory takes eta = 0.01, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-3
     * (Zaheer and others, section 5).
     *
     * @return the rule
     */
    public static Yogi withDefaults() {
      return new Yogi(0.01, 0.9, 0.999, 1e-3);
    }

    @Override
    public Yogi withStepSize(double newStepSize) {
      return new Yogi(newStepSize, beta1, beta2, epsilon);
    }

    @Override
    public int states() {
      return 2;
    }

    @Override
    public String name() {
      return "yogi";
    }
  }
}
