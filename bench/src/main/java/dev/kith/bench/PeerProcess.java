package dev.kith.bench;

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** The near end of a peer in a process of its own; see {@link PeerMain}. */
final class PeerProcess implements AutoCloseable {
  private final String name;
  private final Process process;
  private final BufferedReader in;
  private final BufferedWriter out;
  private final Path errors;
  private final Path weights;
  private String form;

  private PeerProcess(String name, ProcessBuilder builder) throws IOException {
    this.name = name;
    errors = Files.createTempFile("kith-peer-" + name, ".log");
    weights = Files.createTempFile("kith-peer-" + name, ".weights");
    process = builder.redirectError(errors.toFile()).start();
    in = process.inputReader(StandardCharsets.UTF_8);
    out = process.outputWriter(StandardCharsets.UTF_8);
    form = answer().substring("ready ".length());
  }

  /** A peer of {@link Implementations} in a JVM. */
  static PeerProcess java(String name, boolean memoryReused) throws IOException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "--add-modules=jdk.incubator.vector",
                // JavaCPP limits native memory to the heap's; the largest row needs four arrays of
                // 256 MB.
                "-Dorg.bytedeco.javacpp.maxbytes=0",
                "-Dorg.bytedeco.javacpp.maxphysicalbytes=0",
                "-cp",
                System.getProperty("java.class.path"),
                PeerMain.class.getName(),
                name));
    ProcessBuilder builder = new ProcessBuilder(command);
    if (memoryReused) {
      builder.environment().put("MALLOC_MMAP_MAX_", "0");
      builder.environment().put("MALLOC_TRIM_THRESHOLD_", Long.toString(1L << 40));
      builder.environment().put("MALLOC_TOP_PAD_", Long.toString(1L << 30));
    }
    return new PeerProcess(memoryReused ? name + "-reused" : name, builder);
  }

  /** PyTorch of a Python on this machine; empty where there is none. */
  static Optional<PeerProcess> torch() throws IOException {
    Path script = Path.of(System.getProperty("kith.home", "."), "bench", "peers", "torch_peers.py");
    for (String python : List.of("python3", "/usr/bin/python3")) {
      if (Files.exists(script) && succeeds(python, "-c", "import torch, numpy")) {
        return Optional.of(new PeerProcess("torch", new ProcessBuilder(python, script.toString())));
      }
    }
    return Optional.empty();
  }

  private static boolean succeeds(String... command) {
    try {
      Process process =
          new ProcessBuilder(command)
              .redirectErrorStream(true)
              .redirectOutput(new File("/dev/null"))
              .start();
      return process.waitFor(1, TimeUnit.MINUTES) && process.exitValue() == 0;
    } catch (IOException e) {
      return false;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  /** What answers, with the forms it uses for the last workload that was prepared. */
  String form() {
    return form;
  }

  /**
   * Lays out a workload, runs it once and compares the result.
   *
   * @return false if the peer cannot compute it
   */
  boolean prepare(Workload workload, Reference reference, int threads) throws IOException {
    Weights.of(workload).write(weights);
    String ready =
        ask(
            "prepare %s %d %d %s %d"
                .formatted(
                    workload.operation().text(),
                    workload.rows(),
                    workload.cols(),
                    weights,
                    threads));
    if (!ready.startsWith("ready ")) {
      return false;
    }
    form = ready.substring("ready ".length());
    run();
    double error = 0;
    for (long index : Reference.samples(workload)) {
      double found = Double.parseDouble(ask("result " + index));
      error = Math.max(error, reference.checkPeer(form, index, found));
    }
    if (error > 1e-4) {
      form += ", off by %.1e".formatted(error);
    }
    return true;
  }

  /** One run; nanoseconds, taken by the peer itself. */
  long run() throws IOException {
    return Long.parseLong(ask("run"));
  }

  private String ask(String request) throws IOException {
    out.write(request);
    out.newLine();
    out.flush();
    return answer();
  }

  private String answer() throws IOException {
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      if (line.startsWith(PeerMain.MARK)) {
        return line.substring(PeerMain.MARK.length());
      }
    }
    throw new IOException("the peer " + name + " ended: " + Files.readString(errors).strip());
  }

  @Override
  public void close() throws IOException {
    process.destroy();
    Files.deleteIfExists(errors);
    Files.deleteIfExists(weights);
  }
}
