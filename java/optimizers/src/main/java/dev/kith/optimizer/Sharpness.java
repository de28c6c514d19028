package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.network.Network;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.solver.TopEigenpairs;

/**
 * The sharpness of a training run: the largest eigenvalues of the Hessian of F = (1/n) sum_i f_i,
 * by Lanczos on {@link HessianVector}. Gradient descent with step size eta raises the first to
 * about 2 / eta and then oscillates there (the edge of stability).
 *
 * <p>A diagnostic: what it takes is not counted by the meter. It is a pure function of the point,
 * so that a resumed run sees the same values. Used by one thread at a time.
 *
 * <p>Source: Cohen, Kaur, Li, Kolter, Talwalkar, "Gradient Descent on Neural Networks Typically
 * Occurs at the Edge of Stability", 2021.
 */
public final class Sharpness implements AutoCloseable {
  private static final double TOLERANCE = 1e-3;
  private static final int MAX_PRODUCTS = 60;
  private final MeanObjective objective;

  /**
   * @param problem the local objectives; {@link HessianVector}
   * @param network the same nodes
   * @param like parameters: dtype and queue; not kept
   * @throws IllegalArgumentException when the problem has no products with its Hessian
   */
  public Sharpness(Problem problem, Network network, DeviceMatrix like) {
    this.objective = new MeanObjective("sharpness", problem, network, like);
  }

  /**
   * The largest eigenvalues to about a thousandth, descending.
   *
   * @param w parameters, one row
   * @param count how many, 1 or more
   * @throws ArithmeticException when a product is not finite
   */
  public double[] at(DeviceMatrix w, int count) {
    double[] point = w.toDoubles();
    return TopEigenpairs.of(
            objective.size(),
            (x, y) -> System.arraycopy(objective.hessianVector(point, x), 0, y, 0, y.length),
            count,
            TOLERANCE,
            Math.max(MAX_PRODUCTS, 20 * count),
            1)
        .values();
  }

  @Override
  public void close() {
    objective.close();
  }
}
