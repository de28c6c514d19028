package dev.kith.bench;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;

/**
 * A whole small program on a large graph, in a fresh JVM: builds graph and weights, mixes once, and
 * prints the seconds of building and the largest resident memory of the process over the bytes of
 * the state.
 */
final class LargeGraph {
  private LargeGraph() {}

  /**
   * What it took.
   *
   * @param buildSeconds from the start of the generator to weights on the device
   * @param memoryOverState peak resident memory over the bytes of X
   */
  record Cost(double buildSeconds, double memoryOverState) {}

  public static void main(String[] args) throws IOException {
    Workload workload = Workload.parse(args[0]);
    try (Queue queue = Device.cpu().newQueue()) {
      long begin = System.nanoTime();
      Weights weights = Weights.of(workload);
      try (MixingWeights onDevice =
          MixingWeights.sparse(
              queue,
              workload.rows(),
              workload.rows(),
              weights.offsets(),
              weights.columns(),
              weights.values())) {
        double seconds = (System.nanoTime() - begin) * 1e-9;
        try (DeviceMatrix x =
                DeviceMatrix.allocate(queue, workload.rows(), workload.cols(), DType.F32);
            DeviceMatrix y = x.like()) {
          x.fill(1);
          Mixing.mix(onDevice, Expression.inner(x), y);
          queue.sync();
          double state = (double) workload.elements() * Float.BYTES;
          System.out.println(seconds + " " + peakResidentBytes() / state);
        }
      }
    }
  }

  private static double peakResidentBytes() throws IOException {
    try (Stream<String> lines = Files.lines(Path.of("/proc/self/status"))) {
      return lines
          .filter(line -> line.startsWith("VmHWM:"))
          .mapToDouble(line -> Double.parseDouble(line.replaceAll("\\D", "")) * 1024)
          .findFirst()
          .orElseThrow(() -> new IOException("/proc/self/status has no VmHWM"));
    }
  }

  /** Runs {@link #main} in a JVM of its own with the JVM's own settings. */
  static Cost measure(Workload workload) throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                LargeGraph.class.getName(),
                workload.name())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    String[] figures =
        new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8)
            .strip()
            .split(" ", -1);
    if (process.waitFor() != 0 || figures.length != 2) {
      throw new IOException("the run on a large graph failed; its message stands above");
    }
    return new Cost(Double.parseDouble(figures[0]), Double.parseDouble(figures[1]));
  }
}
