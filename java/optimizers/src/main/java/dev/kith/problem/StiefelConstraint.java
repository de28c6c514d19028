package dev.kith.problem;

import dev.kith.device.Layout;
import java.util.List;

/**
 * A problem some of whose tensors are points of Stiefel manifolds St(d, r) = {X in R^(d x r): X^T X
 * = I}. The others are free. Gradients and values are those of the surrounding space, defined
 * beside the manifold too.
 */
public interface StiefelConstraint {
  /**
   * The tensors of the layout whose columns are orthonormal: of two dimensions, at least as many
   * rows as columns. Not empty.
   */
  List<Layout.Tensor> orthonormal();
}
