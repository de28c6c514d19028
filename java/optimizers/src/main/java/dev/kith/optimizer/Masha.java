package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalDouble;

/** What MASHA1 and MASHA2 share: all but what is encoded. */
abstract class Masha extends CommonModelOptimizer {
  private final String variant;
  private final double stepSize;
  private final double probability;
  private final long seed;
  private final Codec codec;
  private final DeviceMatrix trialRows;
  private final DeviceMatrix trial;
  private final DeviceMatrix mean;
  private final DeviceMatrix reference;
  private DeviceMatrix operator;
  private DeviceMatrix referenceOperator;
  private DeviceMatrix referenceMean;
  private DeviceMatrix nextReferenceMean;
  private boolean encoded;

  Masha(String name, Builder<?> builder, double defaultProbability) {
    super(name, builder);
    this.stepSize = builder.stepSize;
    this.probability = builder.probability.orElse(defaultProbability);
    this.seed = builder.seed;
    this.codec =
        own(
            builder.compressor.bind(
                parameters(), new Codec.Sender(network().firstNode(), builder.seed, 0)));
    this.variant = builder.compressor.name() + ", reference probability " + probability;
    this.trialRows = own(parameters().like());
    this.operator = own(parameters().like());
    this.referenceOperator = own(parameters().like());
    this.trial = own(model().row().like());
    this.mean = own(trial.like());
    this.reference = own(trial.like());
    this.referenceMean = own(trial.like());
    this.nextReferenceMean = own(trial.like());
    reference.copyFrom(model().row());
  }

  final Codec codec() {
    return codec;
  }

  /** Encodes what the operators differ by. */
  abstract Messages encode(DeviceMatrix operator, DeviceMatrix referenceOperator);

  /** Puts back what {@link #encode} has changed. */
  abstract void undoEncoding();

  @Override
  final void undo() {
    if (encoded) {
      undoEncoding();
    }
  }

  @Override
  final void iterate() {
    encoded = false;
    if (round() == 0) {
      problem().gradient(parameters(), referenceOperator, 0);
      average(referenceOperator, referenceMean);
    }
    Mixing.combine(
        Expression.outer(1 - probability, model().row())
            .plusOuter(probability, reference)
            .plusOuter(-stepSize, referenceMean),
        trial);
    model().spread(trial, trialRows);
    problem().gradient(trialRows, operator, round());
    Messages messages = encode(operator, referenceOperator);
    encoded = true;
    average(messages, mean);
    DeviceMatrix next = propose(Expression.outer(trial).plusOuter(-stepSize, mean));
    if (referenceMoves()) {
      model().spread(next, trialRows);
      problem().gradient(trialRows, operator, round());
      average(operator, nextReferenceMean);
      reference.copyFrom(next);
      DeviceMatrix oldOperator = referenceOperator;
      referenceOperator = operator;
      operator = oldOperator;
      DeviceMatrix oldMean = referenceMean;
      referenceMean = nextReferenceMean;
      nextReferenceMean = oldMean;
    }
    model().accept();
  }

  /** The coin of the round, tossed for the number behind the last node: it belongs to no node. */
  private boolean referenceMoves() {
    return new SharedRandom(seed, Stream.SCHEDULE, network().nodes(), round()).uniform(0)
        < probability;
  }

  /** The probability with which the reference point moves. */
  public final double referenceProbability() {
    return probability;
  }

  @Override
  final String variant() {
    return variant;
  }

  @Override
  Map<String, DeviceMatrix> state() {
    Map<String, DeviceMatrix> state = new LinkedHashMap<>(super.state());
    state.put("reference", reference);
    state.put("referenceOperator", referenceOperator);
    state.put("referenceMean", referenceMean);
    return state;
  }

  /**
   * Settings of MASHA.
   *
   * @param <B> the builder itself
   */
  abstract static class Builder<B extends Builder<B>> extends CompressedBuilder<B> {
    private OptionalDouble probability = OptionalDouble.empty();

    Builder(Problem problem, Network network, DeviceMatrix initial) {
      super(problem, network, initial);
    }

    /**
     * 1 - tau, the probability with which the reference point moves to the new iterate, which costs
     * an average of full rows; above 0 and at most 1.
     */
    public final B referenceProbability(double probability) {
      if (!(probability > 0 && probability <= 1)) {
        throw new IllegalArgumentException(
            "a reference probability of " + probability + " is not above 0 and at most 1");
      }
      this.probability = OptionalDouble.of(probability);
      return self();
    }
  }
}
