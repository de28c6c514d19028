package dev.kith.bench;

import java.io.PrintStream;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/** Results for people. */
final class Table {
  private Table() {}

  static void print(List<Measured> results, PrintStream out) {
    int width = results.stream().mapToInt(result -> result.name().length()).max().orElse(0);
    int device = results.stream().mapToInt(result -> result.device().length()).max().orElse(0);
    device = Math.max(device, "device".length());
    String line = "%-" + width + "s %-" + device + "s %13s %8s %6s %6s  %s%n";
    out.printf(line, "row", "device", "time", "GB/s", "twin", "memcpy", "Kith is faster than");
    for (Measured result : results) {
      out.printf(
          Locale.ROOT,
          line,
          result.name(),
          result.device(),
          time(result.nsPerOp()),
          result.gbPerSecond() == 0 ? "" : "%.1f".formatted(result.gbPerSecond()),
          share(result.twinShare()),
          share(result.memcpyShare()),
          peers(result.peers()));
    }
    if (results.stream().noneMatch(result -> result.verdict() != null)) {
      return;
    }
    out.println();
    for (Measured result : results) {
      for (Goal.Outcome outcome : result.goals()) {
        out.printf(
            Locale.ROOT,
            "%-" + width + "s  %-44s %10s  %s%n",
            result.name(),
            outcome.text(),
            outcome.value() == null ? "" : "%.4g".formatted(outcome.value()),
            outcome.verdict());
      }
    }
    out.println();
    for (Measured result : results) {
      for (String note : result.notes()) {
        out.printf("%-" + width + "s  %s%n", result.name(), note);
      }
    }
  }

  private static String share(Double value) {
    return value == null ? "" : "%.3f".formatted(value);
  }

  private static String peers(Map<String, Double> peers) {
    return peers.entrySet().stream()
        .map(peer -> "%s %.2fx".formatted(peer.getKey(), peer.getValue()))
        .collect(Collectors.joining(", "));
  }

  static String time(double nanos) {
    if (nanos < 1e4) {
      return "%.0f ns".formatted(nanos);
    }
    if (nanos < 1e7) {
      return "%.1f us".formatted(nanos * 1e-3);
    }
    return nanos < 1e10 ? "%.2f ms".formatted(nanos * 1e-6) : "%.2f s".formatted(nanos * 1e-9);
  }
}
