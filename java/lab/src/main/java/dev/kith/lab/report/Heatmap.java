package dev.kith.lab.report;

import java.util.Arrays;
import java.util.Formatter;
import java.util.List;
import java.util.Locale;

/** Which node holds how many samples of which class, as an SVG table of shaded cells. */
public final class Heatmap {
  /** More cells than this tell a reader nothing. */
  private static final int MOST_NODES = 64;

  private static final int MOST_CLASSES = 40;
  private static final int CELL = 34;
  private static final int LEFT = 62;
  private static final int TOP = 26;

  private final int[][] counts;
  private final List<String> classNames;

  /**
   * A table of counts.
   *
   * @param counts a row per node, a column per class; copied
   * @param classNames names of the columns
   */
  public Heatmap(int[][] counts, List<String> classNames) {
    this.counts = Arrays.stream(counts).map(int[]::clone).toArray(int[][]::new);
    this.classNames = List.copyOf(classNames);
  }

  /** Whether it is small enough to be drawn. */
  boolean drawable() {
    return counts.length <= MOST_NODES && classNames.size() <= MOST_CLASSES;
  }

  /** Nodes run to the right and classes down: most networks have more nodes than classes. */
  String svg() {
    int width = LEFT + CELL * counts.length + 4;
    int height = TOP + (CELL - 8) * classNames.size() + 26;
    int most = Math.max(1, Arrays.stream(counts).flatMapToInt(Arrays::stream).max().orElse(1));
    Formatter svg = new Formatter(Locale.ROOT);
    svg.format(
        "<svg class=\"heat\" viewBox=\"0 0 %d %d\" style=\"max-width:%dpx\" role=\"img\" aria-label=\"samples of each class at each node\">",
        width, height, Math.max(width, 460) * 21 / 20);
    for (int node = 0; node < counts.length; node++) {
      svg.format(
          "%s",
          text("tick", LEFT + CELL * node + CELL / 2, TOP - 8, "middle", Integer.toString(node)));
    }
    for (int c = 0; c < classNames.size(); c++) {
      int y = TOP + (CELL - 8) * c;
      String name = classNames.get(c);
      svg.format(
          "%s",
          text(
              "tick",
              LEFT - 8,
              y + 17,
              "end",
              name.length() > 7 ? name.substring(0, 6) + "." : name));
      for (int node = 0; node < counts.length; node++) {
        double share = (double) counts[node][c] / most;
        svg.format(
            "<rect class=\"cell\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill-opacity=\"%.3f\"><title>node %d holds %d samples of class %s</title></rect>",
            LEFT + CELL * node + 1,
            y + 1,
            CELL - 2,
            CELL - 10,
            counts[node][c] == 0 ? 0 : 0.08 + 0.92 * share,
            node,
            counts[node][c],
            Html.escape(name));
        if (counts[node][c] > 0) {
          svg.format(
              "%s",
              text(
                  share > 0.5 ? "count strong" : "count",
                  LEFT + CELL * node + CELL / 2,
                  y + 17,
                  "middle",
                  Integer.toString(counts[node][c])));
        }
      }
    }
    svg.format(
        "%s",
        text(
            "tick",
            LEFT,
            TOP + (CELL - 8) * classNames.size() + 18,
            "start",
            "samples of each class (down) at each node (across)"));
    return svg.format("</svg>").toString();
  }

  private static String text(String style, int x, int y, String anchor, String text) {
    return "<text class=\"%s\" x=\"%d\" y=\"%d\" text-anchor=\"%s\">%s</text>"
        .formatted(style, x, y, anchor, Html.escape(text));
  }
}
