package dev.kith.lab.report;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.image.BufferedImage;
import java.util.Arrays;
import java.util.List;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.AxesChartStyler.TextAlignment;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * A {@link Plot} as a picture of 1280 x 800 pixels, on white for papers and slides, drawn by
 * XChart.
 */
final class PngPlot {
  static final List<Color> COLOURS =
      List.of(
          new Color(0x2563c9),
          new Color(0xd9541e),
          new Color(0x17867a),
          new Color(0x9a3fb5),
          new Color(0xb07c00),
          new Color(0xc62f5d),
          new Color(0x4a7d1f),
          new Color(0x5b6472));

  static final Color INK = new Color(0x1c232c);
  private static final Color GRID = new Color(0xd3d9e0);
  private static final int WIDTH = 1280;
  private static final int HEIGHT = 800;

  private PngPlot() {}

  static BufferedImage of(Plot plot) {
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .title(plot.title())
            .xAxisTitle(plot.xLabel())
            .yAxisTitle(plot.yLabel())
            .build();
    Axis x = Axis.exact(plot.xUnit(), plot.series().stream().map(Series::x).toList());
    Axis y = Axis.rounded(plot.yUnit(), plot.series().stream().map(Series::y).toList());
    style(chart.getStyler(), plot, x, y);
    int position = 0;
    for (Series series : plot.series()) {
      double[][] kept = kept(y, series.x(), series.y());
      if (kept[0].length == 0) {
        position++;
        continue;
      }
      XYSeries line =
          chart.addSeries(
              "%s: %s"
                  .formatted(
                      series.name(), Axis.written(plot.yUnit(), kept[1][kept[1].length - 1])),
              kept[0],
              kept[1]);
      line.setMarker(SeriesMarkers.NONE);
      line.setLineColor(COLOURS.get(position % COLOURS.size()));
      line.setLineStyle(
          series.dashed()
              ? new BasicStroke(
                  4, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 10, new float[] {14, 9}, 0)
              : new BasicStroke(4, BasicStroke.CAP_ROUND, BasicStroke.JOIN_ROUND));
      position++;
    }
    BufferedImage image = new BufferedImage(WIDTH, HEIGHT, BufferedImage.TYPE_INT_RGB);
    var graphics = image.createGraphics();
    try {
      chart.paint(graphics, WIDTH, HEIGHT);
    } finally {
      graphics.dispose();
    }
    return image;
  }

  private static void style(XYStyler styler, Plot plot, Axis x, Axis y) {
    styler.setYAxisLogarithmic(plot.yUnit() == Plot.Unit.LOGARITHMIC);
    styler.setXAxisMin(x.low());
    styler.setYAxisMin(y.low());
    styler.setYAxisMax(y.high());
    styler.setXAxisTickMarkSpacingHint(150);
    styler.setYAxisTickMarkSpacingHint(90);
    styler.setXAxisTickLabelsFormattingFunction(x::label);
    styler.setYAxisTickLabelsFormattingFunction(y::label);
    styler.setPlotContentSize(0.97);
    styler.setChartBackgroundColor(Color.WHITE);
    styler.setPlotBackgroundColor(Color.WHITE);
    styler.setPlotBorderVisible(false);
    styler.setPlotGridLinesColor(GRID);
    styler.setPlotGridVerticalLinesVisible(false);
    styler.setChartFontColor(INK);
    styler.setAxisTickLabelsColor(INK);
    styler.setAxisTickMarksColor(GRID);
    styler.setChartTitleFont(font(Font.BOLD, 34));
    styler.setChartTitleBoxVisible(false);
    styler.setAxisTitleFont(font(Font.PLAIN, 26));
    styler.setAxisTickLabelsFont(font(Font.PLAIN, 24));
    styler.setLegendFont(font(Font.PLAIN, 24));
    styler.setLegendVisible(plot.series().size() > 1);
    styler.setLegendPosition(LegendPosition.OutsideS);
    styler.setLegendLayout(
        plot.series().size() > 4 ? LegendLayout.Vertical : LegendLayout.Horizontal);
    styler.setLegendBorderColor(Color.WHITE);
    styler.setLegendBackgroundColor(Color.WHITE);
    styler.setLegendSeriesLineLength(48);
    styler.setChartPadding(36);
    styler.setYAxisLabelAlignment(TextAlignment.Right);
    styler.setAntiAlias(true);
  }

  /**
   * Values that a chart can show; a gap becomes a straight line, other than in the report's own
   * drawing. Where data are equally spaced XChart puts its ticks on them, at 12, 24, 36 and not at
   * 20, 40: one more point on the first piece of the line makes it choose round numbers.
   */
  private static double[][] kept(Axis axis, double[] x, double[] y) {
    double[][] kept = new double[2][x.length + 1];
    int count = 0;
    for (int i = 0; i < x.length; i++) {
      if (axis.shows(y[i])) {
        if (count == 1) {
          kept[0][1] = kept[0][0] + 0.37 * (x[i] - kept[0][0]);
          kept[1][1] = axis.between(kept[1][0], y[i], 0.37);
          count++;
        }
        kept[0][count] = x[i];
        kept[1][count++] = y[i];
      }
    }
    return new double[][] {Arrays.copyOf(kept[0], count), Arrays.copyOf(kept[1], count)};
  }

  static Font font(int style, int size) {
    return new Font(Font.SANS_SERIF, style, size);
  }
}
