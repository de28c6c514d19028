package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/**
 * A problem f_i(x) = (1/m_i) sum_j loss_j(model_j(x)) + (lambda/2) |x|^2 with convex losses, whose
 * Gauss-Newton matrix can be applied to vectors:
 *
 * <pre>
 * G_i(x) = (1/m_i) sum_j J_j^T M_j J_j + lambda I,   J_j the Jacobian of model_j, M_j = loss_j''
 * </pre>
 *
 * <p>It is symmetric and never negative where the Hessian may be, and differs from that by the
 * second derivatives of the model. Where the loss is the negative log-likelihood of an exponential
 * family in its natural parameters, as with softmax and the logistic function, G - lambda I is the
 * Fisher information matrix too.
 *
 * <p>Source: Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient
 * Descent", 2002; Martens, "New Insights and Perspectives on the Natural Gradient Method", 2020,
 * sections 8 and 9.
 */
public interface GaussNewtonVector {
  /**
   * Writes G_i(x_i) v_i into row i of {@code out}, for every local row, on the full local data.
   *
   * @param x parameters, localNodes x d
   * @param v directions, localNodes x d
   * @param out products, localNodes x d; shares no memory with {@code x} or {@code v}
   */
  void gaussNewtonVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out);

  /**
   * The same on what {@link Problem#gradient} takes in this round. A problem without mini-batches
   * has the full one in every round, which is what this does if it is not overridden.
   *
   * @param x parameters, localNodes x d
   * @param v directions, localNodes x d
   * @param out products, localNodes x d; shares no memory with {@code x} or {@code v}
   * @param round number of the draw, as for {@link Problem#gradient}
   */
  default void gaussNewtonVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out, long round) {
    gaussNewtonVector(x, v, out);
  }
}
