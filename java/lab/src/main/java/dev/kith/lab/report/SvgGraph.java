package dev.kith.lab.report;

import java.util.Formatter;
import java.util.Locale;

/** A {@link GraphPicture} as an SVG element, coloured by the style sheet of the page. */
final class SvgGraph {
  private static final int WIDTH = 640;
  private static final int HEIGHT = 360;
  private static final int SIDE = 312;

  private SvgGraph() {}

  static String of(GraphPicture picture) {
    double[][] at = GraphLayout.place(picture.neighbours());
    double radius = picture.radius(SIDE);
    Formatter svg = new Formatter(Locale.ROOT);
    svg.format(
        "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">",
        WIDTH, HEIGHT, Html.escape(picture.title()));
    svg.format(
        "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\""
            + " orient=\"auto\"><path class=\"head\" d=\"M0 0L8 4L0 8z\"/></marker></defs>");
    int[][] neighbours = picture.neighbours();
    for (int i = 0; i < neighbours.length; i++) {
      for (int j : neighbours[i]) {
        boolean back = picture.sends(j, i);
        if (i == j || (back && j < i)) {
          continue;
        }
        double dx = x(at, j) - x(at, i);
        double dy = y(at, j) - y(at, i);
        double length = Math.max(Math.hypot(dx, dy), 1e-9);
        svg.format(
            "<line class=\"edge\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"%s/>",
            x(at, i),
            y(at, i),
            x(at, j) - dx / length * radius,
            y(at, j) - dy / length * radius,
            picture.directed() && !back ? " marker-end=\"url(#arrow)\"" : "");
      }
    }
    for (int i = 0; i < neighbours.length; i++) {
      svg.format(
          "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"><title>node %d sends to %d others</title></circle>",
          picture.gone(i) ? "gone" : "node", x(at, i), y(at, i), radius, i, neighbours[i].length);
      if (picture.numbered()) {
        svg.format(
            "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\">%d</text>",
            picture.gone(i) ? "number soft" : "number",
            x(at, i),
            y(at, i) + radius * 0.33,
            radius * 0.95,
            i);
      }
    }
    return svg.format("</svg>").toString();
  }

  private static double x(double[][] at, int i) {
    return (WIDTH - SIDE) / 2.0 + SIDE * at[0][i];
  }

  private static double y(double[][] at, int i) {
    return (HEIGHT - SIDE) / 2.0 + SIDE * at[1][i];
  }
}
