package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.NewtonSchulz;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * Muon on a graph that mixes the momentum before it is orthogonalised. For the matrices of the
 * hidden layers
 *
 * <pre>
 * M' = W (b M + (1 - b) G)
 * U  = NS((1 + b) M' - b M) sqrt(max(1, p / q))       (Nesterov; else NS(M'))
 * X' = W ((1 - eta lambda) X - eta U)
 * </pre>
 *
 * <p>and for all other tensors a local step of AdamW, then W. Mixing commutes with momentum, which
 * is linear, and not with NS: the other order, in which every node orthogonalises what it knows
 * alone, is {@link DecentralizedSgd} with the rule {@link Muon}. Nesterov's term is written with
 * momenta that were mixed: where all nodes agree on M, (1 + b) M' - b M = b M' + (1 - b) W G. So
 * with W = J and one start the matrices of all nodes follow {@link Muon} on the mean gradient.
 *
 * <p>A node sends d numbers, and those of the matrices again, to each neighbour a round, in two
 * messages. W needs rows that sum to 1.
 *
 * <p>Source: the step is that of K. Jordan et al., "Muon", 2024; how momentum is mixed is Kith's.
 */
public final class DecentralizedMuon extends LockstepOptimizer {
  private final Muon rule;
  private final TensorSplit split;
  private final RestSteps others;
  private final NewtonSchulz newtonSchulz;
  private final List<DeviceMatrix> before = new ArrayList<>();
  private final DeviceMatrix gradient;
  private final DeviceMatrix moved;
  private final DeviceMatrix message;
  private final DeviceMatrix direction;
  private DeviceMatrix x;
  private DeviceMatrix next;
  private DeviceMatrix momentum;
  private DeviceMatrix nextMomentum;

  private DecentralizedMuon(Builder builder) {
    super("dmuon", builder.problem, builder.network);
    requireWeights(builder.network.schedule().at(0));
    this.rule = builder.rule;
    this.split = rule.split(builder.problem.layout());
    this.x = start(builder.initial);
    this.next = own(x.like());
    this.gradient = own(x.like());
    this.moved = own(x.like());
    this.momentum = own(x.like(x.rows(), split.packed().size(), x.dtype()));
    this.nextMomentum = own(momentum.like());
    this.message = own(momentum.like());
    this.direction = own(momentum.like());
    this.newtonSchulz = own(rule.newtonSchulz(split, momentum));
    this.others = own(rule.restSteps(split, x));
    others.matrices().forEach(m -> before.add(own(m.like())));
  }

  /**
   * @param problem the local objectives
   * @param network the graph, for the same nodes as the problem
   * @param initial the start, localNodes x d or one row for all nodes; F32 or F64; copied
   */
  public static Builder builder(Problem problem, Network network, DeviceMatrix initial) {
    return new Builder(problem, network, initial);
  }

  @Override
  void requireWeights(MixingMatrix w) {
    requireRowsSumToOne(w);
  }

  @Override
  void iterate() {
    List<DeviceMatrix> state = others.matrices();
    for (int k = 0; k < state.size(); k++) {
      before.get(k).copyFrom(state.get(k));
    }
    int[] absent = absentRows();
    problem().gradient(x, gradient, round());
    for (int row : absent) {
      try (DeviceMatrix unused = gradient.row(row)) {
        unused.fill(0);
      }
    }
    requireFinite(gradient, "the gradient");
    mixMomentum(absent);
    direction();
    newtonSchulz.apply(direction, direction);
    moved.copyFrom(x);
    rule.move(split, moved, direction, 1);
    others.count(round());
    others.apply(moved, gradient, 1);
    keep(absent, x, moved);
    for (int k = 0; k < state.size(); k++) {
      keep(absent, before.get(k), state.get(k));
    }
    network().mix(Expression.inner(moved), next);
    requireFinite();
    DeviceMatrix done = x;
    x = next;
    next = done;
    DeviceMatrix old = momentum;
    momentum = nextMomentum;
    nextMomentum = old;
  }

  private void mixMomentum(int[] absent) {
    double b = rule.momentum();
    message.copyFrom(momentum);
    split.blend(b, message, 1 - b, gradient);
    network().mix(Expression.inner(message), nextMomentum);
    requireFinite();
    keep(absent, momentum, nextMomentum);
  }

  private void direction() {
    double b = rule.momentum();
    if (rule.nesterov()) {
      Mixing.combine(Expression.outer(1 + b, nextMomentum).plusOuter(-b, momentum), direction);
    } else {
      direction.copyFrom(nextMomentum);
    }
  }

  /** Gives nodes that do not take part in the round their rows from before. */
  private static void keep(int[] absent, DeviceMatrix from, DeviceMatrix to) {
    for (int row : absent) {
      try (DeviceMatrix source = from.row(row);
          DeviceMatrix target = to.row(row)) {
        target.copyFrom(source);
      }
    }
  }

  @Override
  void undo() {
    List<DeviceMatrix> state = others.matrices();
    for (int k = 0; k < state.size(); k++) {
      state.get(k).copyFrom(before.get(k));
    }
  }

  @Override
  public DeviceMatrix parameters() {
    return x;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", x);
    state.put("momentum", momentum);
    List<DeviceMatrix> matrices = others.matrices();
    for (int k = 0; k < matrices.size(); k++) {
      state.put("rest" + k, matrices.get(k));
    }
    return state;
  }

  @Override
  String variant() {
    return split.names();
  }

  /** Settings of {@link DecentralizedMuon}. */
  public static final class Builder {
    private final Problem problem;
    private final Network network;
    private final DeviceMatrix initial;
    private Muon rule = Muon.withDefaults();

    private Builder(Problem problem, Network network, DeviceMatrix initial) {
      this.problem = Objects.requireNonNull(problem, "problem");
      this.network = Objects.requireNonNull(network, "network");
      this.initial = Objects.requireNonNull(initial, "initial");
    }

    /** The step. Default: Muon as released. */
    public Builder rule(Muon muon) {
      rule = Objects.requireNonNull(muon, "muon");
      return this;
    }

    /**
     * @throws IllegalArgumentException when problem, network and start do not fit, or rows of W do
     *     not sum to 1
     */
    public DecentralizedMuon build() {
      return new DecentralizedMuon(this);
    }
  }
}
