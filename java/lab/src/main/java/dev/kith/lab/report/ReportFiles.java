package dev.kith.lab.report;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Collectors;
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
    ImageIO.setUseCache(false);
    Map<String, Supplier<BufferedImage>> drawings = new LinkedHashMap<>();
    for (Plot plot : report.plots()) {
      drawings.put(plot.file(), () -> PngPlot.of(plot));
    }
    int number = 0;
    for (GraphPicture graph : report.graphs()) {
      number++;
      if (graph.drawable()) {
        drawings.put(
            report.graphs().size() == 1 ? "graph" : "graph-" + number, () -> PngGraph.of(graph));
      }
    }
    Map<String, byte[]> pictures;
    try {
      pictures =
          drawings.entrySet().parallelStream()
              .collect(Collectors.toConcurrentMap(Map.Entry::getKey, d -> png(d.getValue().get())));
    } catch (RuntimeException | LinkageError | InternalError e) {
      return Optional.of(
          "the PNG pictures were left out because Java cannot draw text on this machine (%s); installing fontconfig and fonts-dejavu-core helps"
              .formatted(e));
    }
    for (Map.Entry<String, byte[]> picture : pictures.entrySet()) {
      Files.write(folder.resolve(picture.getKey() + ".png"), picture.getValue());
    }
    return Optional.empty();
  }

  private static byte[] png(BufferedImage image) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try {
      ImageIO.write(image, "png", bytes);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }
}
