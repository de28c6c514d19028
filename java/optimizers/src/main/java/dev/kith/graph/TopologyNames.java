package dev.kith.graph;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** The names of {@link Topology} and the parameters that follow them. */
final class TopologyNames {
  private TopologyNames() {}

  /**
   * A name: what its parameter looks like ("" for none, in brackets when optional), and the reader
   * of it.
   */
  private record Entry(String parameter, Function<String, Topology> reader) {}

  private static final Map<String, Entry> ENTRIES = new LinkedHashMap<>();

  static {
    plain("ring", new FixedTopology.Ring());
    plain("path", new FixedTopology.Path());
    entry("torus", ":AxB", p -> sides(p, FixedTopology.Torus::new));
    entry("grid", ":AxB", p -> sides(p, FixedTopology.Grid::new));
    plain("hypercube", new FixedTopology.Hypercube());
    plain("star", new FixedTopology.Star());
    plain("complete", new FixedTopology.Complete());
    plain("barbell", new FixedTopology.Barbell());
    entry("erdos-renyi", ":PROBABILITY", p -> new FixedTopology.ErdosRenyi(number(p)));
    entry("barabasi-albert", ":LINKS", p -> new FixedTopology.BarabasiAlbert(integer(p)));
    entry("geometric", ":RADIUS", p -> new FixedTopology.Geometric(number(p)));
    entry("regular", ":DEGREE", p -> new FixedTopology.Regular(integer(p)));
    plain("exponential", new FixedTopology.Exponential());
    plain("petersen", new FixedTopology.Petersen());
    plain("karate-club", new FixedTopology.KarateClub());
    plain("one-peer-exponential", new ChangingTopology.OnePeerExponential());
    plain("one-peer-exponential-pairs", new ChangingTopology.OnePeerExponentialPairs());
    plain("one-peer-ring", new ChangingTopology.OnePeerRing());
    entry("hyper-hypercube", "[:AxBx...]", p -> new ChangingTopology.HyperHypercube(factors(p)));
    plain("base-2", new ChangingTopology.Base2());
    entry(
        "alternating-exponential-ring",
        ":WORKERS",
        p -> new ChangingTopology.AlternatingExponentialRing(integer(p)));
    entry(
        "sparse-gossip",
        "[:RATE]",
        p -> new ChangingTopology.SparseGossip(p.isEmpty() ? 0.2 : number(p)));
    plain("random-matching", new ChangingTopology.RandomMatching());
  }

  private static void plain(String name, Topology topology) {
    entry(name, "", p -> topology);
  }

  private static void entry(String name, String parameter, Function<String, Topology> reader) {
    ENTRIES.put(name, new Entry(parameter, reader));
  }

  static List<String> usages() {
    return ENTRIES.entrySet().stream().map(e -> e.getKey() + e.getValue().parameter()).toList();
  }

  static Topology parse(String text) {
    int colon = text.indexOf(':');
    String name = colon < 0 ? text : text.substring(0, colon);
    String parameter = colon < 0 ? "" : text.substring(colon + 1);
    Entry entry = ENTRIES.get(name);
    if (entry == null) {
      throw new IllegalArgumentException(
          "unknown topology '" + text + "': the known ones are " + String.join(", ", usages()));
    }
    boolean takesNone = entry.parameter.isEmpty();
    boolean needsOne = entry.parameter.startsWith(":");
    if (takesNone ? colon >= 0 : parameter.isEmpty() && (needsOne || colon >= 0)) {
      throw badParameter(text, name, entry, null);
    }
    try {
      return entry.reader.apply(parameter);
    } catch (NumberFormatException e) {
      throw badParameter(text, name, entry, e);
    }
  }

  private static IllegalArgumentException badParameter(
      String text, String name, Entry entry, Throwable cause) {
    return new IllegalArgumentException(
        "topology '" + text + "' should read " + name + entry.parameter, cause);
  }

  private static int integer(String text) {
    return Integer.parseInt(text);
  }

  private static double number(String text) {
    return Double.parseDouble(text);
  }

  private static List<Integer> factors(String text) {
    return text.isEmpty()
        ? List.of()
        : Arrays.stream(text.split("x", -1)).map(TopologyNames::integer).toList();
  }

  @FunctionalInterface
  private interface Sides {
    Topology of(int rows, int columns);
  }

  private static Topology sides(String text, Sides make) {
    List<Integer> sides = factors(text);
    if (sides.size() != 2) {
      throw new NumberFormatException("two sides are needed");
    }
    return make.of(sides.get(0), sides.get(1));
  }
}
