package dev.kith.lab;

import picocli.CommandLine.Option;

/** Flags of every command. */
@SuppressWarnings("UnusedVariable") // picocli sets and reads the fields
final class CommonOptions {
  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  private boolean help;

  @Option(
      names = "--stacktrace",
      description = "Show where an error comes from; so does KITH_DEBUG=1.")
  private boolean stacktrace;

  /** Whether errors are shown with their stack trace. */
  static boolean wanted(Iterable<String> arguments) {
    for (String argument : arguments) {
      if (argument.equals("--stacktrace")) {
        return true;
      }
    }
    return "1".equals(System.getenv("KITH_DEBUG"));
  }
}
