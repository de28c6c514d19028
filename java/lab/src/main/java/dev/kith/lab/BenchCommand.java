package dev.kith.lab;

import dev.kith.lab.experiment.EnvironmentException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Unmatched;

/**
 * {@code bench}, so that the help names it: the launcher runs it from the module {@code bench},
 * which this one does not know.
 */
@Command(
    name = "bench",
    description = "Measures the kernels beside memcpy and other libraries: ./kith bench --help.")
final class BenchCommand implements Callable<Integer> {
  @Mixin
  @SuppressWarnings("UnusedVariable") // picocli fills it
  private CommonOptions common;

  @Unmatched
  @SuppressWarnings("UnusedVariable") // picocli fills it
  private List<String> arguments = new ArrayList<>();

  @Override
  public Integer call() {
    throw new EnvironmentException(
        "the benchmarks are not in this jar: run ./kith bench in a source tree of Kith", null);
  }
}
