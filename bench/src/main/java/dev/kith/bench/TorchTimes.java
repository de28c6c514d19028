package dev.kith.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.OptionalDouble;

/**
 * What {@code bench/peers/torch_gpu.py} measured: a line for each row with its name, nanoseconds or
 * {@code -}, and the form that was used or why there is none, between tabs.
 */
final class TorchTimes {
  private final Map<String, Double> nanos = new HashMap<>();
  private final Map<String, String> notes = new HashMap<>();
  private final String otherwise;

  private TorchTimes(String otherwise) {
    this.otherwise = otherwise;
  }

  /** No times, for a reason. */
  static TorchTimes none(String reason) {
    return new TorchTimes(reason);
  }

  static TorchTimes read(Path file) throws IOException {
    TorchTimes times = new TorchTimes("it has no such row");
    for (String line : Files.readAllLines(file)) {
      String[] parts = line.split("\t", 3);
      if (parts.length != 3) {
        throw new IOException("%s has the line '%s', which is no row".formatted(file, line));
      }
      if (!parts[1].equals("-")) {
        times.nanos.put(parts[0], Double.valueOf(parts[1]));
      }
      times.notes.put(parts[0], parts[2]);
    }
    return times;
  }

  OptionalDouble nanos(String row) {
    return nanos.containsKey(row) ? OptionalDouble.of(nanos.get(row)) : OptionalDouble.empty();
  }

  String note(String row) {
    return notes.getOrDefault(row, otherwise);
  }
}
