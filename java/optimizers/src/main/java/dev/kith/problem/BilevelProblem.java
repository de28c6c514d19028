package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/**
 * Two nested problems over the nodes: minimise (1/n) sum_i f_i(x, y*(x)) over x, where y*(x)
 * minimises (1/n) sum_i g_i(x, y) over y. Node i knows f_i and g_i alone.
 *
 * <p>As a {@link Problem} it is the upper one without its constraint: a row is z = (x, y), x in its
 * first {@link #upperSize} columns, and {@link #gradient} gives (df_i/dx, df_i/dy). The lower one
 * is given here by its gradient in y, and by what more a method needs: {@link
 * LowerGradientInUpper}, {@link LowerCurvature}, {@link LowerValue}. Both problems are
 * <b>global</b>: y* belongs to the mean of the g_i, and the gradient of the whole,
 *
 * <pre>
 * h(x) = df/dx - (d2g/dxdy) (d2g/dy2)^{-1} df/dy      at (x, y*(x)), with the means f and g
 * </pre>
 *
 * <p>is not the mean of what each node would compute with its own g_i.
 *
 * <p>All functions of a problem draw for themselves: the same number of a draw in two of them gives
 * independent noise.
 */
public interface BilevelProblem extends Problem {
  /** p: how many columns of a row are x; the other q are y. */
  long upperSize();

  /** q: how many columns of a row are y. */
  default long lowerSize() {
    return layout().size() - upperSize();
  }

  /**
   * Writes the (stochastic) dg_i/dy at row i of x and y into row i of {@code g}, for every local
   * row.
   *
   * @param x localNodes x p; not changed
   * @param y localNodes x q; not changed
   * @param g localNodes x q, every element written; shares no memory with x and y
   * @param round number of the draw, as for {@link #gradient}
   */
  void lowerGradient(DeviceMatrix x, DeviceMatrix y, DeviceMatrix g, long round);
}
