package dev.kith.lab.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReportTest {
  @TempDir Path folder;

  private static Plot plot(String file, Plot.Unit y, double... values) {
    double[] x = new double[values.length];
    for (int i = 0; i < x.length; i++) {
      x[i] = 10 * i;
    }
    return new Plot(
        file,
        "A <title> & more",
        "rounds",
        "what",
        Plot.Unit.NUMBER,
        y,
        List.of(
            new Series("one", x, values, false), new Series("two & \"three\"", x, values, true)));
  }

  private static Report report() {
    int[][] ring = {{1, 3}, {0, 2}, {1, 3}, {2, 0}};
    return new Report(
        "<script>alert(1)</script>",
        "5 > 4 & 3 < 4",
        List.of(new Report.Tile("1", "a"), new Report.Tile("2", "b")),
        List.of(
            plot("share", Plot.Unit.PERCENT, 0.1, 0.5, Double.NaN, 0.9),
            plot("log", Plot.Unit.LOGARITHMIC, 0, 1e-3, 2, 1e5),
            plot("flat", Plot.Unit.NUMBER, 3, 3, 3, 3),
            plot("empty", Plot.Unit.LOGARITHMIC, 0, 0, 0, 0)),
        List.of(
            new GraphPicture("ring", "gap", ring, false, 2),
            new GraphPicture("arrows", "gap", new int[][] {{1}, {2}, {0}}, true)),
        Optional.of(new Heatmap(new int[][] {{1, 0}, {5, 2}}, List.of("<a>", "b"))),
        List.of(
            new Report.Table("t", List.of("name", "x"), List.of(List.of("<b>", "1.5"))),
            new Report.Table("u", List.of(), List.of(List.of("flag", "value")))));
  }

  @Test
  void thePageNeedsNothingFromOutsideAndItsDrawingsAreWellFormed() throws Exception {
    assertEquals(Optional.empty(), ReportFiles.write(report(), folder));
    String page = Files.readString(folder.resolve("report.html"));
    assertFalse(page.contains("<script>"), "texts are escaped");
    assertFalse(Pattern.compile("(src|href)=|url\\((?!#)|@import|https?:").matcher(page).find());
    assertTrue(page.contains("prefers-color-scheme:dark"));
    Matcher svg = Pattern.compile("<svg.*?</svg>", Pattern.DOTALL).matcher(page);
    int drawings = 0;
    while (svg.find()) {
      DocumentBuilderFactory.newDefaultInstance()
          .newDocumentBuilder()
          .parse(new ByteArrayInputStream(svg.group().getBytes(StandardCharsets.UTF_8)));
      assertFalse(svg.group().contains("NaN") || svg.group().contains("Infinity"), svg.group());
      drawings++;
    }
    assertEquals(7, drawings);
  }

  @Test
  void everyPictureIsDrawn() throws Exception {
    ReportFiles.write(report(), folder);
    for (String name : List.of("share", "log", "flat", "graph-1", "graph-2")) {
      BufferedImage image = ImageIO.read(folder.resolve(name + ".png").toFile());
      assertEquals(1280, image.getWidth());
      int ink = 0;
      for (int y = 0; y < image.getHeight(); y += 2) {
        for (int x = 0; x < image.getWidth(); x += 2) {
          ink += (image.getRGB(x, y) & 0xffffff) == 0xffffff ? 0 : 1;
        }
      }
      assertTrue(ink > 2000, name + " has " + ink + " inked points");
    }
    assertTrue(Files.exists(folder.resolve("empty.png")));
  }

  @Test
  void axesCoverTheirValuesWithRoundTicks() {
    Axis percent = Axis.rounded(Plot.Unit.PERCENT, List.of(new double[] {0.06, 0.94}));
    assertEquals("0 %", percent.ticks().getFirst().label());
    assertEquals("100 %", percent.ticks().getLast().label());
    Axis log = Axis.rounded(Plot.Unit.LOGARITHMIC, List.of(new double[] {0, 3e-7, 0.4}));
    assertTrue(log.low() <= 3e-7 && log.high() >= 0.4);
    assertTrue(log.ticks().stream().anyMatch(tick -> tick.label().equals("10\u207b\u2076")));
    assertFalse(log.shows(0));
    Axis bytes = Axis.exact(Plot.Unit.BYTES, List.of(new double[] {0, 6.51e9}));
    assertEquals(6.51e9, bytes.high());
    assertEquals("2 GB", bytes.ticks().get(1).label());
    Axis far = Axis.rounded(Plot.Unit.NUMBER, List.of(new double[] {990, 1000}));
    assertTrue(far.low() >= 980, "a curve far above zero is not squeezed");
    for (Axis axis : List.of(percent, log, far)) {
      assertEquals(0, axis.position(axis.low()), 1e-12);
      assertEquals(1, axis.position(axis.high()), 1e-12);
    }
    assertEquals("999 kB", Sizes.bytes(999_400));
    assertEquals("1.00 MB", Sizes.bytes(999_600));
    assertEquals("12.3 GB", Sizes.bytes(12.34e9));
    assertEquals("17 B", Sizes.bytes(17));
  }

  @Test
  void aRingBecomesACircleAndNoTwoNodesOfATorusCoincide() {
    int n = 12;
    List<int[]> ring = new ArrayList<>();
    List<int[]> torus = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      ring.add(new int[] {(i + 1) % n, (i + n - 1) % n});
    }
    for (int i = 0; i < 16; i++) {
      int row = i / 4;
      int column = i % 4;
      torus.add(new int[] {row * 4 + (column + 1) % 4, (row + 1) % 4 * 4 + column});
    }
    double[][] at = GraphLayout.place(ring.toArray(new int[0][]));
    for (int i = 0; i < n; i++) {
      assertEquals(0.5, Math.hypot(at[0][i] - 0.5, at[1][i] - 0.5), 0.02, "on the circle");
    }
    double[][] places = GraphLayout.place(torus.toArray(new int[0][]));
    for (int i = 0; i < 16; i++) {
      for (int j = 0; j < i; j++) {
        double apart = Math.hypot(places[0][i] - places[0][j], places[1][i] - places[1][j]);
        assertTrue(apart > 0.05, "nodes " + i + " and " + j + " lie on each other");
      }
    }
  }
}
