package dev.kith.graph;

/**
 * A topology whose graph is the same in all rounds. See {@link Topologies} and {@link RandomGraphs}
 * for the graphs.
 */
public sealed interface FixedTopology extends Topology {
  /**
   * The graph on so many nodes.
   *
   * @throws IllegalArgumentException when the number of nodes does not suit; the message says which
   *     would
   */
  Graph graph(int nodes, long seed);

  @Override
  default MixingSchedule schedule(WeightRule weights, int nodes, long seed) {
    Graph graph = graph(nodes, seed);
    if (!graph.stronglyConnected()) {
      throw new IllegalArgumentException(
          text()
              + " on "
              + nodes
              + " nodes with seed "
              + seed
              + " falls into the components "
              + graph.describeComponents()
              + ", which can never agree: take more links or another seed");
    }
    return MixingSchedule.constant(weights.weights(graph));
  }

  /** {@link Topologies#ring}. */
  record Ring() implements FixedTopology {
    @Override
    public String text() {
      return "ring";
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return Topologies.ring(nodes);
    }
  }

  /** {@link Topologies#path}. */
  record Path() implements FixedTopology {
    @Override
    public String text() {
      return "path";
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return Topologies.path(nodes);
    }
  }

  /** {@link Topologies#torus}, of rows x columns nodes. */
  record Torus(int rows, int columns) implements FixedTopology {
    @Override
    public String text() {
      return "torus:" + rows + "x" + columns;
    }

    @Override
    public Graph graph(int nodes, long seed) {
      checkSize(text(), (long) rows * columns, nodes);
      return Topologies.torus(rows, columns);
    }
  }

  /** {@link Topologies#grid}, of rows x columns nodes. */
  record Grid(int rows, int columns) implements FixedTopology {
    @Override
    public String text() {
      return "grid:" + rows + "x" + columns;
    }

    @Override
    public Graph graph(int nodes, long seed) {
      checkSize(text(), (long) rows * columns, nodes);
      return Topologies.grid(rows, columns);
    }
  }

  /** {@link Topologies#hypercube}. */
  record Hypercube() implements FixedTopology {
    @Override
    public String text() {
      return "hypercube";
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return Topologies.hypercube(nodes);
    }
  }

  /** {@link Topologies#star}. */
  record Star() implements FixedTopology {
    @Override
    public String text() {
      return "star";
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return Topologies.star(nodes);
    }
  }

  /** {@link Topologies#complete}. */
  record Complete() implements FixedTopology {
    @Override
    public String text() {
      return "complete";
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return Topologies.complete(nodes);
    }
  }

  /** {@link Topologies#barbell}. */
  record Barbell() implements FixedTopology {
    @Override
    public String text() {
      return "barbell";
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return Topologies.barbell(nodes);
    }
  }

  /** {@link Topologies#exponential}, directed. */
  record Exponential() implements FixedTopology {
    @Override
    public String text() {
      return "exponential";
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return Topologies.exponential(nodes);
    }
  }

  /** {@link Topologies#petersen}, 10 nodes. */
  record Petersen() implements FixedTopology {
    @Override
    public String text() {
      return "petersen";
    }

    @Override
    public Graph graph(int nodes, long seed) {
      checkSize(text(), 10, nodes);
      return Topologies.petersen();
    }
  }

  /** {@link Topologies#karateClub}, 34 nodes. */
  record KarateClub() implements FixedTopology {
    @Override
    public String text() {
      return "karate-club";
    }

    @Override
    public Graph graph(int nodes, long seed) {
      checkSize(text(), 34, nodes);
      return Topologies.karateClub();
    }
  }

  /** {@link RandomGraphs#erdosRenyi}. */
  record ErdosRenyi(double probability) implements FixedTopology {
    @Override
    public String text() {
      return "erdos-renyi:" + probability;
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return RandomGraphs.erdosRenyi(nodes, probability, seed);
    }
  }

  /** {@link RandomGraphs#barabasiAlbert}. */
  record BarabasiAlbert(int links) implements FixedTopology {
    @Override
    public String text() {
      return "barabasi-albert:" + links;
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return RandomGraphs.barabasiAlbert(nodes, links, seed);
    }
  }

  /** {@link RandomGraphs#geometric}. */
  record Geometric(double radius) implements FixedTopology {
    @Override
    public String text() {
      return "geometric:" + radius;
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return RandomGraphs.geometric(nodes, radius, seed);
    }
  }

  /** {@link RandomGraphs#regular}. */
  record Regular(int degree) implements FixedTopology {
    @Override
    public String text() {
      return "regular:" + degree;
    }

    @Override
    public Graph graph(int nodes, long seed) {
      return RandomGraphs.regular(nodes, degree, seed);
    }
  }

  private static void checkSize(String text, long size, int nodes) {
    if (size != nodes) {
      throw new IllegalArgumentException(text + " has " + size + " nodes, not " + nodes);
    }
  }
}
