package dev.kith.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/**
 * A peer in a process of its own, so that its thread pool, its allocator and its JVM do not touch
 * the measurements of others. Speaks the protocol of {@code peers/torch_peers.py}: lines {@code
 * prepare}, {@code run}, {@code result} in, marked lines out.
 */
final class PeerMain {
  static final String MARK = "kith-peer ";

  private PeerMain() {}

  public static void main(String[] args) throws IOException {
    // Native libraries print to standard output as they like.
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    Implementation implementation = Implementations.named(args[0]);
    out.println(MARK + "ready " + implementation.description());
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    Implementation.Task task = null;
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] request = line.split(" ", -1);
      switch (request[0]) {
        case "prepare" -> {
          Workload workload =
              new Workload(
                  Operation.named(request[1]),
                  Integer.parseInt(request[2]),
                  Long.parseLong(request[3]));
          boolean able = implementation.supports(workload);
          task = able ? implementation.prepare(workload) : null;
          out.println(MARK + (able ? "ready " + implementation.description() : "unsupported"));
        }
        case "run" -> {
          long begin = System.nanoTime();
          task.run();
          out.println(MARK + (System.nanoTime() - begin));
        }
        case "result" -> out.println(MARK + task.result(Long.parseLong(request[1])));
        default -> throw new IllegalArgumentException("unknown request '" + line + "'");
      }
    }
  }
}
