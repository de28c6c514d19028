package dev.kith.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import dev.kith.device.Device;
import dev.kith.lab.DeviceOption;
import dev.kith.lab.Kith;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The command {@code ./kith bench}. */
@Command(
    name = "kith bench",
    mixinStandardHelpOptions = true,
    version = "kith 0.1.0",
    sortOptions = false,
    description = {
      "Measures the kernels beside a loop with the same memory streams (the twin), memcpy and the peers;",
      "on another device than the CPU beside the twin alone.",
      "Without --goals: the JMH benchmarks of one family or of all.",
      "With --goals: exactly the rows of the goal table, with goal, value and verdict."
    },
    exitCodeListHeading = "Exit codes:%n",
    exitCodeList = {
      "0:fine",
      "1:a goal was missed, or a result was wrong",
      "2:the command line is wrong",
      "3:something is missing on this machine"
    })
public final class Bench implements Callable<Integer> {
  @Parameters(
      arity = "0..1",
      paramLabel = "FAMILY",
      description =
          "mixing, reduction, step, product, sparsify, quantize, lowrank, noise, curvature, factorization or memory; with --goals also train, or the name of a row")
  private String family;

  @Mixin private DeviceOption device;

  @Option(names = "--goals", description = "measure the goal table")
  private boolean goals;

  @Option(
      names = "--smoke",
      description = "short runs: shows that everything works, says little about speed")
  private boolean smoke;

  @Option(names = "--json", paramLabel = "FILE", description = "write the results to FILE as JSON")
  private Path json;

  @Option(
      names = "--page",
      paramLabel = "FOLDER",
      description = "with --goals: write README.md and pictures of the results to FOLDER")
  private Path page;

  private Bench() {}

  /**
   * Runs the command.
   *
   * @param args the command line after {@code bench}
   */
  public static void main(String[] args) {
    System.exit(run(args));
  }

  /** Runs the command; the exit code. */
  static int run(String... args) {
    return Kith.execute(new CommandLine(new Bench()), args);
  }

  @Override
  public Integer call() throws Exception {
    if (json != null && json.getParent() != null && !Files.isDirectory(json.getParent())) {
      throw usage("--json: the folder " + json.getParent() + " does not exist; make it first");
    }
    if (page != null && !goals) {
      throw usage("--page goes with --goals: the page shows the goal table");
    }
    Device chosen = open();
    System.setProperty(KithKernels.DEVICE_PROPERTY, chosen.name());
    String capabilities = capabilities(chosen);
    System.out.println(capabilities);
    List<Measured> results = goals ? goals() : jmh();
    System.out.println();
    Table.print(results, System.out);
    if (json != null) {
      write(results);
    }
    if (page != null) {
      new ResultsPage(capabilities, results).write(page);
    }
    return results.stream().anyMatch(result -> Goal.MISSED.equals(result.verdict())) ? 1 : 0;
  }

  private Device open() {
    Device chosen;
    try {
      chosen = Device.named(device.name());
    } catch (IllegalArgumentException e) {
      throw usage(e.getMessage());
    }
    if (goals && !chosen.backend().equals("cpu")) {
      throw usage(
          "--goals is about the CPU and the device is %s; ci/gpu has the goals of GPUs"
              .formatted(chosen.name()));
    }
    return chosen;
  }

  private List<Measured> goals() throws Exception {
    List<GoalRow> rows =
        GoalRow.ALL.stream()
            .filter(
                row -> family == null || row.family().equals(family) || row.name().equals(family))
            .toList();
    if (rows.isEmpty()) {
      throw usage(
          "there are no goals '%s'; the families are %s, the rows %s"
              .formatted(
                  family,
                  GoalRow.ALL.stream()
                      .map(GoalRow::family)
                      .distinct()
                      .collect(Collectors.joining(", ")),
                  GoalRow.ALL.stream().map(GoalRow::name).collect(Collectors.joining(", "))));
    }
    return new Goals(smoke, Bench::tell).run(rows);
  }

  private List<Measured> jmh() throws Exception {
    List<String> known =
        Arrays.stream(Operation.values()).map(Operation::family).distinct().toList();
    if (family != null && !known.contains(family)) {
      throw usage(
          "there is no family '%s'; the known ones are %s"
              .formatted(family, String.join(", ", known)));
    }
    return new JmhRun(smoke, Bench::tell).run(family == null ? known : List.of(family));
  }

  private static void tell(String next) {
    System.err.println("kith bench: " + next);
  }

  private CommandLine.ParameterException usage(String text) {
    return new CommandLine.ParameterException(new CommandLine(this), text);
  }

  /** One line that says on what the figures were taken. */
  private static String capabilities(Device device) {
    return "%s | %s | Java %s | %.1f GB of memory"
        .formatted(
            processor(),
            new KithKernels().description(),
            System.getProperty("java.version"),
            device.memory().totalBytes() * 1e-9);
  }

  private static String processor() {
    try (var lines = Files.lines(Path.of("/proc/cpuinfo"))) {
      Optional<String> model =
          lines
              .filter(line -> line.startsWith("model name"))
              .map(line -> line.replaceFirst(".*:\\s*", ""))
              .findFirst();
      return model.orElse(System.getProperty("os.arch"));
    } catch (IOException e) {
      return System.getProperty("os.arch");
    }
  }

  private void write(List<Measured> results) throws IOException {
    new ObjectMapper()
        .enable(SerializationFeature.INDENT_OUTPUT)
        .writeValue(json.toFile(), results);
  }
}
