package dev.kith.lab;

import dev.kith.device.Device;
import dev.kith.lab.claims.Claim;
import dev.kith.lab.claims.Reproduction;
import dev.kith.lab.claims.Rule;
import dev.kith.lab.claims.Setting;
import dev.kith.lab.claims.Verdict;
import dev.kith.lab.experiment.EnvironmentException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code ./kith reproduce}: measures the claims of the implemented papers again. */
@Command(
    name = "reproduce",
    description = "Measures the claims of the implemented papers again and prints PASS or FAIL.",
    sortOptions = false)
final class ReproduceCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;

  @Mixin
  @SuppressWarnings("UnusedVariable") // picocli fills it
  private CommonOptions common;

  @Parameters(
      paramLabel = "CLAIM",
      description = "Claims to measure; all of them when none is given.")
  private List<String> names = new ArrayList<>();

  @Option(names = "--all", description = "Measure every claim.")
  private boolean all;

  @Option(
      names = "--scale",
      defaultValue = "ci",
      description =
          "ci (seconds a claim) or full (the card's own condition). Default: ${DEFAULT-VALUE}.")
  private String scale = "ci";

  @Mixin private DeviceOption device;

  @Option(
      names = "--sabotage",
      description =
          "Run each claim a second time with its planted fault, under which it must fail.")
  private boolean sabotage;

  @Option(names = "--json", description = "Print one JSON document on standard output.")
  private boolean json;

  @Override
  public Integer call() {
    List<Claim> claims;
    try {
      claims = Reproduction.select(all ? List.of() : names);
    } catch (IllegalArgumentException unknown) {
      throw new ParameterException(spec.commandLine(), unknown.getMessage(), unknown);
    }
    Device opened = open();
    Setting.Scale size = parseScale();
    PrintWriter out = spec.commandLine().getOut();
    List<Verdict> verdicts = new ArrayList<>();
    long measurements = (long) claims.size() * Reproduction.measurements(sabotage);
    try (ProgressDisplay progress = ProgressDisplay.of("reproduce", measurements)) {
      Reproduction reproduction = new Reproduction(opened, size, sabotage, progress::next);
      for (Claim claim : claims) {
        Verdict verdict = reproduction.judge(claim);
        verdicts.add(verdict);
        if (!json) {
          progress.aside(() -> print(out, claim, verdict));
        }
      }
    }
    if (json) {
      out.print(Json.write(verdicts.stream().map(Verdict::toMap).toList()));
    } else {
      long passed = verdicts.stream().filter(v -> v.verdict().equals("PASS")).count();
      out.printf("%d of %d claims hold.%n", passed, verdicts.size());
    }
    out.flush();
    return verdicts.stream().allMatch(Verdict::good) ? 0 : 1;
  }

  private Device open() {
    try {
      Device opened = Device.named(device.name());
      Blas.enable(opened);
      return opened;
    } catch (IllegalArgumentException unknown) {
      throw new ParameterException(spec.commandLine(), unknown.getMessage(), unknown);
    } catch (UnsupportedOperationException missing) {
      throw new EnvironmentException(missing.getMessage(), missing);
    }
  }

  private Setting.Scale parseScale() {
    return switch (scale) {
      case "ci" -> Setting.Scale.CI;
      case "full" -> Setting.Scale.FULL;
      default ->
          throw new ParameterException(
              spec.commandLine(), "there is no scale '" + scale + "': give ci or full");
    };
  }

  private static void print(PrintWriter out, Claim claim, Verdict verdict) {
    out.printf(
        "%-4s  %s%s  (%.1f s)%n",
        verdict.verdict(),
        claim.name(),
        claim.provisional() ? "  [provisional]" : "",
        verdict.seconds());
    out.printf("      paper      %s%n", claim.paper());
    out.printf("      claim      %s%n", claim.published());
    out.printf("      condition  %s%n", verdict.condition());
    for (Rule rule : claim.rules()) {
      double value = verdict.measured().getOrDefault(rule.metric(), Double.NaN);
      out.printf(
          "      %-9s  %s = %s, must be %s %s%s%n",
          rule.holds(value) ? "holds" : "FAILS",
          rule.metric(),
          figure(value),
          rule.comparison(),
          figure(rule.threshold()),
          rule.provisional() ? " (provisional)" : "");
    }
    for (Map.Entry<String, Double> also : verdict.measured().entrySet()) {
      if (claim.rules().stream().noneMatch(rule -> rule.metric().equals(also.getKey()))) {
        out.printf("      measured   %s = %s%n", also.getKey(), figure(also.getValue()));
      }
    }
    if (verdict.sabotageFails() != null) {
      out.printf(
          "      sabotage   %s: %s%n",
          claim.sabotage(),
          verdict.sabotageFails()
              ? "caught by " + String.join(", ", verdict.caughtBy())
              : "NOT CAUGHT, no rule that holds without it fails under it");
    }
    out.println();
    out.flush();
  }

  private static String figure(double value) {
    return String.format(Locale.ROOT, "%.4g", value);
  }
}
