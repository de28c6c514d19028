package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;

/**
 * The local objectives of a decentralized problem: minimise F(x) = (1/n) sum_i f_i(x), where node i
 * knows f_i alone.
 *
 * <p>A problem holds the data of <b>its process's nodes</b>, a contiguous range of the global nodes
 * {@code 0 .. nodes() - 1}; row r of every matrix it is given belongs to global node {@code
 * firstNode() + r}. What a problem can do beyond gradients it says by further interfaces: {@link
 * Value}, {@link Classifier}, {@link HessianVector}, {@link Proximal}.
 *
 * <p>A problem is used by one thread at a time. Whatever it draws at random is a pure function of
 * its seed, the global node and the given round, never of an earlier call: so a resumed run repeats
 * the bits of an uninterrupted one.
 */
public interface Problem extends AutoCloseable {
  /** What the columns of a row mean; its size d is the number of parameters of one node. */
  Layout layout();

  /** Number of nodes of the whole network, n. */
  int nodes();

  /** Global number of the node in row 0. */
  int firstNode();

  /** Number of nodes of this process: the rows of every matrix below. */
  int localNodes();

  /**
   * Writes the (stochastic) gradient of f_i at row i of {@code x} into row i of {@code g}, for
   * every local row.
   *
   * @param x parameters, localNodes x d; not changed
   * @param g gradients, localNodes x d, every element written; does not share memory with {@code x}
   * @param round number of the draw, counted by the optimizer from 0: the same round gives the same
   *     mini-batches and the same noise. An optimizer that takes s gradients between two exchanges
   *     counts s draws a round.
   */
  void gradient(DeviceMatrix x, DeviceMatrix g, long round);

  /** Releases the data; idempotent. */
  @Override
  void close();
}
