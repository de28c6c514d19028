package dev.kith.lab.experiment;

import dev.kith.kernel.StepRule;
import dev.kith.lab.report.GraphPicture;
import dev.kith.lab.report.Heatmap;
import dev.kith.lab.report.Plot;
import dev.kith.lab.report.Plot.Unit;
import dev.kith.lab.report.Report;
import dev.kith.lab.report.Report.Table;
import dev.kith.lab.report.Report.Tile;
import dev.kith.lab.report.Series;
import dev.kith.lab.report.Sizes;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.ToDoubleFunction;

/** Turns the outcome of one run, or of several, into a {@link Report}. */
public final class RunReport {
  private RunReport() {}

  /** One run. */
  public static Report of(Outcome outcome) {
    Settings settings = outcome.settings();
    Measurement last = outcome.last();
    List<Tile> tiles = new ArrayList<>();
    tiles.add(
        new Tile(
            percent(last.testAccuracy()),
            "test accuracy, mean of %,d local models".formatted(last.aliveNodes())));
    tiles.add(new Tile(percent(last.meanModelAccuracy()), "test accuracy of the mean model"));
    tiles.add(new Tile(Sizes.bytes((double) last.bytes()), "sent by all nodes"));
    tiles.add(
        new Tile(
            String.format(Locale.ROOT, "%.1f s", outcome.seconds()),
            "for %,d rounds".formatted(last.round())));
    OptionalDouble gap = NetworkPictures.gap(outcome.schedule());
    if (gap.isPresent()) {
      tiles.add(new Tile(String.format(Locale.ROOT, "%.4f", gap.getAsDouble()), "spectral gap"));
    }
    outcome
        .privacy()
        .ifPresent(
            p ->
                tiles.add(
                    new Tile(
                        String.format(Locale.ROOT, "%.3g", p.guarantee().epsilon()),
                        "epsilon of a node, noise " + p.origin())));
    List<Table> tables = new ArrayList<>(List.of(results(outcome)));
    outcome.privacy().map(RunReport::privacy).ifPresent(tables::add);
    tables.add(machine(outcome));
    tables.add(flags(List.of(outcome)));
    String subtitle =
        "%s on %s: %,d samples to train, dealt %s, and %,d to test; %,d parameters at every node.%s"
            .formatted(
                capital(settings.model().describe()),
                outcome.data().source(),
                outcome.data().train().samples(),
                settings.partition().name(),
                outcome.data().test().samples(),
                outcome.parameters(),
                outcome.interrupted()
                    ? " Stopped after %,d of %,d rounds; --resume goes on."
                        .formatted(last.round(), settings.rounds())
                    : "");
    return new Report(
        title(outcome),
        subtitle,
        tiles,
        plots(Map.of("", outcome)),
        NetworkPictures.of(settings, outcome.schedule(), last.round()),
        Optional.of(outcome.heatmap()),
        tables);
  }

  /** Several runs with common curves. */
  public static Report of(List<Outcome> outcomes) {
    Map<String, Outcome> named = new LinkedHashMap<>();
    outcomes.forEach(outcome -> named.put(difference(outcome, outcomes), outcome));
    Outcome best =
        outcomes.stream()
            .max(Comparator.comparingDouble(o -> o.last().testAccuracy()))
            .orElseThrow();
    List<Tile> tiles =
        List.of(
            new Tile(Integer.toString(outcomes.size()), "runs"),
            new Tile(
                percent(best.last().testAccuracy()),
                "best test accuracy of local models: " + difference(best, outcomes)));
    Set<String> topologies = new LinkedHashSet<>();
    List<GraphPicture> graphs = new ArrayList<>();
    for (Outcome outcome : outcomes) {
      Settings settings = outcome.settings();
      String key =
          String.join(
              " ",
              settings.topologyName(),
              settings.text("--weights"),
              settings.text("--nodes"),
              settings.text("--seed"),
              settings.text("--drop-nodes"),
              settings.text("--drop-links"));
      if (topologies.add(key)) {
        graphs.addAll(NetworkPictures.of(settings, outcome.schedule(), outcome.last().round()));
      }
    }
    Optional<Heatmap> heatmap =
        oneValue(outcomes, "--partition", "--nodes", "--data", "--data-seed")
            ? Optional.of(outcomes.getFirst().heatmap())
            : Optional.empty();
    return new Report(
        "Comparison of %d runs".formatted(outcomes.size()),
        "%s on %s."
            .formatted(
                capital(outcomes.getFirst().settings().model().describe()),
                outcomes.getFirst().data().source()),
        tiles,
        withUtility(plots(named), outcomes),
        graphs,
        heatmap,
        List.of(comparison(named), machine(outcomes.getFirst()), flags(outcomes)));
  }

  /** The flags in which a run differs from the others, as a short name of the run. */
  public static String difference(Outcome outcome, List<Outcome> all) {
    List<String> own = new ArrayList<>();
    outcome
        .settings()
        .resolved()
        .forEach(
            (flag, value) -> {
              if (!oneValue(all, flag)) {
                own.add(
                    flag.equals("--algorithm") || flag.equals("--topology")
                        ? value
                        : flag.substring(2) + " " + value);
              }
            });
    return own.isEmpty() ? outcome.settings().algorithmName() : String.join(", ", own);
  }

  private static boolean oneValue(List<Outcome> outcomes, String... flags) {
    Set<List<String>> values = new LinkedHashSet<>();
    for (Outcome outcome : outcomes) {
      List<String> own = new ArrayList<>();
      for (String flag : flags) {
        own.add(outcome.settings().resolved().getOrDefault(flag, ""));
      }
      values.add(own);
    }
    return values.size() == 1;
  }

  private static String title(Outcome outcome) {
    return "%s on %s, %,d nodes"
        .formatted(
            outcome.settings().algorithmName(),
            outcome.settings().topologyName(),
            outcome.settings().nodes());
  }

  /** With one run, the local models and the mean model; with several, one line a run. */
  private static List<Plot> plots(Map<String, Outcome> runs) {
    List<Plot> plots = new ArrayList<>();
    for (boolean bytes : new boolean[] {false, true}) {
      String suffix = bytes ? "bytes" : "rounds";
      String against = bytes ? " against bytes sent" : " against rounds";
      String xLabel = bytes ? "bytes sent by all nodes" : "rounds";
      Unit xUnit = bytes ? Unit.BYTES : Unit.NUMBER;
      ToDoubleFunction<Measurement> x = bytes ? Measurement::bytes : Measurement::round;
      plots.add(
          new Plot(
              "accuracy-" + suffix,
              "Test accuracy" + against,
              xLabel,
              "test accuracy",
              xUnit,
              Unit.PERCENT,
              lines(runs, x, Measurement::testAccuracy, Measurement::meanModelAccuracy)));
      plots.add(
          new Plot(
              "loss-" + suffix,
              "Training loss" + against,
              xLabel,
              "training loss",
              xUnit,
              Unit.LOGARITHMIC,
              lines(runs, x, Measurement::trainLoss, Measurement::meanModelTrainLoss)));
    }
    plots.add(
        new Plot(
            "consensus",
            "Distance from consensus",
            "rounds",
            "mean squared distance to the mean",
            Unit.NUMBER,
            Unit.LOGARITHMIC,
            runs.entrySet().stream()
                .map(
                    run ->
                        series(
                            run.getKey().isEmpty() ? "distance" : run.getKey(),
                            run.getValue(),
                            Measurement::round,
                            Measurement::consensusDistance,
                            false))
                .toList()));
    sharpness(runs).ifPresent(plots::add);
    return plots;
  }

  /** Sharpness over time, and for one run of plain SGD the 2 / step size that it is held to. */
  private static Optional<Plot> sharpness(Map<String, Outcome> runs) {
    List<Series> lines = new ArrayList<>();
    runs.forEach(
        (name, outcome) -> {
          List<Measurement> rows =
              outcome.rows().stream().filter(row -> !Double.isNaN(row.sharpness())).toList();
          if (rows.isEmpty()) {
            return;
          }
          double[] rounds = rows.stream().mapToDouble(Measurement::round).toArray();
          double[] values = rows.stream().mapToDouble(Measurement::sharpness).toArray();
          lines.add(new Series(name.isEmpty() ? "sharpness" : name, rounds, values, false));
          StepRule rule = outcome.settings().rule();
          if (runs.size() == 1 && rule instanceof StepRule.Sgd && rule.stepSize() > 0) {
            double[] edge = new double[rounds.length];
            Arrays.fill(edge, 2 / rule.stepSize());
            lines.add(new Series("2 / step size", rounds, edge, true));
          }
        });
    return lines.isEmpty()
        ? Optional.empty()
        : Optional.of(
            new Plot(
                "sharpness",
                "Sharpness of the mean training loss at the mean model",
                "rounds",
                "largest eigenvalue of the Hessian",
                Unit.NUMBER,
                Unit.NUMBER,
                lines));
  }

  /** Accuracy against epsilon, a line for each way to correlate the noise, where there is noise. */
  private static List<Plot> withUtility(List<Plot> plots, List<Outcome> outcomes) {
    Map<String, List<Outcome>> byKind = new LinkedHashMap<>();
    for (Outcome outcome : outcomes) {
      outcome
          .privacy()
          .ifPresent(
              p ->
                  byKind
                      .computeIfAbsent(p.kind().shortName(), k -> new ArrayList<>())
                      .add(outcome));
    }
    if (byKind.isEmpty()) {
      return plots;
    }
    List<Series> lines = new ArrayList<>();
    byKind.forEach(
        (kind, runs) -> {
          runs.sort(Comparator.comparingDouble(RunReport::epsilon));
          lines.add(
              new Series(
                  kind,
                  runs.stream().mapToDouble(RunReport::epsilon).toArray(),
                  runs.stream().mapToDouble(o -> o.last().testAccuracy()).toArray(),
                  false));
        });
    List<Plot> all = new ArrayList<>(plots);
    all.add(
        new Plot(
            "utility-epsilon",
            "Test accuracy against epsilon of the whole run",
            "epsilon",
            "test accuracy",
            Unit.NUMBER,
            Unit.PERCENT,
            lines));
    return all;
  }

  private static double epsilon(Outcome outcome) {
    return outcome.privacy().orElseThrow().guarantee().epsilon();
  }

  private static Table privacy(Privacy privacy) {
    List<List<String>> rows = new ArrayList<>();
    privacy.summary().forEach((key, value) -> rows.add(List.of(key, value.toString())));
    return new Table("Privacy", List.of(), rows);
  }

  private static List<Series> lines(
      Map<String, Outcome> runs,
      ToDoubleFunction<Measurement> x,
      ToDoubleFunction<Measurement> local,
      ToDoubleFunction<Measurement> mean) {
    List<Series> lines = new ArrayList<>();
    runs.forEach(
        (name, outcome) -> {
          if (runs.size() == 1 && name.isEmpty()) {
            lines.add(series("local models, mean", outcome, x, local, false));
            lines.add(series("mean model", outcome, x, mean, true));
          } else {
            lines.add(series(name, outcome, x, local, false));
          }
        });
    return lines;
  }

  private static Series series(
      String name,
      Outcome outcome,
      ToDoubleFunction<Measurement> x,
      ToDoubleFunction<Measurement> y,
      boolean dashed) {
    List<Measurement> rows = new ArrayList<>(outcome.rows());
    if (rows.getLast().round() != outcome.last().round()) {
      rows.add(outcome.last());
    }
    return new Series(
        name,
        rows.stream().mapToDouble(x).toArray(),
        rows.stream().mapToDouble(y).toArray(),
        dashed);
  }

  private static Table results(Outcome outcome) {
    Measurement last = outcome.last();
    List<List<String>> rows = new ArrayList<>();
    rows.add(
        List.of(
            "local models",
            percent(last.testAccuracy()),
            percent(last.worstAccuracy()),
            number(last.testLoss()),
            number(last.trainLoss())));
    rows.add(
        List.of(
            "mean model",
            percent(last.meanModelAccuracy()),
            "-",
            number(last.meanModelTestLoss()),
            number(last.meanModelTrainLoss())));
    return new Table(
        "Results after %,d rounds".formatted(last.round()),
        List.of("model", "test accuracy", "of the worst node", "test loss", "training loss"),
        rows);
  }

  private static Table comparison(Map<String, Outcome> runs) {
    List<List<String>> rows = new ArrayList<>();
    runs.forEach((name, outcome) -> rows.add(line(name, outcome)));
    return new Table("Results", columns(), rows);
  }

  /** The columns of the table that {@code compare} prints. */
  public static List<String> columns() {
    return List.of(
        "run",
        "local models",
        "mean model",
        "worst node",
        "training loss",
        "sent",
        "consensus",
        "seconds");
  }

  /** A line of the table that {@code compare} prints. */
  public static List<String> line(String name, Outcome outcome) {
    Measurement last = outcome.last();
    return List.of(
        name,
        percent(last.testAccuracy()),
        percent(last.meanModelAccuracy()),
        percent(last.worstAccuracy()),
        number(last.trainLoss()),
        Sizes.bytes((double) last.bytes()),
        String.format(Locale.ROOT, "%.2e", last.consensusDistance()),
        String.format(Locale.ROOT, "%.1f", outcome.seconds()));
  }

  private static Table flags(List<Outcome> outcomes) {
    Map<String, Set<String>> values = new LinkedHashMap<>();
    for (Outcome outcome : outcomes) {
      outcome
          .settings()
          .resolved()
          .forEach(
              (flag, value) -> values.computeIfAbsent(flag, f -> new LinkedHashSet<>()).add(value));
    }
    List<List<String>> rows = new ArrayList<>();
    values.forEach((flag, all) -> rows.add(List.of(flag, String.join(", ", all))));
    return new Table("Flags", List.of(), rows);
  }

  private static Table machine(Outcome outcome) {
    Outcome.Machine machine = outcome.machine();
    List<List<String>> rows = new ArrayList<>();
    rows.add(
        List.of(
            "device",
            "%s, tier %s, %d threads"
                .formatted(machine.device(), machine.tier(), machine.threads())));
    rows.add(
        List.of(
            "products",
            machine.blas().isEmpty()
                ? "the plain kernel of Kith; no BLAS was found"
                : machine.blas()));
    rows.add(
        List.of(
            "same bits",
            "at any number of threads and any cut over processes; not promised on another CPU model, device or BLAS, because gradients pass through dense products"));
    rows.add(List.of("Java", Runtime.version().toString()));
    return new Table("Computed with", List.of(), rows);
  }

  private static String percent(double share) {
    return String.format(Locale.ROOT, "%.1f %%", 100 * share);
  }

  private static String number(double value) {
    return String.format(Locale.ROOT, "%.4f", value);
  }

  private static String capital(String text) {
    return Character.toUpperCase(text.charAt(0)) + text.substring(1);
  }
}
