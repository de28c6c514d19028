package dev.kith.lab;

import dev.kith.lab.data.DataFiles;
import dev.kith.lab.data.RawData;
import dev.kith.lab.data.ShippedData;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code data}: what ships, or what a file holds. */
@Command(
    name = "data",
    description = "Lists the data that ship, or reads a file and prints shape, labels and SHA-256.",
    sortOptions = false)
final class DataCommand implements Callable<Integer> {
  @Parameters(
      arity = "0..1",
      paramLabel = "NAME|PATH",
      description = "mnist, digits, or an IDX, CSV or LIBSVM file, also gzip'ed.")
  private String path;

  @Option(
      names = "--label",
      paramLabel = "COLUMN",
      defaultValue = "last",
      description =
          "Label column of a CSV file: first, last, a number from 1, or its name. Default: ${DEFAULT-VALUE}.")
  private String label;

  @Option(
      names = "--json",
      description = "Print one JSON document on standard output and nothing else there.")
  private boolean json;

  @Mixin
  @SuppressWarnings("UnusedVariable") // picocli fills it
  private CommonOptions common;

  @Override
  public Integer call() {
    if (path == null) {
      list();
    } else {
      Optional<ShippedData> shipped = ShippedData.named(path);
      show(shipped.map(ShippedData::read).orElseGet(() -> DataFiles.read(path, label)));
    }
    return 0;
  }

  private void list() {
    if (json) {
      List<Map<String, Object>> all = new ArrayList<>();
      ShippedData.all().forEach(data -> all.add(describe(data.read())));
      System.out.print(Json.write(all));
      return;
    }
    List<List<String>> table = new ArrayList<>();
    table.add(List.of("--data", "what it is"));
    ShippedData.all().forEach(data -> table.add(List.of(data.shortName(), data.description())));
    table.add(List.of("PATH", "an IDX, CSV or LIBSVM file of yours, also gzip'ed"));
    for (List<String> row : table) {
      System.out.printf("%-8s  %s%n", row.get(0), row.get(1));
    }
  }

  private void show(RawData data) {
    Map<String, Object> facts = describe(data);
    if (json) {
      System.out.print(Json.write(facts));
      return;
    }
    System.out.printf(
        "%s: %s, %,d samples x %,d features, %,d classes%n",
        data.samples().name(),
        data.format(),
        data.samples().samples(),
        data.samples().features(),
        data.samples().classes());
    int[] counts = data.samples().labelCounts();
    int shown = Math.min(counts.length, 40);
    for (int c = 0; c < shown; c++) {
      System.out.printf("  label %-12s %,9d samples%n", data.classNames().get(c), counts[c]);
    }
    if (shown < counts.length) {
      System.out.printf("  and %,d further labels%n", counts.length - shown);
    }
    data.sha256().forEach(sum -> System.out.printf("SHA-256 %s%n", sum));
  }

  private static Map<String, Object> describe(RawData data) {
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("name", data.samples().name());
    facts.put("format", data.format());
    facts.put("samples", data.samples().samples());
    facts.put("features", data.samples().features());
    Map<String, Object> labels = new LinkedHashMap<>();
    int[] counts = data.samples().labelCounts();
    for (int c = 0; c < counts.length; c++) {
      labels.put(data.classNames().get(c), counts[c]);
    }
    facts.put("labels", labels);
    facts.put("sha256", data.sha256().getFirst());
    if (data.sha256().size() > 1) {
      facts.put("labelsSha256", data.sha256().get(1));
    }
    return facts;
  }
}
