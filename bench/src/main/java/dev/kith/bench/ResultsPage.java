package dev.kith.bench;

import java.awt.Color;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import javax.imageio.ImageIO;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.CategoryChart;
import org.knowm.xchart.CategoryChartBuilder;
import org.knowm.xchart.CategorySeries.CategorySeriesRenderStyle;
import org.knowm.xchart.style.Styler.LegendPosition;

/** The page {@code bench/results/README.md}: the goal table of one run with its pictures. */
final class ResultsPage {
  private static final int WIDTH = 1100;
  private static final int HEIGHT = 520;

  private final String capabilities;
  private final List<Measured> results;

  ResultsPage(String capabilities, List<Measured> results) {
    this.capabilities = capabilities;
    this.results = results;
  }

  /** Writes the page and its pictures. */
  void write(Path folder) throws IOException {
    Files.createDirectories(folder);
    List<String> pictures = new ArrayList<>();
    if (results.stream().anyMatch(result -> result.twinShare() != null)) {
      save(shares(), folder.resolve("twin-shares.png"));
      pictures.add("![Speed as a share of the twin, by row](twin-shares.png)");
    }
    if (results.stream().anyMatch(result -> !result.peers().isEmpty())) {
      save(peers(), folder.resolve("peers.png"));
      pictures.add("![Time of each peer over the time of Kith, by row](peers.png)");
    }
    Files.writeString(folder.resolve("README.md"), text(pictures));
  }

  private static void save(CategoryChart chart, Path file) throws IOException {
    try (OutputStream out = Files.newOutputStream(file)) {
      ImageIO.write(BitmapEncoder.getBufferedImage(chart), "png", out);
    }
  }

  private String text(List<String> pictures) {
    StringBuilder page = new StringBuilder();
    page.append("# Results\n\n");
    page.append("One run of `./kith bench --goals --page bench/results` on ")
        .append(LocalDate.now(ZoneOffset.UTC))
        .append(".\n\n")
        .append(capabilities.replace("|", "·").replaceAll("/\\S*/(lib\\S+)", "$1"))
        .append("\n\n");
    page.append(
        """
        The roof of a kernel is its *twin*: a native loop over the same streams, on the same matrices and threads, with
        one addition for each element. Kernel and twin run in turn; a share is the median of the pairwise ratios. memcpy
        is a figure that everybody knows, not a roof. Peers run in processes of their own, one at a time, in turn with
        the kernel, with outputs allocated once where they can.

        ## Goals

        | row | goal | measured | |
        |---|---|---:|---|
        """);
    for (Measured result : results) {
      for (Goal.Outcome outcome : result.goals()) {
        page.append(
            "| `%s` | %s | %s | %s |%n"
                .formatted(
                    result.name(),
                    outcome.text(),
                    outcome.value() == null ? "" : number(outcome.value()),
                    outcome.verdict().equals(Goal.MISSED) ? "**missed**" : outcome.verdict()));
      }
    }
    page.append('\n');
    pictures.forEach(picture -> page.append(picture).append("\n\n"));
    page.append(
        "## All figures\n\n| row | time | GB/s | share of the twin | share of memcpy | Kith is faster than |\n");
    page.append("|---|---:|---:|---:|---:|---|\n");
    for (Measured result : results) {
      page.append(
          "| `%s` | %s | %s | %s | %s | %s |%n"
              .formatted(
                  result.name(),
                  Table.time(result.nsPerOp()),
                  result.gbPerSecond() == 0 ? "" : number(result.gbPerSecond()),
                  share(result.twinShare()),
                  share(result.memcpyShare()),
                  result.peers().entrySet().stream()
                      .map(peer -> peer.getKey() + " " + number(peer.getValue()) + "x")
                      .collect(Collectors.joining(", "))));
    }
    page.append("\n## How each row was measured\n\n");
    for (Measured result : results) {
      page.append("- `").append(result.name()).append("`: ");
      page.append(String.join("; ", result.notes())).append('\n');
    }
    return page.toString();
  }

  private CategoryChart shares() {
    List<Measured> rows = results.stream().filter(result -> result.twinShare() != null).toList();
    List<String> names = rows.stream().map(Measured::name).toList();
    CategoryChart chart = chart("Speed as a share of the twin", "share");
    chart
        .addSeries("Kith", names, rows.stream().map(Measured::twinShare).toList())
        .setFillColor(new Color(0x2a6f97));
    List<Double> goals =
        rows.stream()
            .map(
                row ->
                    row.goals().stream()
                        .filter(goal -> goal.text().endsWith("of the twin"))
                        .map(Goal.Outcome::goal)
                        .findFirst()
                        .orElse(Double.NaN))
            .toList();
    chart
        .addSeries("goal", names, goals)
        .setChartCategorySeriesRenderStyle(CategorySeriesRenderStyle.Scatter)
        .setMarkerColor(new Color(0xd62828));
    return chart;
  }

  private CategoryChart peers() {
    List<Measured> rows = results.stream().filter(result -> !result.peers().isEmpty()).toList();
    List<String> names = rows.stream().map(Measured::name).toList();
    List<String> peers =
        rows.stream().flatMap(row -> row.peers().keySet().stream()).distinct().toList();
    CategoryChart chart = chart("Time of the peer over the time of Kith", "ratio");
    for (String peer : peers) {
      List<Double> ratios = rows.stream().map(row -> row.peers().getOrDefault(peer, 0.0)).toList();
      chart.addSeries(peer, names, ratios);
    }
    chart
        .addSeries("Kith", names, Collections.nCopies(names.size(), 1.0))
        .setChartCategorySeriesRenderStyle(CategorySeriesRenderStyle.Line)
        .setLineColor(Color.BLACK);
    return chart;
  }

  private static CategoryChart chart(String title, String axis) {
    CategoryChart chart =
        new CategoryChartBuilder()
            .width(WIDTH)
            .height(HEIGHT)
            .title(title)
            .yAxisTitle(axis)
            .build();
    chart.getStyler().setXAxisLabelRotation(35);
    chart.getStyler().setLegendPosition(LegendPosition.InsideNE);
    chart.getStyler().setYAxisMin(0.0);
    chart.getStyler().setChartBackgroundColor(Color.WHITE);
    chart.getStyler().setPlotBorderVisible(false);
    return chart;
  }

  private static String share(Double value) {
    return value == null ? "" : "%.3f".formatted(value);
  }

  private static String number(double value) {
    return String.format(Locale.ROOT, value >= 100 ? "%.0f" : "%.3g", value);
  }
}
