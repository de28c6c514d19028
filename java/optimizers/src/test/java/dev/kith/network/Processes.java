package dev.kith.network;

import dev.kith.compress.TestDevice;
import dev.kith.device.Queue;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Runs the same program in several processes of one JVM, a thread with a queue of its own for each.
 */
public final class Processes {
  private Processes() {}

  /** What one process does. */
  public interface Program<T> {
    T run(Transport transport, Queue queue) throws Exception;
  }

  /** The results by process. A process that fails leaves its group; the first failure is thrown. */
  public static <T> List<T> run(int nodes, int processes, Program<T> program) {
    List<Outcome<T>> outcomes = outcomes(nodes, processes, program);
    List<T> results = new ArrayList<>();
    RuntimeException failure = null;
    for (Outcome<T> outcome : outcomes) {
      if (outcome.failure() == null) {
        results.add(outcome.result());
      } else if (failure == null) {
        failure =
            new IllegalStateException("a process failed: " + outcome.failure(), outcome.failure());
      } else {
        failure.addSuppressed(outcome.failure());
      }
    }
    if (failure != null) {
      throw failure;
    }
    return results;
  }

  /** What became of one process: a result, or a failure. */
  public record Outcome<T>(T result, Throwable failure) {}

  /** What became of every process. */
  public static <T> List<Outcome<T>> outcomes(int nodes, int processes, Program<T> program) {
    try (ExecutorService threads = Executors.newFixedThreadPool(processes)) {
      List<Future<T>> futures = new ArrayList<>();
      for (Transport transport : LocalTransport.group(nodes, processes)) {
        futures.add(
            threads.submit(
                () -> {
                  try (transport;
                      Queue queue = TestDevice.chosen().newQueue()) {
                    return program.run(transport, queue);
                  }
                }));
      }
      List<Outcome<T>> outcomes = new ArrayList<>();
      for (Future<T> future : futures) {
        try {
          outcomes.add(new Outcome<>(future.get(), null));
        } catch (ExecutionException e) {
          outcomes.add(new Outcome<>(null, e.getCause()));
        } catch (InterruptedException e) {
          throw new IllegalStateException(e);
        }
      }
      return outcomes;
    }
  }
}
