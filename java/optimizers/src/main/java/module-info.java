/**
 * Decentralized optimization: graphs and mixing matrices, and what is built on them.
 *
 * <p>Nothing here knows a device, a thread or a socket; the arithmetic on parameters is done by
 * {@code dev.kith.kernels}.
 */
module dev.kith.optimizers {
  requires transitive jdk.jfr;
  requires transitive dev.kith.kernels;
  requires transitive org.jgrapht.core;
  requires ejml.core;
  requires ejml.ddense;

  exports dev.kith.compress;
  exports dev.kith.graph;
  exports dev.kith.network;
  exports dev.kith.optimizer;
  exports dev.kith.privacy;
  exports dev.kith.problem;
  exports dev.kith.solver;
}
