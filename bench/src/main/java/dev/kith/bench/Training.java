package dev.kith.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.kith.lab.experiment.EnvironmentException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** A whole run of {@code ./kith train} as a user starts it: start of the JVM, training, report. */
final class Training {
  private static final List<String> DECENTRALIZED =
      List.of(
          "--nodes",
          "16",
          "--topology",
          "ring",
          "--data",
          "mnist",
          "--partition",
          "dirichlet:0.5",
          "--batch",
          "32");

  private Training() {}

  /**
   * What came out.
   *
   * @param seconds wall time of the process
   * @param testAccuracy mean over the local models
   * @param meanModelAccuracy accuracy of the mean model
   */
  record Outcome(double seconds, double testAccuracy, double meanModelAccuracy) {}

  /** The command of a row, without the launcher's path. */
  static List<String> command(String row) {
    List<String> command = new ArrayList<>(List.of("train", "--algorithm", "dsgd"));
    command.addAll(DECENTRALIZED);
    command.addAll(
        switch (row) {
          case "train-softmax-200" ->
              List.of("--model", "softmax", "--rounds", "200", "--step-size", "0.3");
          case "train-mlp-500" ->
              List.of("--model", "mlp:128", "--rounds", "500", "--step-size", "0.3");
          default -> throw new IllegalArgumentException("there is no training row '" + row + "'");
        });
    return command;
  }

  /** The same with one model on all data: what the decentralized run is to be compared with. */
  static List<String> central(List<String> command) {
    List<String> central = new ArrayList<>(command);
    central.set(central.indexOf("dsgd"), "central");
    return central;
  }

  /** Lets the launcher build what is not up to date, so that no run is timed with a build in it. */
  static void build() throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(launcher(), "doctor")
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    int status = process.waitFor();
    if (status != 0) {
      throw new EnvironmentException(
          "./kith doctor ended with %d, so that training cannot be timed; its message stands above"
              .formatted(status),
          null);
    }
  }

  private static String launcher() {
    return Path.of(System.getProperty("kith.home", "."), "kith").toString();
  }

  static Outcome run(List<String> arguments) throws IOException, InterruptedException {
    Path folder = Files.createTempDirectory("kith-bench-train");
    try {
      List<String> command = new ArrayList<>();
      command.add(launcher());
      command.addAll(arguments);
      command.addAll(List.of("--json", "--out", folder.resolve("out").toString()));
      Path log = folder.resolve("log");
      long begin = System.nanoTime();
      Process process = new ProcessBuilder(command).redirectError(log.toFile()).start();
      byte[] output = process.getInputStream().readAllBytes();
      int status = process.waitFor();
      double seconds = (System.nanoTime() - begin) * 1e-9;
      if (status != 0) {
        throw new EnvironmentException(
            "%s ended with %d: %s"
                .formatted(String.join(" ", command), status, Files.readString(log).strip()),
            null);
      }
      JsonNode result = new ObjectMapper().readTree(output);
      return new Outcome(
          seconds,
          result.path("testAccuracy").asDouble(),
          result.path("meanModelAccuracy").asDouble());
    } finally {
      try (Stream<Path> files = Files.walk(folder)) {
        for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(file);
        }
      }
    }
  }
}
