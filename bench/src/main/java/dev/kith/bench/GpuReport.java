package dev.kith.bench;

import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/** The results of the GPU benchmark as JSON and as Markdown; needs nothing but the JDK. */
final class GpuReport {
  private GpuReport() {}

  static String json(Map<String, String> about, double copy, List<GpuMeasure.Result> results) {
    String facts =
        about.entrySet().stream()
            .map(fact -> "  " + quoted(fact.getKey()) + ": " + quoted(fact.getValue()) + ",\n")
            .collect(Collectors.joining());
    String rows =
        results.stream().map(GpuReport::json).collect(Collectors.joining(",\n    ", "    ", "\n"));
    return "{\n%s  \"copyGbPerSecond\": %s,\n  \"rows\": [\n%s  ]\n}\n"
        .formatted(facts, number(copy), rows);
  }

  private static String json(GpuMeasure.Result row) {
    String measures =
        row.measures().entrySet().stream()
            .map(measure -> quoted(measure.getKey()) + ": " + number(measure.getValue()))
            .collect(Collectors.joining(", "));
    String goals =
        row.goals().stream()
            .map(
                goal ->
                    "{\"text\": %s, \"goal\": %s, \"value\": %s, \"verdict\": %s}"
                        .formatted(
                            quoted(goal.text()),
                            number(goal.goal()),
                            goal.value() == null ? "null" : number(goal.value()),
                            quoted(goal.verdict())))
            .collect(Collectors.joining(", "));
    String notes = row.notes().stream().map(GpuReport::quoted).collect(Collectors.joining(", "));
    return ("{\"name\": %s, \"nsPerOp\": %s, \"gbPerSecond\": %s, \"measures\": {%s}, \"goals\": [%s],"
            + " \"notes\": [%s], \"failure\": %s}")
        .formatted(
            quoted(row.name()),
            number(row.nanos()),
            number(row.gbPerSecond()),
            measures,
            goals,
            notes,
            row.failure().isEmpty() ? "null" : quoted(row.failure()));
  }

  static String markdown(Map<String, String> about, double copy, List<GpuMeasure.Result> results) {
    StringBuilder page = new StringBuilder("# Kith on a GPU\n\n");
    about.forEach(
        (name, value) -> page.append("- ").append(name).append(": ").append(value).append('\n'));
    page.append("- measured copy: ").append(text(copy)).append(" GB/s\n\n");
    page.append(
        "Shares of the twin and of the copy are rates; for PyTorch, cuBLAS and JCublas above 1 Kith is faster.\n\n");
    page.append(
        "| row | us | GB/s | twin | copy | PyTorch | cuBLAS | JCublas | goal | value | verdict |\n");
    page.append("|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (GpuMeasure.Result row : results) {
      String first =
          "| `%s` | %s | %s | %s | %s | %s | %s | %s "
              .formatted(
                  row.name(),
                  row.failure().isEmpty() ? text(row.nanos() * 1e-3) : "failed",
                  row.gbPerSecond() == 0 ? "" : text(row.gbPerSecond()),
                  share(row, GpuMeasure.TWIN),
                  share(row, GpuMeasure.COPY),
                  share(row, GpuMeasure.TORCH),
                  share(row, GpuMeasure.CUBLAS),
                  share(row, GpuMeasure.JCUBLAS));
      for (Goal.Outcome goal : row.goals()) {
        page.append(first)
            .append(
                "| %s | %s | %s |\n"
                    .formatted(
                        goal.text(),
                        goal.value() == null ? "" : text(goal.value()),
                        goal.verdict()));
        first = "| | | | | | | | ";
      }
    }
    page.append('\n');
    for (GpuMeasure.Result row : results) {
      if (!row.failure().isEmpty()) {
        page.append("- `%s` failed: %s\n".formatted(row.name(), row.failure()));
      }
      row.notes().forEach(note -> page.append("- `%s`: %s\n".formatted(row.name(), note)));
    }
    return page.toString();
  }

  private static String share(GpuMeasure.Result row, String measure) {
    Double value = row.measures().get(measure);
    return value == null ? "" : text(value);
  }

  private static String text(double value) {
    return String.format(Locale.ROOT, "%.4g", value);
  }

  /** JSON has no NaN and no infinity. */
  private static String number(double value) {
    return Double.isFinite(value) ? Double.toString(value) : "null";
  }

  static String quoted(String text) {
    StringBuilder quoted = new StringBuilder("\"");
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      switch (c) {
        case '"' -> quoted.append("\\\"");
        case '\\' -> quoted.append("\\\\");
        case '\n' -> quoted.append("\\n");
        default -> quoted.append(c < ' ' ? "\\u%04x".formatted((int) c) : String.valueOf(c));
      }
    }
    return quoted.append('"').toString();
  }
}
