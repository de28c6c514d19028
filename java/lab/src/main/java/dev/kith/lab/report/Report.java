package dev.kith.lab.report;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/**
 * What a run has to show: a headline, figures, curves, the graph, who held which data, and tables.
 *
 * @param title one line
 * @param subtitle one or two sentences under it
 * @param tiles the figures to read first
 * @param plots curves, in order
 * @param graphs the networks, one per distinct graph
 * @param heatmap samples of each class at each node
 * @param tables settings and results
 */
public record Report(
    String title,
    String subtitle,
    List<Tile> tiles,
    List<Plot> plots,
    List<GraphPicture> graphs,
    Optional<Heatmap> heatmap,
    List<Table> tables) {

  /** Copies the lists. */
  public Report {
    tiles = List.copyOf(tiles);
    plots = List.copyOf(plots);
    graphs = List.copyOf(graphs);
    tables = List.copyOf(tables);
  }

  /** A figure and what it is. */
  public record Tile(String value, String label) {}

  /**
   * A table; columns whose cells all look like numbers are aligned to the right.
   *
   * @param header may be empty: then the first column names the row
   */
  public record Table(String title, List<String> header, List<List<String>> rows) {
    /** Copies the rows. */
    public Table {
      header = List.copyOf(header);
      List<List<String>> copy = new ArrayList<>();
      for (List<String> row : rows) {
        copy.add(List.copyOf(row));
      }
      rows = Collections.unmodifiableList(copy);
    }
  }
}
