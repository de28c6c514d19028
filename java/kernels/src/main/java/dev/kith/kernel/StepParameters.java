package dev.kith.kernel;

import dev.kith.internal.Abi;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A rule as {@code kith_step} wants it: its number, its coefficients and, for a given step, the
 * bias corrections, formed in f64. Immutable and thread-safe.
 *
 * @param rule a kith_rule or kith_curvature_rule
 * @param stepSize eta
 * @param beta1 b1
 * @param beta2 b2
 * @param epsilon eps
 */
record StepParameters(int rule, double stepSize, double beta1, double beta2, double epsilon) {
  private static final long RULE = Abi.offset(Abi.STEP, "rule");
  private static final long STEP_SIZE = Abi.offset(Abi.STEP, "step_size");
  private static final long BETA1 = Abi.offset(Abi.STEP, "beta1");
  private static final long BETA2 = Abi.offset(Abi.STEP, "beta2");
  private static final long EPSILON = Abi.offset(Abi.STEP, "epsilon");
  private static final long BIAS1 = Abi.offset(Abi.STEP, "bias1");
  private static final long BIAS2 = Abi.offset(Abi.STEP, "bias2");

  static StepParameters of(StepRule rule) {
    double eta = rule.stepSize();
    return switch (rule) {
      case StepRule.Sgd r -> new StepParameters(Abi.SGD, eta, 0, 0, 0);
      case StepRule.HeavyBall r -> new StepParameters(Abi.HEAVY_BALL, eta, r.momentum(), 0, 0);
      case StepRule.Nesterov r -> new StepParameters(Abi.NESTEROV, eta, r.momentum(), 0, 0);
      case StepRule.Adagrad r -> new StepParameters(Abi.ADAGRAD, eta, 0, 0, r.epsilon());
      case StepRule.Adadelta r -> new StepParameters(Abi.ADADELTA, eta, r.decay(), 0, r.epsilon());
      case StepRule.RmsProp r -> new StepParameters(Abi.RMSPROP, eta, r.decay(), 0, r.epsilon());
      case StepRule.Adam r -> new StepParameters(Abi.ADAM, eta, r.beta1(), r.beta2(), r.epsilon());
      case StepRule.AdaMax r ->
          new StepParameters(Abi.ADAMAX, eta, r.beta1(), r.beta2(), r.epsilon());
      case StepRule.Nadam r ->
          new StepParameters(Abi.NADAM, eta, r.beta1(), r.beta2(), r.epsilon());
      case StepRule.Yogi r -> new StepParameters(Abi.YOGI, eta, r.beta1(), r.beta2(), r.epsilon());
    };
  }

  static StepParameters of(CurvatureRule rule) {
    double eta = rule.stepSize();
    return switch (rule) {
      case CurvatureRule.AdaHessian r ->
          new StepParameters(Abi.ADAHESSIAN, eta, r.beta1(), r.beta2(), r.epsilon());
      case CurvatureRule.SophiaG r ->
          new StepParameters(Abi.SOPHIA_G, eta, r.beta1(), 0, r.epsilon());
      case CurvatureRule.SophiaH r ->
          new StepParameters(Abi.SOPHIA_H, eta, r.beta1(), 0, r.epsilon());
    };
  }

  /** 1 - b1^t. StrictMath: the same on every JVM. */
  double bias1(long t) {
    return 1 - StrictMath.pow(beta1, (double) t);
  }

  /** 1 - b2^t. */
  double bias2(long t) {
    return 1 - StrictMath.pow(beta2, (double) t);
  }

  /** Writes what does not depend on t. */
  void write(MemorySegment step) {
    step.set(ValueLayout.JAVA_INT, RULE, rule);
    step.set(ValueLayout.JAVA_DOUBLE, STEP_SIZE, stepSize);
    step.set(ValueLayout.JAVA_DOUBLE, BETA1, beta1);
    step.set(ValueLayout.JAVA_DOUBLE, BETA2, beta2);
    step.set(ValueLayout.JAVA_DOUBLE, EPSILON, epsilon);
  }

  /** Writes what depends on t. */
  void write(MemorySegment step, long t) {
    step.set(ValueLayout.JAVA_DOUBLE, BIAS1, bias1(t));
    step.set(ValueLayout.JAVA_DOUBLE, BIAS2, bias2(t));
  }

  /** Writes bias corrections of 1: none. */
  static void writeUncorrected(MemorySegment step) {
    step.set(ValueLayout.JAVA_DOUBLE, BIAS1, 1);
    step.set(ValueLayout.JAVA_DOUBLE, BIAS2, 1);
  }

  static void finite(String name, double value) {
    if (!Double.isFinite(value)) {
      throw new IllegalArgumentException(name + " is " + value + " and must be finite");
    }
  }

  static void decay(String name, double value) {
    if (!(value >= 0 && value < 1)) {
      throw new IllegalArgumentException(name + " is " + value + " and must be in [0, 1)");
    }
  }

  static void epsilon(String name, double value) {
    if (!(value >= 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          name + " is " + value + " and must be at least 0 and finite");
    }
  }
}
