package dev.kith.lab.report;

import java.util.Arrays;

/** A graph to be drawn. */
public final class GraphPicture {
  /** Above this many nodes a drawing shows nothing. */
  public static final int MOST_NODES = 600;

  private final String title;
  private final String caption;
  private final int[][] neighbours;
  private final boolean directed;
  private final boolean[] gone;

  /**
   * A graph and its texts.
   *
   * @param title one line, such as "ring of 16 nodes"
   * @param caption one line with the figures, such as the spectral gap
   * @param neighbours for every node the nodes that it sends to; copied
   * @param directed arrows are drawn where node j does not send back
   * @param gone nodes that are drawn as empty circles
   */
  public GraphPicture(
      String title, String caption, int[][] neighbours, boolean directed, int... gone) {
    this.title = title;
    this.caption = caption;
    this.neighbours = Arrays.stream(neighbours).map(int[]::clone).toArray(int[][]::new);
    this.directed = directed;
    this.gone = new boolean[neighbours.length];
    for (int node : gone) {
      this.gone[node] = true;
    }
  }

  String title() {
    return title;
  }

  String caption() {
    return caption;
  }

  /** Not to be written to. */
  int[][] neighbours() {
    return neighbours;
  }

  boolean directed() {
    return directed;
  }

  boolean gone(int node) {
    return gone[node];
  }

  /** Whether it is small enough to be drawn. */
  boolean drawable() {
    return neighbours.length <= MOST_NODES;
  }

  int nodes() {
    return neighbours.length;
  }

  boolean sends(int from, int to) {
    for (int j : neighbours[from]) {
      if (j == to) {
        return true;
      }
    }
    return false;
  }

  /** Radius of a node in a drawing of this width. */
  double radius(double width) {
    return Math.clamp(width / (4.2 * Math.sqrt(nodes()) + 10), 2.5, 15);
  }

  boolean numbered() {
    return nodes() <= 64;
  }
}
