package dev.kith.lab.report;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import javax.imageio.ImageIO;

/** Writes a {@link Report} into a folder: report.html and one PNG per picture. */
public final class ReportFiles {
  private ReportFiles() {}

  /**
   * Writes all files.
   *
   * @return why there are no PNGs, where this machine cannot draw them (no fonts, a Java without
   *     the desktop module); report.html needs neither and is complete
   * @throws IOException when the folder cannot be written
   */
  public static Optional<String> write(Report report, Path folder) throws IOException {
    Files.writeString(folder.resolve("report.html"), HtmlReport.of(report), StandardCharsets.UTF_8);
    System.setProperty("java.awt.headless", "true");
    List<Callable<BufferedImage>> drawings = new ArrayList<>();
    List<String> names = new ArrayList<>();
    for (Plot plot : report.plots()) {
      drawings.add(() -> PngPlot.of(plot));
      names.add(plot.file());
    }
    int number = 0;
    for (GraphPicture graph : report.graphs()) {
      number++;
      if (graph.drawable()) {
        drawings.add(() -> PngGraph.of(graph));
        names.add(report.graphs().size() == 1 ? "graph" : "graph-" + number);
      }
    }
    for (int i = 0; i < drawings.size(); i++) {
      BufferedImage image;
      try {
        image = drawings.get(i).call();
      } catch (Exception | LinkageError | InternalError e) {
        return Optional.of(
            "the PNG pictures were left out because Java cannot draw text on this machine (%s); installing fontconfig and fonts-dejavu-core helps"
                .formatted(e));
      }
      ByteArrayOutputStream png = new ByteArrayOutputStream();
      ImageIO.setUseCache(false);
      ImageIO.write(image, "png", png);
      Files.write(folder.resolve(names.get(i) + ".png"), png.toByteArray());
    }
    return Optional.empty();
  }
}
