package dev.kith.optimizer;

import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Reduction;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Algorithms in which all nodes hold the same parameters and learn the mean of what they send, as
 * with a server. The weights of the graph are not used, and all nodes take part in every round.
 */
abstract class CommonModelOptimizer extends LockstepOptimizer {
  private final CommonModel model;

  CommonModelOptimizer(String name, GradientStepBuilder<?> builder) {
    this(name, builder.problem, builder.network, builder.initial);
  }

  CommonModelOptimizer(String name, Problem problem, Network network, DeviceMatrix initial) {
    super(name, problem, network);
    if (initial.rows() != 1) {
      throw new IllegalArgumentException(
          name
              + " was given "
              + initial.rows()
              + " rows to start from: give the one that all nodes have in common");
    }
    this.model = own(new CommonModel(start(initial)));
  }

  @Override
  final void requireWeights(MixingMatrix w) {
    requireAllNodes();
  }

  final CommonModel model() {
    return model;
  }

  /** The mean of the decoded messages of all nodes, all of them from finite rows. */
  final void average(Messages messages, DeviceMatrix mean) {
    network().average(messages, mean);
    requireFinite();
  }

  /** The mean of the rows of all nodes, all of them finite. */
  final void average(DeviceMatrix rows, DeviceMatrix mean) {
    network().average(rows, mean);
    requireFiniteAverage(rows, mean);
  }

  /** Forms the next parameters, which are finite. */
  final DeviceMatrix propose(Expression successor) {
    DeviceMatrix next = model.propose(successor);
    requireFiniteStep(next);
    return next;
  }

  /** The same with a proximal operator behind it. */
  final DeviceMatrix propose(Expression successor, ProximalStep prox) {
    DeviceMatrix next = model.next();
    prox.apply(successor, this::requireFiniteStep, next);
    requireFiniteStep(next);
    return next;
  }

  /** Throws when a step that all nodes take leads to what is not finite. */
  final void requireFiniteStep(DeviceMatrix row) {
    if (Reduction.nonFinite(row) != 0) {
      throw new NonFiniteException(0, round(), "the step that all nodes take, starting with that");
    }
  }

  @Override
  public final DeviceMatrix parameters() {
    return model.rows();
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>();
    state.put("x", model.rows());
    state.put("common", model.row());
    return state;
  }
}
