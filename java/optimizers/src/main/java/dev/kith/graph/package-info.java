/**
 * Who talks to whom, and with what weight.
 *
 * <ul>
 *   <li>{@link dev.kith.graph.Graph}: the nodes and their links; {@link dev.kith.graph.Topologies}
 *       and {@link dev.kith.graph.RandomGraphs} make them, {@link dev.kith.graph.Topology} names
 *       them in text.
 *   <li>{@link dev.kith.graph.MixingMatrix}: the weights of one round X &lt;- W X; {@link
 *       dev.kith.graph.WeightRule} makes them from a graph.
 *   <li>{@link dev.kith.graph.MixingSchedule}: the matrix of every round; {@link
 *       dev.kith.graph.Failures} take nodes and links away during a run.
 *   <li>{@link dev.kith.graph.Laplacian} and {@link dev.kith.graph.ChebyshevPolynomial}: spectral
 *       quantities of a graph.
 * </ul>
 *
 * <p>All types are immutable and safe for use by several threads. What is random is a function of a
 * seed: the same name, number of nodes and seed give the same graph and the same matrices
 * everywhere.
 */
package dev.kith.graph;
