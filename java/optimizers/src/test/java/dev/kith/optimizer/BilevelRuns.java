package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.problem.BilevelProblem;
import dev.kith.problem.QuadraticBilevel;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** What every bilevel optimizer has to keep: bits over cuts and over resuming. */
final class BilevelRuns {
  private static final int NODES = 7;
  private static final int ROUNDS = 6;

  private BilevelRuns() {}

  /** Makes an optimizer. */
  interface Factory {
    Optimizer create(BilevelProblem problem, Network network, DeviceMatrix initial);
  }

  private interface Body {
    void run(Optimizer optimizer) throws IOException;
  }

  private static double[] rows(
      Factory factory, MixingSchedule schedule, DType dtype, int processes, Body body) {
    List<double[]> parts =
        Processes.run(
            NODES,
            processes,
            (transport, queue) -> {
              try (QuadraticBilevel problem =
                      QuadraticBilevel.random(NODES, 3, 4, 0.5, 3)
                          .noise(0.1, 11)
                          .nodes(transport.range().begin(), transport.range().end())
                          .build(queue, dtype);
                  Network network = Network.builder(schedule).transport(transport).build();
                  DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), dtype);
                  Optimizer optimizer = factory.create(problem, network, zero)) {
                body.run(optimizer);
                double[] z = optimizer.parameters().toDoubles();
                double[] all = Arrays.copyOf(z, z.length + 1);
                all[z.length] = network.meter().bytes();
                return all;
              }
            });
    double bytes = parts.getLast()[parts.getLast().length - 1];
    return java.util.stream.DoubleStream.concat(
            parts.stream().flatMapToDouble(part -> Arrays.stream(part, 0, part.length - 1)),
            java.util.stream.DoubleStream.of(bytes))
        .toArray();
  }

  /** One process and many give the same bits and count the same bytes. */
  static void cutsDoNotChangeABit(Factory factory, MixingSchedule schedule) {
    Body rounds =
        optimizer -> {
          for (int k = 0; k < ROUNDS; k++) {
            optimizer.step();
          }
        };
    for (DType dtype : List.of(DType.F32, DType.F64)) {
      double[] whole = rows(factory, schedule, dtype, 1, rounds);
      assertTrue(Arrays.stream(whole).allMatch(Double::isFinite), "it stays finite");
      assertTrue(Arrays.stream(whole).anyMatch(v -> v != 0), "it moves");
      for (int processes : new int[] {2, 3}) {
        assertArrayEquals(
            whole, rows(factory, schedule, dtype, processes, rounds), dtype + " over " + processes);
      }
    }
  }

  /** A run that was saved after three rounds goes on with the bits of one that was not. */
  static void resumingDoesNotChangeABit(Factory factory, MixingSchedule schedule, Path folder) {
    Path file = folder.resolve("snapshot");
    double[] whole =
        rows(
            factory,
            schedule,
            DType.F64,
            1,
            optimizer -> {
              for (int k = 0; k < ROUNDS; k++) {
                if (k == 3) {
                  Snapshot.write(file, optimizer);
                }
                optimizer.step();
              }
            });
    double[] resumed =
        rows(
            factory,
            schedule,
            DType.F64,
            1,
            optimizer -> {
              assertEquals("", Snapshot.read(file, optimizer).remark());
              assertEquals(3, optimizer.round());
              while (optimizer.round() < ROUNDS) {
                optimizer.step();
              }
            });
    assertArrayEquals(whole, resumed);
  }
}
