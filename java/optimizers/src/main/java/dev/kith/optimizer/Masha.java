package dev.kith.optimizer;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Regularizer;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;

/** What MASHA1 and MASHA2 share: all but whether what messages lose is sent later. */
abstract class Masha extends CommonModelOptimizer {
  private final String variant;
  private final double stepSize;
  private final double probability;
  private final long seed;
  private final Encoder encoder;
  private final Optional<Encoder> server;
  private final ProximalStep prox;
  private final DeviceMatrix trialRows;
  private final DeviceMatrix forward;
  private final DeviceMatrix mean;
  private final DeviceMatrix reference;
  private DeviceMatrix operator;
  private DeviceMatrix referenceOperator;
  private DeviceMatrix referenceMean;
  private DeviceMatrix nextReferenceMean;

  Masha(String name, Builder<?> builder, double defaultProbability, boolean repairs) {
    super(name, builder);
    this.stepSize = builder.stepSize;
    this.probability = builder.probability.orElse(defaultProbability);
    this.seed = builder.seed;
    this.encoder =
        own(
            new Encoder(
                builder.compressor,
                parameters(),
                new Codec.Sender(network().firstNode(), seed, 0),
                repairs));
    // Every process does the server's work, for the number behind the last node.
    this.server =
        builder.serverCompressor.map(
            compressor ->
                own(
                    new Encoder(
                        compressor,
                        model().row(),
                        new Codec.Sender(network().nodes(), seed, 1),
                        repairs)));
    this.prox = own(new ProximalStep(builder.regularizer, stepSize, model().row()));
    this.variant =
        builder.compressor.name()
            + ", reference probability "
            + probability
            + builder.serverCompressor.map(c -> ", server " + c.name()).orElse("")
            + prox.name().map(n -> ", " + n).orElse("");
    this.trialRows = own(parameters().like());
    this.operator = own(parameters().like());
    this.referenceOperator = own(parameters().like());
    this.forward = own(model().row().like());
    this.mean = own(forward.like());
    this.reference = own(forward.like());
    this.referenceMean = own(forward.like());
    this.nextReferenceMean = own(forward.like());
    reference.copyFrom(model().row());
  }

  final Encoder encoder() {
    return encoder;
  }

  final Optional<Encoder> server() {
    return server;
  }

  @Override
  final void undo() {
    encoder.undo();
    server.ifPresent(Encoder::undo);
  }

  @Override
  final void iterate() {
    if (round() == 0) {
      problem().gradient(parameters(), referenceOperator, 0);
      average(referenceOperator, referenceMean);
    }
    Mixing.combine(
        Expression.outer(1 - probability, model().row())
            .plusOuter(probability, reference)
            .plusOuter(-stepSize, referenceMean),
        forward);
    model().spread(prox.of(forward, this::requireFiniteStep), trialRows);
    problem().gradient(trialRows, operator, round());
    exchange(encoder.encode(operator, Optional.of(referenceOperator), round()));
    DeviceMatrix next = propose(Expression.outer(forward).plusOuter(-stepSize, mean), prox);
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
    encoder.keep();
    server.ifPresent(Encoder::keep);
  }

  /** Leaves what all nodes learn of the messages in {@link #mean}. */
  private void exchange(Messages messages) {
    if (server.isEmpty()) {
      average(messages, mean);
      return;
    }
    network().collect(messages, mean);
    requireFinite();
    Messages answer = server.get().encode(mean, Optional.empty(), round());
    network().broadcast(answer);
    answer.codec().decode(answer, mean);
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
    state.putAll(encoder.state());
    server.ifPresent(s -> s.state().forEach((key, matrix) -> state.put("server." + key, matrix)));
    return state;
  }

  /**
   * Settings of MASHA.
   *
   * @param <B> the builder itself
   */
  abstract static class Builder<B extends Builder<B>> extends CompressedBuilder<B> {
    private OptionalDouble probability = OptionalDouble.empty();
    Optional<Compressor> serverCompressor = Optional.empty();
    Optional<Regularizer> regularizer = Optional.empty();

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

    /**
     * Compression on the way back: a server, which runs beside node 0, takes the messages of the
     * others and sends all of them the mean by this compressor. Default: none; every node sends its
     * message to each of the others, and nothing is lost on a way back.
     */
    public final B serverCompressor(Compressor compressor) {
      this.serverCompressor = Optional.of(compressor);
      return self();
    }
  }
}
