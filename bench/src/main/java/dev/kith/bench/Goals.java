package dev.kith.bench;

import dev.kith.device.Device;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** Measures the rows of the goal table: kernel, twin and memcpy in alternation, then each peer. */
final class Goals {
  private static final int PAIRS = 21;
  private static final int PEER_PAIRS = 7;
  private static final int TRAINING_RUNS = 3;
  private static final int SOLVER_RUNS = 3;

  private final boolean smoke;
  private final Consumer<String> progress;

  /**
   * Goal rows.
   *
   * @param smoke a few pairs, no peers and one run of training: shows that the rows work, says
   *     little about speed
   * @param progress told the row that is next, and what came out
   */
  Goals(boolean smoke, Consumer<String> progress) {
    this.smoke = smoke;
    this.progress = progress;
  }

  List<Measured> run(List<GoalRow> rows) throws Exception {
    List<Measured> results = new ArrayList<>();
    for (GoalRow row : rows) {
      progress.accept("%d of %d, %s".formatted(results.size() + 1, rows.size(), row.name()));
      Measured result;
      if (row.workload().isPresent()) {
        result = kernel(row, row.workload().get());
      } else {
        result = row.family().equals("privacy") ? solver(row) : training(row);
      }
      results.add(result);
      for (Goal.Outcome outcome : result.goals()) {
        progress.accept(
            "  %s: %s, %s".formatted(outcome.text(), outcome.value(), outcome.verdict()));
      }
    }
    return results;
  }

  private Measured kernel(GoalRow row, Workload workload) throws Exception {
    Map<String, Double> measures = new LinkedHashMap<>();
    List<String> notes = new ArrayList<>();
    int pairs = smoke ? 3 : PAIRS;
    try (KithKernels.KithTask task = new KithKernels.KithTask(workload)) {
      task.run();
      new Reference(workload).check("kith", task);
      if (workload.operation() == Operation.CALL) {
        return call(row, workload, task, measures, notes);
      }
      Paired.Timed kernel = Paired.timed(task::run);
      Paired beside;
      try (TwinLoop.TwinTask twin = new TwinLoop.TwinTask(task, false)) {
        beside = Paired.alternate(kernel, Paired.timed(twin::run), pairs);
        notes.add(
            "twin %s: quartiles of %d ratios %.3f to %.3f, %.1f GB/s"
                .formatted(
                    twin.stores(),
                    pairs,
                    beside.low(),
                    beside.high(),
                    workload.bytes() / beside.otherNanos()));
      }
      measures.put("twin", beside.ratio());
      measures.put("ns", beside.nanos());
      measures.put("ms", beside.nanos() * 1e-6);
      double memcpyShare = memcpyShare(workload, kernel, pairs, notes);
      if (workload.operation() == Operation.ATC_RING) {
        measures.put("apart", apart(workload, kernel, pairs));
      }
      if (workload.operation() == Operation.NEWTON_SCHULZ) {
        measures.put("whole", NewtonSchulzPlans.whole(workload, kernel, pairs));
      }
      if (workload.operation() == Operation.TOPK_EF) {
        measures.put("overAlone", overAlone(workload, kernel, pairs));
      }
      if (workload.operation() == Operation.QSGD4) {
        notes.add("Philox %.2f ns an element".formatted(Coding.philoxNanos()));
      }
      if (workload.operation() == Operation.ROUND_INT8_RING) {
        round(workload, kernel, pairs, measures, notes);
      }
      if (row.family().equals("noise")) {
        measures.put("nsPerElement", beside.nanos() / workload.elements());
        Drawing.measure(workload, kernel, pairs, measures, notes);
      }
      if (row.name().equals("mix-regular4-1000000x64-f32")) {
        LargeGraph.Cost cost = LargeGraph.measure(workload);
        measures.put("buildSeconds", cost.buildSeconds());
        measures.put("memoryOverState", cost.memoryOverState());
      }
      Peers.Comparison peers = new Peers.Comparison(Map.of(), Map.of());
      if (!smoke) {
        peers = new Peers(PEER_PAIRS, Device.cpu().threads()).compare(workload, kernel);
        measures.putAll(peers.ratios());
        peers.forms().forEach((peer, form) -> notes.add(peer + ": " + form));
      }
      return result(
          row,
          workload,
          beside.nanos(),
          beside.ratio(),
          memcpyShare,
          peers.ratios(),
          measures,
          notes);
    }
  }

  /** Rate of the kernel over the rate of memcpy. */
  private static double memcpyShare(
      Workload workload, Paired.Timed kernel, int pairs, List<String> notes) throws Exception {
    try (Implementation.Task copy = new Memcpy().prepare(workload)) {
      Paired beside = Paired.alternate(kernel, Paired.timed(copy::run), pairs);
      double copied = (double) workload.elements() * Memcpy.BYTES_PER_ELEMENT;
      notes.add("memcpy %.1f GB/s".formatted(copied / beside.otherNanos()));
      return beside.ratio() * workload.bytes() / copied;
    }
  }

  /** The time of the step and the mix called one after the other, over that of the fused form. */
  private static double apart(Workload workload, Paired.Timed fused, int pairs) throws Exception {
    try (KithKernels.Apart apart = new KithKernels.Apart(workload)) {
      return Paired.alternate(fused, Paired.timed(apart::run), pairs).ratio();
    }
  }

  /** The time with error feedback over that without. */
  private static double overAlone(Workload workload, Paired.Timed kernel, int pairs)
      throws Exception {
    Workload plain = new Workload(Operation.TOPK, workload.rows(), workload.cols());
    try (KithKernels.KithTask alone = new KithKernels.KithTask(plain)) {
      alone.run();
      return 1 / Paired.alternate(kernel, Paired.timed(alone::run), pairs).ratio();
    }
  }

  /** The compressed round beside the mix of the rows as they are, and the bytes of both. */
  private static void round(
      Workload workload,
      Paired.Timed kernel,
      int pairs,
      Map<String, Double> measures,
      List<String> notes)
      throws Exception {
    Workload plain = new Workload(Operation.MIX_RING, workload.rows(), workload.cols());
    try (KithKernels.KithTask mix = new KithKernels.KithTask(plain);
        Coding.Received received = new Coding.Received(workload)) {
      mix.run();
      Paired.Timed uncompressed = Paired.timed(mix::run);
      measures.put("mix", Paired.alternate(kernel, uncompressed, pairs).ratio());
      Paired.Timed sum = Paired.timed(received::run);
      measures.put("received", Paired.alternate(sum, uncompressed, pairs).ratio());
    }
    long elements = workload.elements();
    notes.add(
        "moves %.0f MB and the uncompressed round %.0f MB; its second half, the sum of the messages, %.0f MB"
            .formatted(
                workload.bytes() * 1e-6,
                plain.bytes() * 1e-6,
                Coding.receivedBytes(workload) * 1e-6));
    notes.add(
        "a row is sent as %.2f MB instead of %.2f MB"
            .formatted(
                4e-6 * Coding.of(workload.operation()).words(workload.cols()),
                4e-6 * elements / workload.rows()));
  }

  /** The cost of a call that has next to nothing to do. */
  private Measured call(
      GoalRow row,
      Workload workload,
      KithKernels.KithTask task,
      Map<String, Double> measures,
      List<String> notes) {
    int calls = smoke ? 10_000 : 200_000;
    double[] nanos = new double[PAIRS];
    for (int i = -5; i < PAIRS; i++) {
      long begin = System.nanoTime();
      for (int k = 0; k < calls; k++) {
        task.enqueue();
      }
      task.queue().sync();
      if (i >= 0) {
        nanos[i] = (double) (System.nanoTime() - begin) / calls;
      }
    }
    double median = Paired.quantile(nanos, 0.5);
    measures.put("ns", median);
    notes.add(
        "%d calls, then one wait; quartiles of %d such runs %.0f to %.0f ns"
            .formatted(calls, PAIRS, Paired.quantile(nanos, 0.25), Paired.quantile(nanos, 0.75)));
    return result(row, workload, median, null, null, Map.of(), measures, notes);
  }

  /** The median time; the first run, which the compiler takes part in, counts like the others. */
  private Measured solver(GoalRow row) {
    int runs = smoke ? 1 : SOLVER_RUNS;
    double[] seconds = new double[runs];
    double processor = Double.POSITIVE_INFINITY;
    double residual = 0;
    int iterations = 0;
    for (int i = 0; i < runs; i++) {
      CovarianceSolver.Cost cost = CovarianceSolver.measure();
      seconds[i] = cost.seconds();
      processor = Math.min(processor, cost.processorSeconds());
      residual = Math.max(residual, cost.residual());
      iterations = cost.iterations();
    }
    double median = Paired.quantile(seconds, 0.5);
    Map<String, Double> measures = new LinkedHashMap<>();
    measures.put("seconds", median);
    measures.put("residual", residual);
    List<String> notes =
        List.of(
            "median of %d runs, %d eigen-decompositions each; least processor time %.2f s"
                .formatted(runs, iterations, processor));
    String size = CovarianceSolver.NODES + " nodes";
    return measured(row, size, median * 1e9, 0, null, null, Map.of(), measures, notes);
  }

  private Measured training(GoalRow row) throws Exception {
    List<String> command = Training.command(row.name());
    List<String> notes = new ArrayList<>(List.of("./kith " + String.join(" ", command)));
    int runs = smoke ? 1 : TRAINING_RUNS;
    double[] seconds = new double[runs];
    Training.Outcome outcome = null;
    Training.build();
    for (int i = 0; i < runs; i++) {
      outcome = Training.run(command);
      seconds[i] = outcome.seconds();
    }
    if (!smoke) {
      Training.Outcome central = Training.run(Training.central(command));
      notes.add("a central run reaches %.4f".formatted(central.meanModelAccuracy()));
    }
    double median = Paired.quantile(seconds, 0.5);
    Map<String, Double> measures = new LinkedHashMap<>();
    measures.put("seconds", median);
    measures.put("testAccuracy", outcome.testAccuracy());
    measures.put("meanModelAccuracy", outcome.meanModelAccuracy());
    notes.add("median of %d runs".formatted(runs));
    return measured(row, "16 nodes", median * 1e9, 0, null, null, Map.of(), measures, notes);
  }

  private static Measured result(
      GoalRow row,
      Workload workload,
      double nanos,
      Double twinShare,
      Double memcpyShare,
      Map<String, Double> peers,
      Map<String, Double> measures,
      List<String> notes) {
    return measured(
        row,
        workload.size(),
        nanos,
        workload.bytes() / nanos,
        twinShare,
        memcpyShare,
        peers,
        measures,
        notes);
  }

  private static Measured measured(
      GoalRow row,
      String size,
      double nanos,
      double gbPerSecond,
      Double twinShare,
      Double memcpyShare,
      Map<String, Double> peers,
      Map<String, Double> measures,
      List<String> notes) {
    List<Goal.Outcome> outcomes = row.goals().stream().map(goal -> goal.judge(measures)).toList();
    Goal.Outcome first = outcomes.getFirst();
    return new Measured(
        Device.cpu().name(),
        row.family(),
        row.name(),
        size,
        nanos,
        gbPerSecond,
        twinShare,
        memcpyShare,
        peers,
        first.goal(),
        first.value(),
        verdict(outcomes),
        outcomes,
        notes);
  }

  /** Missed when one goal is missed, reached when all are, else not measured. */
  private static String verdict(List<Goal.Outcome> outcomes) {
    if (outcomes.stream().anyMatch(outcome -> outcome.verdict().equals(Goal.MISSED))) {
      return Goal.MISSED;
    }
    return outcomes.stream().allMatch(outcome -> outcome.verdict().equals(Goal.REACHED))
        ? Goal.REACHED
        : Goal.NOT_MEASURED;
  }
}
