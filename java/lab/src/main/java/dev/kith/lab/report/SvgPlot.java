package dev.kith.lab.report;

import java.util.ArrayList;
import java.util.Formatter;
import java.util.List;
import java.util.Locale;

/**
 * A {@link Plot} as an SVG element for an HTML page. Colours and fonts are classes of the page's
 * style sheet, so that one drawing serves light and dark pages; every point carries its values as a
 * tooltip.
 */
final class SvgPlot {
  /** The style sheet knows this many line colours. */
  static final int COLOURS = 8;

  private static final int WIDTH = 640;
  private static final int HEIGHT = 360;
  private static final int LEFT = 76;
  private static final int RIGHT = 84;
  private static final int BOTTOM = 52;
  private static final int LINE = 20;

  private final Formatter svg = new Formatter(Locale.ROOT);
  private final Plot plot;
  private final Axis x;
  private final Axis y;
  private final int top;

  private SvgPlot(Plot plot) {
    this.plot = plot;
    this.x = Axis.exact(plot.xUnit(), plot.series().stream().map(Series::x).toList());
    this.y = Axis.rounded(plot.yUnit(), plot.series().stream().map(Series::y).toList());
    this.top = 14 + LINE * legendRows().size();
  }

  static String of(Plot plot) {
    return new SvgPlot(plot).draw();
  }

  private String draw() {
    svg.format(
        "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">",
        WIDTH, HEIGHT, Html.escape(plot.title()));
    grid();
    int position = 0;
    List<double[]> ends = new ArrayList<>();
    for (Series series : plot.series()) {
      line(series, position++, ends);
    }
    endLabels(ends);
    legend();
    return svg.format("</svg>").toString();
  }

  private void grid() {
    for (Axis.Tick tick : y.ticks()) {
      double at = py(tick.value());
      svg.format(
          "<line class=\"grid\" x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>",
          LEFT, at, WIDTH - RIGHT, at);
      svg.format(
          "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>",
          LEFT - 8, at + 4.5, tick.label());
    }
    for (Axis.Tick tick : x.ticks()) {
      double at = px(tick.value());
      svg.format(
          "<line class=\"grid\" x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>",
          at, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 5);
      svg.format(
          "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>",
          at, HEIGHT - BOTTOM + 20, tick.label());
    }
    svg.format(
        "<line class=\"axis\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>",
        LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM);
    svg.format(
        "<text class=\"label\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>",
        (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, Html.escape(plot.xLabel()));
    svg.format(
        "<text class=\"label\" text-anchor=\"middle\" transform=\"translate(16 %d) rotate(-90)\">%s</text>",
        (top + HEIGHT - BOTTOM) / 2, Html.escape(plot.yLabel()));
  }

  private void line(Series series, int position, List<double[]> ends) {
    double[] xs = series.x();
    double[] ys = series.y();
    StringBuilder path = new StringBuilder();
    StringBuilder points = new StringBuilder();
    boolean pen = false;
    double[] end = null;
    for (int i = 0; i < xs.length; i++) {
      if (!y.shows(ys[i]) || !x.shows(xs[i])) {
        pen = false;
        continue;
      }
      double px = px(xs[i]);
      double py = py(ys[i]);
      path.append(String.format(Locale.ROOT, "%s%.1f %.1f", pen ? "L" : "M", px, py));
      pen = true;
      end = new double[] {py, ys[i], position};
      points.append(
          String.format(
              Locale.ROOT,
              "<circle class=\"p%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"7\"><title>%s: %s at %s</title></circle>",
              position % COLOURS,
              px,
              py,
              Html.escape(series.name()),
              Axis.written(plot.yUnit(), ys[i]),
              Axis.written(plot.xUnit(), xs[i])
                  + (plot.xUnit() == Plot.Unit.BYTES ? "" : " " + Html.escape(plot.xLabel()))));
    }
    if (end != null) {
      ends.add(end);
    }
    svg.format(
        "<path class=\"line s%d%s\" d=\"%s\"/>",
        position % COLOURS, series.dashed() ? " dashed" : "", path);
    svg.format("%s", points);
  }

  /** The last value of each line stands at its end; labels that would overlap are moved apart. */
  private void endLabels(List<double[]> ends) {
    if (ends.size() > 8) {
      return;
    }
    List<double[]> sorted = new ArrayList<>(ends);
    sorted.sort((a, b) -> Double.compare(a[0], b[0]));
    double[] at = new double[sorted.size()];
    for (int i = 0; i < at.length; i++) {
      at[i] = Math.max(sorted.get(i)[0], i == 0 ? top : at[i - 1] + 17);
    }
    double over = at.length == 0 ? 0 : at[at.length - 1] - (HEIGHT - BOTTOM);
    for (int i = at.length - 1; i >= 0 && over > 0; i--) {
      at[i] = Math.min(at[i], HEIGHT - BOTTOM - 17.0 * (at.length - 1 - i));
    }
    for (int i = 0; i < at.length; i++) {
      double[] end = sorted.get(i);
      svg.format(
          "<text class=\"end t%d\" x=\"%d\" y=\"%.1f\">%s</text>",
          (int) end[2] % COLOURS, WIDTH - RIGHT + 8, at[i] + 5, Axis.written(plot.yUnit(), end[1]));
    }
  }

  private List<List<Integer>> legendRows() {
    List<List<Integer>> rows = new ArrayList<>();
    if (plot.series().size() == 1) {
      return rows;
    }
    double used = Double.MAX_VALUE;
    for (int i = 0; i < plot.series().size(); i++) {
      double width = legendWidth(i);
      if (used + width > WIDTH - LEFT) {
        rows.add(new ArrayList<>());
        used = 0;
      }
      rows.getLast().add(i);
      used += width;
    }
    return rows;
  }

  private double legendWidth(int series) {
    return 46 + 7.6 * plot.series().get(series).name().length();
  }

  private void legend() {
    int row = 0;
    for (List<Integer> entries : legendRows()) {
      double at = LEFT;
      double baseline = 16.0 + LINE * row++;
      for (int i : entries) {
        Series series = plot.series().get(i);
        svg.format(
            "<path class=\"line s%d%s\" d=\"M%.1f %.1fh26\"/>",
            i % COLOURS, series.dashed() ? " dashed" : "", at, baseline - 5);
        svg.format(
            "<text class=\"legend\" x=\"%.1f\" y=\"%.1f\">%s</text>",
            at + 32, baseline, Html.escape(series.name()));
        at += legendWidth(i);
      }
    }
  }

  private double px(double value) {
    return LEFT + x.position(value) * (WIDTH - RIGHT - LEFT);
  }

  private double py(double value) {
    return HEIGHT - BOTTOM - y.position(value) * (HEIGHT - BOTTOM - top);
  }
}
