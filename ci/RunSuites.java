import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClasspathRoots;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.TestExecutionResult.Status;
import org.junit.platform.engine.discovery.ClassNameFilter;
import org.junit.platform.engine.support.descriptor.ClassSource;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/**
 * The contract suites of a folder of test classes on the device that kith.test.device names. A test
 * that is skipped or aborted counts as one that failed.
 *
 * <p>usage: RunSuites FOLDER REPORT [PATTERN]: writes what failed to REPORT; PATTERN is a regular
 * expression for names of classes. Exits with 0 if every test passed, and there was one.
 */
public final class RunSuites {
  /** As the build runs them on the emulated device: OpenBLAS and node trees are the CPU's. */
  private static final String CONTRACTS = "dev\\.kith\\.kernel\\.(?!ProductBlas|NodeTree)\\w+Test";

  private RunSuites() {}

  /**
   * Runs the suites.
   *
   * @param arguments folder, report, pattern
   */
  public static void main(String[] arguments) throws IOException {
    String pattern = arguments.length > 2 ? arguments[2] : CONTRACTS;
    LauncherDiscoveryRequest request =
        LauncherDiscoveryRequestBuilder.request()
            .selectors(selectClasspathRoots(Set.of(Path.of(arguments[0]))))
            // The folder may be one that cannot be written to.
            .configurationParameter("jqwik.database", arguments[1] + ".jqwik")
            .filters(ClassNameFilter.includeClassNamePatterns(pattern))
            .build();
    Tally tally = new Tally();
    LauncherFactory.create().execute(request, tally);
    String sum = "%d tests passed, %d did not".formatted(tally.passed, tally.bad.size());
    tally.bad.add(sum);
    Files.write(Path.of(arguments[1]), tally.bad);
    System.out.println(sum);
    System.exit(tally.passed > 0 && tally.bad.size() == 1 ? 0 : 1);
  }

  private static final class Tally implements TestExecutionListener {
    private final List<String> bad = new ArrayList<>();
    private int passed;
    private long begin;

    @Override
    public void executionSkipped(TestIdentifier test, String reason) {
      note("SKIPPED", test, reason);
    }

    @Override
    public void executionStarted(TestIdentifier test) {
      if (isClass(test)) {
        begin = System.nanoTime();
      }
    }

    @Override
    public void executionFinished(TestIdentifier test, TestExecutionResult result) {
      if (result.getStatus() != Status.SUCCESSFUL) {
        result.getThrowable().ifPresent(thrown -> thrown.printStackTrace(System.out));
        note(
            result.getStatus() == Status.ABORTED ? "SKIPPED" : "FAILED",
            test,
            result.getThrowable().map(Throwable::toString).orElse("no reason"));
      } else if (test.isTest()) {
        passed++;
      }
      if (isClass(test)) {
        System.out.printf("%-32s %6.1f s%n", test.getDisplayName(), (System.nanoTime() - begin) * 1e-9);
      }
    }

    private static boolean isClass(TestIdentifier test) {
      return test.getSource().filter(ClassSource.class::isInstance).isPresent();
    }

    private void note(String what, TestIdentifier test, String reason) {
      String line = "%s %s: %s".formatted(what, test.getUniqueId(), reason.strip());
      System.out.println(line);
      bad.add(line.replace('\n', ' '));
    }
  }
}
