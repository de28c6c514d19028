import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/**
 * Turns a corpus of fuzzing, one input a line in hexadecimal, into a folder of files and back.
 *
 * <p>usage: FuzzCorpus unpack FILE FOLDER, or FuzzCorpus pack FOLDER FILE
 */
public final class FuzzCorpus {
  private FuzzCorpus() {}

  /**
   * Runs.
   *
   * @param arguments see above
   */
  public static void main(String[] arguments) throws IOException {
    Path from = Path.of(arguments[1]);
    Path to = Path.of(arguments[2]);
    HexFormat hex = HexFormat.of();
    if (arguments[0].equals("unpack")) {
      Files.createDirectories(to);
      List<String> lines = Files.exists(from) ? Files.readAllLines(from) : List.of();
      for (int k = 0; k < lines.size(); k++) {
        Files.write(to.resolve("input-" + k), hex.parseHex(lines.get(k)));
      }
      return;
    }
    List<String> lines = new ArrayList<>();
    try (var files = Files.newDirectoryStream(from)) {
      for (Path file : files) {
        lines.add(hex.formatHex(Files.readAllBytes(file)));
      }
    }
    lines.sort(null);
    Files.write(to, lines);
    System.out.println(lines.size() + " inputs in " + to);
  }
}
