package dev.kith.random;

/**
 * What random numbers are drawn for. Numbers of different streams never share a counter, so that,
 * for example, the order of mini-batches does not change when failures are switched on.
 *
 * <p>A tag is part of the layout in {@code docs/randomness.md}: it is never changed and never used
 * again.
 */
public enum Stream {
  /** Which samples a node takes in a round. */
  BATCH(1),
  /** Which node owns which sample. */
  PARTITION(2),
  /** The first parameters of a model. */
  INITIALIZATION(3),
  /** Random graphs. */
  TOPOLOGY(4),
  /** Random sequences of mixing matrices, and the clocks of asynchronous runs. */
  SCHEDULE(5),
  /** Which nodes and links fail, and when. */
  FAILURE(6),
  /** Generated data sets, and the split of a data set into training and test parts. */
  DATA(7),
  /** The inputs of tests and benchmarks. */
  TEST(8),
  /**
   * Double-precision normals that belong to no other purpose, for example simulated gradient noise.
   */
  NORMAL_F64_JAVA(9),
  /** Which way the codes of a message round. */
  ROUNDING(10),
  /** Which elements of a row a random-k message has. */
  SUBSET(11),
  /** Which elements of a row a threshold is estimated from. */
  SAMPLE(12),
  /** Directions in which parameters are perturbed (SPSA); never secret. */
  PERTURBATION(13),
  /** Noise of one node. From a secret it protects the node's data, from a seed it is simulated. */
  NODE_NOISE(14),
  /** Noise of an edge, added at one end and subtracted at the other; likewise. */
  EDGE_NOISE(15),
  /** Noise that a group draws together; likewise. */
  GROUP_NOISE(16),
  /** What a noisy channel adds to messages. */
  CHANNEL(17),
  /** Directions that a Hessian is multiplied by (Hutchinson); never secret. */
  PROBE(18),
  /** Labels that are drawn from the predictions of a model. */
  LABEL(19),
  /** Where a series is cut at random. */
  TRUNCATION(20);

  private final int tag;

  Stream(int tag) {
    this.tag = tag;
  }

  /** The fixed number of this purpose in counter word 3, 1 to 255. */
  public int tag() {
    return tag;
  }
}
