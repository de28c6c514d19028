package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.List;

/**
 * A problem of dense layers s = W h + b that can say what goes into its layers and what comes back:
 * the Kronecker factors of the Fisher matrix.
 *
 * <p>With h~ the input of a layer with a 1 appended, p + 1 numbers, and g the gradient of an
 * example's loss by s, q numbers, the block of a layer is about A (x) G, with A = E[h~ h~'] and G =
 * E[g g']. Source: J. Martens, R. Grosse, "Optimizing Neural Networks with Kronecker-factored
 * Approximate Curvature", ICML 2015, section 3.
 */
public interface KroneckerFactors {
  /**
   * A layer.
   *
   * @param weight W, q x p
   * @param bias b, q
   */
  record Layer(Layout.Tensor weight, Layout.Tensor bias) {}

  /** The layers, from the input on. */
  List<Layer> layers();

  /**
   * The columns of the factors: for every layer {@code layerL.inputs}, (p + 1) x (p + 1), then
   * {@code layerL.outputs}, q x q.
   */
  Layout factorLayout();

  /**
   * Writes the factors of node i into row i, for every local row, as means over the examples that
   * {@link Problem#gradient} takes in this round. Zero for a node without examples; a
   * regularization is left out.
   *
   * @param x parameters, localNodes x d
   * @param factors localNodes x the size of {@link #factorLayout}, every element written
   * @param sampled labels are drawn from what the model predicts, as for {@link
   *     SampledLabelGradient}, which gives the Fisher matrix; else those of the data are taken,
   *     which gives the empirical one
   * @param round number of the draw, as for {@link Problem#gradient}
   */
  void kroneckerFactors(DeviceMatrix x, DeviceMatrix factors, boolean sampled, long round);
}
