package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * What algorithms share in which all nodes do round t before any does round t + 1: checks, the
 * count of rounds, the state and its snapshots, and the search for the node whose numbers stopped
 * being finite.
 *
 * <p>An algorithm writes a round into matrices beside its state, asks {@link #requireFinite}, and
 * only then makes them its state: so a round that fails leaves the state of the round before.
 */
abstract class LockstepOptimizer implements Optimizer {
  private final String name;
  private final Problem problem;
  private final Network network;
  private final List<AutoCloseable> owned = new ArrayList<>();
  private long round;

  LockstepOptimizer(String name, Problem problem, Network network) {
    this.name = name;
    this.problem = problem;
    this.network = network;
    if (problem.nodes() != network.nodes()
        || problem.firstNode() != network.firstNode()
        || problem.localNodes() != network.localNodes()) {
      throw new IllegalArgumentException(
          "the problem holds "
              + part(problem.firstNode(), problem.localNodes(), problem.nodes())
              + " and the network "
              + part(network.firstNode(), network.localNodes(), network.nodes())
              + ": make both for the same nodes");
    }
  }

  private static String part(int first, int count, int nodes) {
    return "nodes " + first + " to " + (first + count - 1) + " of " + nodes;
  }

  /**
   * What the problem can do beyond gradients.
   *
   * @param what it is called in a sentence, "values" for example
   */
  final <T> T capability(Class<T> kind, String what) {
    if (!kind.isInstance(problem)) {
      throw new IllegalArgumentException(
          name
              + " needs a problem with "
              + what
              + ", a "
              + kind.getSimpleName()
              + ", and "
              + problem.getClass().getSimpleName()
              + " is none: take another problem, or an algorithm that needs gradients alone, such"
              + " as dsgt");
    }
    return kind.cast(problem);
  }

  /**
   * One round, in the network's present round; leaves the state as it was when it throws and {@link
   * #undo} is called.
   */
  abstract void iterate();

  /** Puts back what a round that failed has changed. */
  void undo() {}

  /** Refuses weights with which a round would not compute what the algorithm promises. */
  void requireWeights(MixingMatrix w) {}

  /** The matrices that make up the state, by name, in a fixed order. */
  abstract Map<String, DeviceMatrix> state();

  /** What else a snapshot must agree on, such as the step rule. */
  String variant() {
    return "";
  }

  /** Numbers that belong to the state beside its matrices. */
  long[] counters() {
    return new long[0];
  }

  /** Takes over the numbers of {@link #counters}. */
  void counters(long[] values) {}

  /** Told that a snapshot has been taken over. */
  void restored() {}

  @Override
  public final String name() {
    return name;
  }

  @Override
  public final Network network() {
    return network;
  }

  final Problem problem() {
    return problem;
  }

  @Override
  public final long round() {
    return round;
  }

  @Override
  public final void step() {
    network.round(round);
    requireWeights(network.weights());
    try {
      iterate();
    } catch (RuntimeException | Error e) {
      undoAfter(e);
      throw e;
    }
    round++;
    network.round(round);
  }

  private void undoAfter(Throwable failure) {
    try {
      undo();
    } catch (RuntimeException e) {
      failure.addSuppressed(e);
    }
  }

  /** The own rows whose nodes do not take part in the present round, ascending. */
  final int[] absentRows() {
    return IntStream.range(0, network.localNodes())
        .filter(row -> !network.schedule().isAlive(round, network.firstNode() + row))
        .toArray();
  }

  /** Refuses a round in which a node does not take part; every process comes to the same. */
  final void requireAllNodes() {
    IntStream.range(0, network.nodes())
        .filter(node -> !network.schedule().isAlive(round, node))
        .findFirst()
        .ifPresent(
            node -> {
              throw new IllegalArgumentException(
                  name
                      + " needs all nodes in every round, and node "
                      + node
                      + " does not take part in round "
                      + round
                      + ": take a schedule without failing nodes, or an algorithm that goes on"
                      + " without them, such as dsgd");
            });
  }

  /** Releases it together with the optimizer. */
  final <T extends AutoCloseable> T own(T resource) {
    owned.add(resource);
    return resource;
  }

  /** A copy of the start, one row a node. */
  final DeviceMatrix start(DeviceMatrix initial) {
    int rows = network.localNodes();
    if (initial.cols() != problem.layout().size()
        || (initial.rows() != rows && initial.rows() != 1)) {
      throw new IllegalArgumentException(
          "the start is "
              + initial.rows()
              + " x "
              + initial.cols()
              + ": it has to be "
              + rows
              + " x "
              + problem.layout().size()
              + ", or one row that all nodes start from");
    }
    if (initial.dtype() != DType.F32 && initial.dtype() != DType.F64) {
      throw new IllegalArgumentException(
          "the start is of type "
              + initial.dtype()
              + ": parameters are F32 or F64, narrower types are for messages");
    }
    DeviceMatrix x = own(initial.like(rows, initial.cols(), initial.dtype()));
    if (initial.rows() == rows) {
      x.copyFrom(initial);
    } else {
      spread(initial, x);
    }
    return x;
  }

  /** Writes the only row of {@code from} into every row of {@code to}. */
  static void spread(DeviceMatrix from, DeviceMatrix to) {
    try (DeviceMatrix zeros = to.like(1, to.rows(), DType.I32)) {
      Memory.gatherRows(from, zeros, to);
    }
  }

  /** The one matrix of a network whose weights never change, symmetric and of the given kinds. */
  static MixingMatrix fixedSymmetric(
      String algorithm, Network network, MixingMatrix.Kind... kinds) {
    if (network.schedule().period() != 1) {
      throw new IllegalArgumentException(
          algorithm + " needs one fixed mixing matrix, not a schedule that changes");
    }
    MixingMatrix w = network.schedule().at(0);
    if (!Arrays.asList(kinds).contains(w.kind()) || !w.symmetric()) {
      throw new IllegalArgumentException(
          algorithm
              + " needs a symmetric mixing matrix of kind "
              + Arrays.stream(kinds).map(Object::toString).collect(Collectors.joining(" or "))
              + ", not a "
              + (w.symmetric() ? "symmetric" : "non-symmetric")
              + " one of kind "
              + w.kind());
    }
    return w;
  }

  /** Refuses weights whose rows do not sum to 1: a common value would not stay. */
  static void requireRowsSumToOne(MixingMatrix w) {
    if (!w.kind().rowsSumToOne()) {
      throw new IllegalArgumentException(
          "the mixing matrix is of kind "
              + w.kind()
              + ": averaging needs rows that sum to 1; push-sum takes column-stochastic ones");
    }
  }

  /** Throws when the last mixing met a number that is not finite. */
  final void requireFinite() {
    OptionalInt node = network.nonFiniteNode();
    if (node.isPresent()) {
      throw new NonFiniteException(node.getAsInt(), round, "the gradient or the parameters");
    }
  }

  /** Throws when a row is not finite. */
  final void requireFinite(DeviceMatrix m, String what) {
    double[] counts = nonFinite(m);
    for (int r = 0; r < counts.length; r++) {
      if (counts[r] != 0) {
        throw new NonFiniteException(network.firstNode() + r, round, what);
      }
    }
  }

  private static double[] nonFinite(DeviceMatrix m) {
    try (DeviceMatrix counts = m.like(1, m.rows(), DType.F64)) {
      Reduction.rows(Reduction.Kind.NONFINITE, m, counts);
      return counts.toDoubles();
    }
  }

  /**
   * Throws when the average of the rows of {@code m} over all nodes is not finite; all processes
   * name the same node.
   */
  final void requireFiniteAverage(DeviceMatrix m, DeviceMatrix mean) {
    if (nonFinite(mean)[0] == 0) {
      return;
    }
    double[] counts = network.gather(nonFinite(m));
    for (int i = 0; i < counts.length; i++) {
      if (counts[i] != 0) {
        throw new NonFiniteException(i, round, "the gradient or the parameters");
      }
    }
    throw new NonFiniteException(0, round, "the sum over all nodes, starting with that");
  }

  @Override
  public final void save(Snapshot.Writer writer) {
    identity().forEach(writer::text);
    writer.longs("round", round);
    writer.longs("counters", counters());
    writer.longs("meter", network.meter().counts());
    state().forEach((key, matrix) -> writer.matrix("state." + key, matrix));
  }

  @Override
  public final void load(Snapshot.Reader reader) {
    identity()
        .forEach(
            (key, here) -> {
              String there = reader.text(key);
              if (!there.equals(here)) {
                throw new IllegalArgumentException(
                    "the snapshot "
                        + reader.file()
                        + " is for "
                        + key
                        + " '"
                        + there
                        + "', and this run has '"
                        + here
                        + "': resume with the same settings, or start anew");
              }
            });
    state().forEach((key, matrix) -> reader.requireMatrix("state." + key, matrix));
    long savedRound = longs(reader, "round", 1)[0];
    long[] savedCounters = longs(reader, "counters", counters().length);
    if (savedRound < 0 || Arrays.stream(savedCounters).anyMatch(c -> c < 0)) {
      throw new IllegalArgumentException(
          "the snapshot " + reader.file() + " has negative counts: start anew");
    }
    network.meter().counts(reader.longs("meter"));
    counters(savedCounters);
    state().forEach((key, matrix) -> reader.matrix("state." + key, matrix));
    round = savedRound;
    network.round(round);
    restored();
  }

  private static long[] longs(Snapshot.Reader reader, String name, int length) {
    long[] values = reader.longs(name);
    if (values.length != length) {
      throw new IllegalArgumentException(
          "the snapshot "
              + reader.file()
              + " has "
              + values.length
              + " numbers for '"
              + name
              + "' where this run has "
              + length
              + ": resume with the same settings, or start anew");
    }
    return values;
  }

  /** What a snapshot and a run must have in common. */
  private Map<String, String> identity() {
    Map<String, String> identity = new java.util.LinkedHashMap<>();
    identity.put("algorithm", variant().isEmpty() ? name : name + ", " + variant());
    identity.put("nodes", part(network.firstNode(), network.localNodes(), network.nodes()));
    identity.put(
        "layout",
        problem.layout().tensors().stream()
            .map(t -> t.name() + Arrays.toString(t.shape()))
            .collect(Collectors.joining(" ")));
    return identity;
  }

  @Override
  public final void close() {
    RuntimeException failure = null;
    for (AutoCloseable resource : owned.reversed()) {
      try {
        resource.close();
      } catch (Exception e) {
        if (failure == null) {
          failure =
              new IllegalStateException(
                  name + " could not release its state: " + e.getMessage(), e);
        } else {
          failure.addSuppressed(e);
        }
      }
    }
    owned.clear();
    if (failure != null) {
      throw failure;
    }
  }
}
