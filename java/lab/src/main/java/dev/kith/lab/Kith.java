package dev.kith.lab;

import dev.kith.device.KithException;
import dev.kith.lab.data.DataFileException;
import dev.kith.lab.experiment.DivergedException;
import dev.kith.lab.experiment.EnvironmentException;
import dev.kith.lab.experiment.UsageException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.util.Arrays;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * The command line of Kith.
 *
 * <p>Exit codes: 0 fine, 1 a claim or check failed (a run whose numbers left the finite ones among
 * them), 2 usage, 3 environment, 130 and 143 after Ctrl-C and SIGTERM. An error is one sentence on
 * standard error.
 */
@Command(
    name = "kith",
    description = "Decentralized optimization: nodes that hold their own data train together.",
    subcommands = {
      TrainCommand.class,
      CompareCommand.class,
      ReproduceCommand.class,
      BenchCommand.class,
      DataCommand.class,
      DoctorCommand.class
    },
    versionProvider = Kith.Version.class,
    footer = {
      "",
      "Exit codes: 0 fine, 1 a claim or check failed, 2 usage, 3 environment, 130 stopped by Ctrl-C.",
      "Start with: kith train --model softmax --rounds 200"
    })
public final class Kith implements Runnable {
  private static final int FAILED = 1;
  private static final int USAGE = 2;
  private static final int ENVIRONMENT = 3;

  @Spec private CommandSpec spec;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  @SuppressWarnings("UnusedVariable") // picocli reads it
  private boolean help;

  @Option(
      names = {"-V", "--version"},
      versionHelp = true,
      description = "Show the version.")
  @SuppressWarnings("UnusedVariable") // picocli reads it
  private boolean version;

  /** Runs a command and ends the JVM with its exit code. */
  public static void main(String[] arguments) {
    System.exit(run(arguments));
  }

  /** Runs a command; the exit code. */
  static int run(String... arguments) {
    return execute(new CommandLine(new Kith()), arguments);
  }

  /** Runs a command with the exit codes and the one-sentence errors of Kith; the exit code. */
  public static int execute(CommandLine line, String... arguments) {
    boolean stacktrace = CommonOptions.wanted(Arrays.asList(arguments));
    line.setCaseInsensitiveEnumValuesAllowed(true);
    line.setUsageHelpWidth(100);
    line.setOverwrittenOptionsAllowed(true);
    line.setParameterExceptionHandler((e, args) -> misused(e));
    line.setExecutionExceptionHandler(
        (e, command, parsed) -> explain(e, command.getErr(), stacktrace));
    try {
      return line.execute(arguments);
    } catch (OutOfMemoryError e) {
      return explain(e, line.getErr(), stacktrace);
    }
  }

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "name a command");
  }

  private static int misused(ParameterException e) {
    CommandLine command = e.getCommandLine();
    PrintWriter err = command.getErr();
    err.println("kith: " + sentence(e.getMessage()) + "; see " + help(command));
    return USAGE;
  }

  private static String help(CommandLine command) {
    return command.getCommandSpec().qualifiedName() + " --help";
  }

  private static int explain(Throwable e, PrintWriter err, boolean stacktrace) {
    if (stacktrace) {
      e.printStackTrace(err);
    }
    err.println("kith: " + message(e));
    err.flush();
    return switch (e) {
      case UsageException u -> USAGE;
      case DataFileException d -> USAGE;
      case EnvironmentException n -> ENVIRONMENT;
      case IOException i -> ENVIRONMENT;
      case UncheckedIOException i -> ENVIRONMENT;
      case OutOfMemoryError m -> ENVIRONMENT;
      case KithException k -> ENVIRONMENT;
      case UnsupportedOperationException u -> ENVIRONMENT;
      default -> FAILED;
    };
  }

  private static String message(Throwable e) {
    return switch (e) {
      case OutOfMemoryError m ->
          "the Java heap of %d MiB is too small for this; give more with KITH_JAVA_OPTS=-Xmx..., or take fewer nodes or a smaller model"
              .formatted(Runtime.getRuntime().maxMemory() >> 20);
      case UsageException u -> sentence(u.getMessage());
      case DataFileException d -> sentence(d.getMessage());
      case EnvironmentException n -> sentence(n.getMessage());
      case DivergedException d -> sentence(d.getMessage());
      case UncheckedIOException i -> sentence(String.valueOf(i.getMessage()));
      case IOException i -> "a file cannot be read or written: " + sentence(i.toString());
      case KithException k -> sentence(k.getMessage());
      case UnsupportedOperationException u -> sentence(String.valueOf(u.getMessage()));
      default ->
          "this is a fault in Kith (%s); please report it with the output of --stacktrace"
              .formatted(sentence(e.toString()));
    };
  }

  /** One line, whatever the text holds. */
  private static String sentence(String text) {
    return text.strip().replaceAll("\\s*\\R\\s*", " ");
  }

  /** The version of the jar, or "development" on plain class files. */
  static String version() {
    String version = Kith.class.getPackage().getImplementationVersion();
    return version == null ? "development" : version;
  }

  /** What {@code --version} prints. */
  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
      return new String[] {"kith " + version()};
    }
  }
}
