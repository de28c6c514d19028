package dev.kith.lab.experiment;

import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Failures;
import dev.kith.graph.FixedTopology;
import dev.kith.graph.Graph;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topology;
import dev.kith.graph.WeightRule;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Failures by name. Nodes: {@code highest:0.2@5} (a fifth of the nodes, those of highest degree,
 * gone from round 5 on), {@code lowest:...}, {@code random:...}, {@code 3@5} (node 3). Links:
 * {@code 0.1} (each fails with this probability in every round) or {@code 3-4@5} (the link between
 * 3 and 4). Several are joined by +.
 */
final class FailureChoice {
  private static final Pattern SHARE =
      Pattern.compile("(highest|lowest|random):(\\d+(?:\\.\\d+)?|\\.\\d+)@(\\d{1,18})");
  private static final Pattern NODE = Pattern.compile("(\\d{1,9})@(\\d{1,18})");
  private static final Pattern LINK = Pattern.compile("(\\d{1,9})-(\\d{1,9})@(\\d{1,18})");

  private FailureChoice() {}

  static MixingSchedule apply(
      MixingSchedule base,
      Topology topology,
      WeightRule weights,
      Algorithm algorithm,
      String nodes,
      String links,
      long seed) {
    if (nodes.equals("none") && links.equals("none")) {
      return base;
    }
    try {
      Failures.Builder failures = Failures.builder();
      if (!nodes.equals("none")) {
        for (String part : nodes.split("\\+", -1)) {
          removeNodes(failures, part, base, seed);
        }
      }
      if (!links.equals("none")) {
        for (String part : links.split("\\+", -1)) {
          removeLinks(failures, part, seed);
        }
      }
      return failing(base, topology, weights, algorithm, failures.build(), seed);
    } catch (IllegalArgumentException e) {
      throw new UsageException("--drop-nodes or --drop-links: " + e.getMessage(), e);
    }
  }

  private static MixingSchedule failing(
      MixingSchedule base,
      Topology topology,
      WeightRule weights,
      Algorithm algorithm,
      Failures failures,
      long seed) {
    if (topology instanceof FixedTopology fixed) {
      Graph graph = fixed.graph(base.nodes(), seed);
      boolean needsEqualDegrees = base.at(0).kind() == MixingMatrix.Kind.DOUBLY_STOCHASTIC;
      if (!graph.directed() || !needsEqualDegrees) {
        return FailingSchedule.of(graph, weights, failures);
      }
    }
    algorithm.checkFailures(base);
    return FailingSchedule.of(base, failures, algorithm.keepsUnderFailures());
  }

  private static void removeNodes(
      Failures.Builder failures, String text, MixingSchedule base, long seed) {
    Matcher node = NODE.matcher(text);
    Matcher share = SHARE.matcher(text);
    if (node.matches()) {
      failures.removeNodes(Long.parseLong(node.group(2)), Integer.parseInt(node.group(1)));
    } else if (share.matches()) {
      double fraction = Double.parseDouble(share.group(2));
      int[] gone =
          switch (share.group(1)) {
            case "highest" -> Failures.highestDegree(union(base), fraction);
            case "lowest" -> Failures.lowestDegree(union(base), fraction);
            default -> Failures.random(base.nodes(), fraction, seed);
          };
      failures.removeNodes(Long.parseLong(share.group(3)), gone);
    } else {
      throw new UsageException(
          "--drop-nodes %s is not known; write highest:SHARE@ROUND, lowest:SHARE@ROUND, random:SHARE@ROUND or NODE@ROUND, joined by +"
              .formatted(text));
    }
  }

  private static Graph union(MixingSchedule base) {
    if (base.period() == 0) {
      throw new UsageException(
          "--drop-nodes: in a random topology no node has a highest or lowest degree; take random:SHARE@ROUND");
    }
    return base.union();
  }

  private static void removeLinks(Failures.Builder failures, String text, long seed) {
    Matcher link = LINK.matcher(text);
    if (link.matches()) {
      failures.removeLink(
          Long.parseLong(link.group(3)),
          Integer.parseInt(link.group(1)),
          Integer.parseInt(link.group(2)));
      return;
    }
    try {
      failures.linkFailure(Double.parseDouble(text), seed);
    } catch (NumberFormatException e) {
      throw new UsageException(
          "--drop-links %s is not known; write a probability, or I-J@ROUND, joined by +"
              .formatted(text),
          e);
    }
  }
}
