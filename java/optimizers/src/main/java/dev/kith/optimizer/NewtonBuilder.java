package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.solver.ConjugateGradient;
import java.util.Objects;

/**
 * Settings of the algorithms whose nodes solve systems with their Hessians.
 *
 * @param <B> the builder itself
 */
public abstract class NewtonBuilder<B extends NewtonBuilder<B>> {
  final Problem problem;
  final Network network;
  final DeviceMatrix initial;
  double tolerance;
  int solverIterations;

  NewtonBuilder(
      Problem problem,
      Network network,
      DeviceMatrix initial,
      double tolerance,
      int solverIterations) {
    this.problem = Objects.requireNonNull(problem, "problem");
    this.network = Objects.requireNonNull(network, "network");
    this.initial = Objects.requireNonNull(initial, "initial");
    this.tolerance = tolerance;
    this.solverIterations = solverIterations;
  }

  abstract B self();

  final ConjugateGradient.Builder solver() {
    return ConjugateGradient.builder().tolerance(tolerance).maxIterations(solverIterations);
  }

  /**
   * How exactly a node solves its systems: the residual relative to the right-hand side. A system
   * that is not solved so far within the iterations gives the direction that it has come to, which
   * goes down all the same.
   *
   * @param relative at least 0; the default is that of the algorithm
   * @throws IllegalArgumentException if it is negative or not finite
   */
  public final B tolerance(double relative) {
    if (!(relative >= 0 && relative < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "tolerance is " + relative + " and must be at least 0 and finite");
    }
    tolerance = relative;
    return self();
  }

  /**
   * How many iterations a node makes at most for a system.
   *
   * @param most at least 1; the default is that of the algorithm
   * @throws IllegalArgumentException if it is below 1
   */
  public final B solverIterations(int most) {
    if (most < 1) {
      throw new IllegalArgumentException("solverIterations is " + most + " and must be at least 1");
    }
    solverIterations = most;
    return self();
  }
}
