package dev.kith.problem;

import dev.kith.device.DeviceMatrix;

/**
 * A problem whose local objectives are sums over examples, and which can bound what each of them
 * adds to a gradient: what DP-SGD needs to protect single examples.
 */
public interface PerExampleClipping {
  /**
   * How many examples the node in a row holds, N_i.
   *
   * @param row a local row
   */
  int examples(int row);

  /**
   * For every local row i, over the examples that were picked for it:
   *
   * <pre>
   * g_i = (1 / divisor_i) sum_e min(1, C / |grad f_ie(x_i)|) grad f_ie(x_i) + grad r(x_i)
   * </pre>
   *
   * <p>f_ie is the loss of example e of node i, r what depends on no example, a regularization,
   * which is not clipped. The first term moves by at most C / divisor_i in the 2-norm when an
   * example joins or leaves the picked ones. That is why the divisor is not the number of examples
   * that were picked but a constant, the expected number: see {@code
   * dev.kith.privacy.DpSgdProblem}. Nodes are computed one after the other, each from its own
   * examples alone, so the bits of a row do not depend on the process that holds it.
   *
   * @param x parameters, localNodes x d; not changed
   * @param g localNodes x d, every element written; does not share memory with {@code x}
   * @param picked for every local row numbers of its examples in [0, examples(row)), ascending;
   *     none of them gives 0 for the sum
   * @param clip C, above 0; infinity does not clip: then with all examples picked and {@code
   *     divisors} of {@code examples} g has the bits of {@link Problem#gradient} on full batches
   * @param divisors for every local row a finite number above 0
   * @throws IllegalArgumentException when shapes, numbers of examples, the clip norm or a divisor
   *     do not fit
   */
  void clippedGradient(
      DeviceMatrix x, DeviceMatrix g, int[][] picked, double clip, double[] divisors);
}
