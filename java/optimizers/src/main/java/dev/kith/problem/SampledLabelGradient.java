package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/**
 * A classifier that can answer its own examples: labels are drawn from what the model predicts, and
 * the gradient of the loss for these is taken.
 *
 * <p>With B examples in a batch, B g^2 element by element has the diagonal of the Gauss-Newton
 * matrix as its expectation (without regularization): the Gauss-Newton-Bartlett estimate of {@link
 * dev.kith.kernel.CurvatureRule.SophiaG}. Source: Liu, Li, Hall, Liang, Ma, "Sophia", 2024, section
 * 2.3.
 */
public interface SampledLabelGradient {
  /**
   * Writes the gradient of the mean loss of node i with drawn labels into row i of {@code g}, for
   * every local row, on the examples that {@link Problem#gradient} takes in this round. Label k is
   * drawn by (seed of the problem, node, round) in stream {@link dev.kith.random.Stream#LABEL},
   * index k. Zero for a node without examples; a regularization is left out.
   *
   * @param x parameters, localNodes x d
   * @param g gradients, localNodes x d, every element written; shares no memory with {@code x}
   * @param round number of the draw, as for {@link Problem#gradient}
   */
  void sampledLabelGradient(DeviceMatrix x, DeviceMatrix g, long round);
}
