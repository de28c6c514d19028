package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.network.Network;

/**
 * K rounds of gossip that average as well as about K^2 plain ones: a Chebyshev polynomial of a
 * gossip operator Q, where Q is a Laplacian or I - W.
 *
 * <p>With l_2 and l_n the smallest and the largest eigenvalue of Q on the vectors that sum to zero,
 * gamma = l_2 / l_n, c_2 = (1 + gamma) / (1 - gamma), c_3 = 2 / (l_2 + l_n) and P = I - c_3 Q:
 *
 * <pre>
 * z_1     = P z_0
 * z_(k+1) = omega P z_k - (omega - 1) z_(k-1),   omega_(k+1) = 1 / (1 - omega_k / (4 c_2^2)), omega_1 = 2
 * </pre>
 *
 * <p>This is the recurrence x_(k+1) = 2 c_2 P x_k - x_(k-1), a_(k+1) = 2 c_2 a_k - a_(k-1) for z_k
 * = x_k / a_k, which stays in range for any K. The mean is kept; the distance to it shrinks at
 * least by {@link #contraction} = 1 / T_K(c_2) = 2 c^K / (1 + c^(2K)), c = (1 - sqrt gamma) / (1 +
 * sqrt gamma). A node sends d numbers to each neighbour in each of the K rounds.
 *
 * <p>Source: Scaman, Bach, Bubeck, Lee, Massoulie, "Optimal Algorithms for Smooth and Strongly
 * Convex Distributed Optimization in Networks", 2017, with its K = floor(1 / sqrt gamma) as the
 * default. Immutable and thread-safe.
 */
public final class ChebyshevGossip {
  private final GossipOperator operator;
  private final int rounds;
  private final double rate;
  private final double step;

  private ChebyshevGossip(MixingMatrix matrix, int rounds) {
    if (!matrix.symmetric()
        || (matrix.kind() != MixingMatrix.Kind.DOUBLY_STOCHASTIC
            && matrix.kind() != MixingMatrix.Kind.ZERO_ROW_SUMS)) {
      throw new IllegalArgumentException(
          "Chebyshev gossip needs a symmetric matrix, doubly stochastic or a Laplacian, not a "
              + (matrix.symmetric() ? "symmetric" : "non-symmetric")
              + " one of kind "
              + matrix.kind());
    }
    this.operator = new GossipOperator(matrix);
    boolean alone = matrix.nodes() == 1;
    double smallest = alone ? 1 : operator.smallest();
    double largest = alone ? 1 : operator.largest();
    // The rounding of the eigenvalues is some hundred ulps of the largest one.
    if (smallest <= 1e-13 * largest) {
      throw new IllegalArgumentException(
          "Chebyshev gossip needs a connected graph, and the second eigenvalue of this one is "
              + smallest
              + " away from that of the common value");
    }
    double gamma = Math.min(1, smallest / largest);
    this.rate = (1 - gamma) / (1 + gamma);
    this.step = 2 / (smallest + largest);
    this.rounds = rounds > 0 ? rounds : (int) Math.max(1, Math.floor(1 / Math.sqrt(gamma)));
  }

  /** K = floor(1 / sqrt gamma) rounds, at least 1. */
  public static ChebyshevGossip of(MixingMatrix matrix) {
    return new ChebyshevGossip(matrix, 0);
  }

  /**
   * @param matrix symmetric, doubly stochastic or with zero row sums (a Laplacian), of a connected
   *     graph
   * @param rounds K, at least 1
   */
  public static ChebyshevGossip of(MixingMatrix matrix, int rounds) {
    if (rounds < 1) {
      throw new IllegalArgumentException(rounds + " rounds of gossip are too few: take at least 1");
    }
    return new ChebyshevGossip(matrix, rounds);
  }

  /** K. */
  public int rounds() {
    return rounds;
  }

  /** 1 / T_K(c_2): by how much the distance to the mean shrinks at least. */
  public double contraction() {
    double root = Math.sqrt((1 - rate) / (1 + rate));
    double c = (1 - root) / (1 + root);
    return 2 * Math.pow(c, rounds) / (1 + Math.pow(c, 2.0 * rounds));
  }

  /**
   * K rounds of gossip.
   *
   * @param network carries the messages; its meter counts K rounds
   * @param z localNodes x d; unchanged
   * @param a scratch of the same shape
   * @param b scratch of the same shape
   * @return the result: {@code a} when K is odd, else {@code b}
   */
  public DeviceMatrix mix(Network network, DeviceMatrix z, DeviceMatrix a, DeviceMatrix b) {
    return mix(network, Combination.of(z), a, b, () -> {});
  }

  /** The same for an unformed start of at most three parts; {@code check} runs after each round. */
  DeviceMatrix mix(
      Network network, Combination start, DeviceMatrix a, DeviceMatrix b, Runnable check) {
    MixingMatrix w = operator.matrix();
    double inner = operator.inner(step);
    double outer = operator.outer(step);
    network.mix(w, start.plusOuter(start.inner(inner), outer), a);
    check.run();
    Combination before = start;
    DeviceMatrix present = a;
    DeviceMatrix target = b;
    double omega = 2;
    for (int k = 1; k < rounds; k++) {
      omega = 1 / (1 - omega * rate * rate / 4);
      Combination z = Combination.of(present);
      network.mix(
          w,
          before.plusOuter(z.plusOuter(z.inner(omega * inner), omega * outer), 1 - omega),
          target);
      check.run();
      before = z;
      DeviceMatrix free = present;
      present = target;
      target = free;
    }
    return present;
  }
}
