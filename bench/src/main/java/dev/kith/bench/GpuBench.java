package dev.kith.bench;

import dev.kith.device.Device;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The rows of the GPU goal table. {@code ci/gpu} starts it on machines that have neither Maven nor
 * the peers of {@code ./kith bench}: it needs the JDK, the kernels and JCublas.
 */
public final class GpuBench {
  private static final String USAGE =
      """
      usage: GpuBench [--device cuda] [--scale full|small|tiny] [--rows NAME,NAME] [--torch FILE] [--cublas FILE]
                      [--out FOLDER] | --probe
        --device  cuda, cuda:N or emulated (default: cuda)
        --scale   full: what the names say; small: a sixteenth; tiny: shows that the rows work (default: full)
        --rows    some rows only
        --torch   times of torch_gpu.py, or why there are none
        --cublas  a libcublas.so.12 or .13 to compare products with
        --out     writes results.json and results.md there
        --probe   only says what the device is, or exits with 3 and says why there is none
      """;

  private GpuBench() {}

  /**
   * Runs it; exits with 0 when every row has a right result, 1 when one has not, 2 when the command
   * line is wrong, 3 when there is no such device. A goal that is missed is no failure.
   *
   * @param arguments as the usage says
   */
  public static void main(String[] arguments) {
    System.exit(run(List.of(arguments), System.out, System.err));
  }

  static int run(List<String> arguments, PrintStream out, PrintStream err) {
    try {
      Map<String, String> options = options(arguments);
      String name = options.getOrDefault("--device", "cuda");
      GpuScale scale = GpuScale.named(options.getOrDefault("--scale", "full"));
      List<GpuRow> rows = rows(options.getOrDefault("--rows", ""));
      String reason = Device.unavailableReason(name);
      if (!reason.isEmpty()) {
        err.println(reason);
        return 3;
      }
      Device device = Device.named(name);
      if (options.containsKey("--probe")) {
        out.println(device + ", " + device.buildInfo());
        return 0;
      }
      return measure(device, scale, rows, options, out);
    } catch (IllegalArgumentException e) {
      err.println(e.getMessage());
      err.print(USAGE);
      return 2;
    } catch (Exception e) {
      err.println("the GPU benchmark failed: " + e);
      return 1;
    }
  }

  private static Map<String, String> options(List<String> arguments) {
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i < arguments.size(); i++) {
      String option = arguments.get(i);
      if (option.equals("--probe")) {
        options.put(option, "");
      } else if (!List.of("--device", "--scale", "--rows", "--torch", "--cublas", "--out")
          .contains(option)) {
        throw new IllegalArgumentException("there is no option '" + option + "'");
      } else if (++i == arguments.size()) {
        throw new IllegalArgumentException(option + " needs a value");
      } else {
        options.put(option, arguments.get(i));
      }
    }
    return options;
  }

  private static List<GpuRow> rows(String names) {
    if (names.isEmpty()) {
      return GpuRow.ALL;
    }
    List<GpuRow> rows = new ArrayList<>();
    for (String name : names.split(",", -1)) {
      rows.add(
          GpuRow.ALL.stream()
              .filter(row -> row.name().equals(name))
              .findFirst()
              .orElseThrow(
                  () ->
                      new IllegalArgumentException(
                          "there is no row '%s'; the known ones are %s"
                              .formatted(
                                  name,
                                  String.join(
                                      ", ", GpuRow.ALL.stream().map(GpuRow::name).toList())))));
    }
    return rows;
  }

  private static int measure(
      Device device,
      GpuScale scale,
      List<GpuRow> rows,
      Map<String, String> options,
      PrintStream out)
      throws Exception {
    String torch = options.getOrDefault("--torch", "");
    TorchTimes times =
        torch.isEmpty() ? TorchTimes.none("it was not measured") : TorchTimes.read(Path.of(torch));
    List<GpuMeasure.Result> results = new ArrayList<>();
    Map<String, String> about = new LinkedHashMap<>();
    about.put("device", device.toString());
    about.put("library", device.buildInfo());
    about.put("scale", scale.text());
    double copy;
    try (GpuMeasure measure =
        new GpuMeasure(device, scale, times, options.getOrDefault("--cublas", ""))) {
      copy = measure.copyGbPerSecond();
      about.put("copy", measure.copyForm());
      for (GpuRow row : rows) {
        out.println(row.name());
        GpuMeasure.Result result = measure.measure(row);
        results.add(result);
        if (!result.failure().isEmpty()) {
          out.println("  FAILED: " + result.failure());
        }
        for (Goal.Outcome goal : result.goals()) {
          out.printf("  %s: %s, %s%n", goal.text(), goal.value(), goal.verdict());
        }
      }
    }
    String page = GpuReport.markdown(about, copy, results);
    out.println();
    out.print(page);
    if (options.containsKey("--out")) {
      write(Path.of(options.get("--out")), page, GpuReport.json(about, copy, results));
    }
    return results.stream().allMatch(result -> result.failure().isEmpty()) ? 0 : 1;
  }

  private static void write(Path folder, String page, String json) throws IOException {
    Files.createDirectories(folder);
    Files.writeString(folder.resolve("results.md"), page);
    Files.writeString(folder.resolve("results.json"), json);
  }
}
