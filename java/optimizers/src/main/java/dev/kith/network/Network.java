package dev.kith.network;

import dev.kith.compress.Codec;
import dev.kith.compress.Messages;
import dev.kith.compress.ReplayGuard;
import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.Graph;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.Term;
import dev.kith.random.SharedRandom;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/**
 * Topology, weights and the exchange: an optimizer written against it never asks where the rows of
 * other nodes lie.
 *
 * <p>{@link #mix} evaluates {@code Y = W (sum_k c_k Z_k) + sum_k b_k U_k} with W of the present
 * {@link #round}. Only rows of the inner sum that another process needs are formed apart and sent,
 * in the message type, while the rows that need no message are mixed; the rest follows when the
 * messages are there. A sum runs in the order of global node numbers, and the inner sum is rounded
 * to the message type before W is applied, so that one process and many give the same bits.
 *
 * <p>Sums over all nodes run on the binary tree of global node numbers, with the same promise.
 *
 * <p>What is worked out for a mixing matrix is kept for the matrices used last, by identity: a
 * schedule should return the same object for the same matrix. Used by one thread at a time.
 */
public final class Network implements AutoCloseable {
  @SuppressWarnings("ReferenceEquality") // plans are kept by identity
  private record PlanKey(MixingMatrix matrix, Device device, MixingPlan.Form form) {
    @Override
    public boolean equals(Object other) {
      return other instanceof PlanKey that
          && matrix == that.matrix
          && device == that.device
          && form == that.form;
    }

    @Override
    public int hashCode() {
      return System.identityHashCode(matrix);
    }
  }

  @SuppressWarnings("ReferenceEquality") // as above
  private record LinksKey(MixingMatrix matrix, Queue queue) {
    @Override
    public boolean equals(Object other) {
      return other instanceof LinksKey that && matrix == that.matrix && queue == that.queue;
    }

    @Override
    public int hashCode() {
      return System.identityHashCode(matrix);
    }
  }

  /** Codecs and plans are compared by identity: neither defines another equality. */
  private record ExchangeKey(Codec codec, MixingPlan plan) {}

  /** Mixings of one round with noise of their own. */
  private static final int MAX_NOISY_MIXINGS = 256;

  private final MixingSchedule schedule;
  private final Transport transport;
  private final boolean ownsTransport;
  private final Optional<DType> messageType;
  private final Duration deadline;
  private final Meter meter;
  private final NodeAverage average;
  private final Lru<PlanKey, MixingPlan> plans;
  private final Lru<RowMessages.Shape, RowMessages> messages = new Lru<>(4, RowMessages::close);
  private final Lru<Queue, FiniteCheck> checks = new Lru<>(2, FiniteCheck::close);
  private final Lru<ExchangeKey, MessageExchange> exchanges;
  private final Lru<Codec, MessageGather> gathers = new Lru<>(4, MessageGather::close);
  private final ReplayGuard replays;
  private final Optional<ChannelNoise> channel;
  private final Lru<LinksKey, NoisyLinks> links;
  private int mixings;
  private Optional<FiniteCheck> lastCheck = Optional.empty();
  private Supplier<OptionalInt> lastMessages = OptionalInt::empty;
  private long round;

  private Network(Builder builder) {
    this.schedule = builder.schedule;
    this.ownsTransport = builder.transport.isEmpty();
    this.transport = builder.transport.orElseGet(() -> LocalTransport.single(schedule.nodes()));
    this.messageType = builder.messageType;
    this.deadline = builder.deadline;
    if (transport.nodes() != schedule.nodes()) {
      throw new IllegalArgumentException(
          "the schedule has "
              + schedule.nodes()
              + " nodes and the transport "
              + transport.nodes()
              + ": make both for the same network");
    }
    this.meter = new Meter(schedule.nodes());
    this.replays = new ReplayGuard(schedule.nodes());
    this.average = new NodeAverage(transport, meter, deadline);
    this.plans = new Lru<>(builder.plans, MixingPlan::close);
    this.exchanges = new Lru<>(builder.plans, MessageExchange::close);
    this.channel = builder.channel;
    this.links = new Lru<>(builder.plans, NoisyLinks::close);
  }

  /** A network whose mixing matrices follow a schedule. */
  public static Builder builder(MixingSchedule schedule) {
    return new Builder(schedule);
  }

  /** Number of nodes of the whole network. */
  public int nodes() {
    return transport.nodes();
  }

  /** Global number of the first node of this process. */
  public int firstNode() {
    return transport.range().begin();
  }

  /** Number of nodes of this process: the rows of its matrices. */
  public int localNodes() {
    return transport.range().end() - transport.range().begin();
  }

  /** The matrices of all rounds. */
  public MixingSchedule schedule() {
    return schedule;
  }

  /** The round whose mixing matrix is in force, from 0. */
  public long round() {
    return round;
  }

  /**
   * Sets the round; optimizers do so in every step. Going back, or staying, means that rounds from
   * this one on are done again: their messages are taken once more.
   */
  public void round(long round) {
    if (round < 0) {
      throw new IllegalArgumentException("round " + round + " is negative: rounds count from 0");
    }
    if (round <= this.round) {
      replays.rewind(round);
    }
    this.round = round;
    this.mixings = 0;
  }

  /** The mixing matrix of the present round. */
  public MixingMatrix weights() {
    return schedule.at(round);
  }

  /** The type in which rows travel; empty: the type of the result of each mixing. */
  public Optional<DType> messageType() {
    return messageType;
  }

  /** What has been sent. */
  public Meter meter() {
    return meter;
  }

  /**
   * {@code Y = W (sum_k c_k Z_k) + sum_k b_k U_k} with W of the present round. Each node sends one
   * row to each of its neighbours.
   *
   * @param expression the sums, of matrices with localNodes rows; noise is of the own nodes' rows,
   *     and stands in what is sent
   * @param y localNodes rows; may share memory with the same window of an outer term, not with an
   *     inner term
   * @throws ExchangeException when a neighbour's message does not come in time
   */
  public void mix(Expression expression, DeviceMatrix y) {
    mix(weights(), expression, y);
  }

  /** {@link #mix(Expression, DeviceMatrix)} with any matrix on the same nodes. */
  public void mix(MixingMatrix w, Expression expression, DeviceMatrix y) {
    MixingPlan plan = plan(w, y);
    meter.round(plan.sentByNode(), y.cols() * carried(expression, y).bytes());
    checked(plan, expression, y);
    disturb(w, y);
  }

  /**
   * {@link #mix(MixingMatrix, Expression, DeviceMatrix)} for numbers that travel in the messages of
   * the mixing before: their bytes are counted, but no further messages and no round.
   */
  public void mixRider(MixingMatrix w, Expression expression, DeviceMatrix y) {
    MixingPlan plan = plan(w, y);
    meter.rider(plan.sentByNode(), y.cols() * carried(expression, y).bytes());
    checked(plan, expression, y);
    disturb(w, y);
  }

  /**
   * {@link #mix(MixingMatrix, Expression, DeviceMatrix)} with flags of the caller's own, which
   * {@link #nonFiniteNode} does not see.
   *
   * @param flags I32, 1 x localNodes, never cleared: 1 is or-ed in at j when the inner sum of row j
   *     is not finite, 2 when row j of y is not
   */
  public void mix(MixingMatrix w, Expression expression, DeviceMatrix y, DeviceMatrix flags) {
    MixingPlan plan = plan(w, y);
    meter.round(plan.sentByNode(), y.cols() * carried(expression, y).bytes());
    lastCheck = Optional.empty();
    lastMessages = OptionalInt::empty;
    mix(plan, expression, y, flags);
    disturb(w, y);
  }

  /** Adds what the channel does to the messages of a mixing. */
  private void disturb(MixingMatrix w, DeviceMatrix y) {
    if (channel.isEmpty()) {
      return;
    }
    if (mixings == MAX_NOISY_MIXINGS || round > SharedRandom.MAX_ROUNDS / MAX_NOISY_MIXINGS - 1) {
      throw new IllegalStateException(
          "the channel has no noise for mixing "
              + mixings
              + " of round "
              + round
              + ": it makes noise for "
              + MAX_NOISY_MIXINGS
              + " mixings a round and 2^32 rounds");
    }
    links
        .get(
            new LinksKey(w, y.queue()),
            key ->
                new NoisyLinks(channel.get(), key.matrix(), firstNode(), localNodes(), key.queue()))
        .addTo(y, round * MAX_NOISY_MIXINGS + mixings++);
  }

  /** Refuses what a noisy channel does not carry. */
  private void requireExactChannel(String what) {
    if (channel.isPresent()) {
      throw new IllegalStateException(
          "the channel of this network is noisy and carries rows between neighbours, not "
              + what
              + ": take an algorithm that mixes rows, or a network without channel noise");
    }
  }

  /**
   * {@link #mix(MixingMatrix, Expression, DeviceMatrix, DeviceMatrix)} with W of the present round.
   */
  public void mix(Expression expression, DeviceMatrix y, DeviceMatrix flags) {
    mix(weights(), expression, y, flags);
  }

  /**
   * The node whose numbers stopped being finite in the last mixing, if any: the lowest one whose
   * message was not finite among those that this process knows (its own and its neighbours'), else
   * the lowest own one whose result was not. Waits for the mixing.
   */
  public OptionalInt nonFiniteNode() {
    return lastCheck.map(FiniteCheck::node).orElseGet(lastMessages);
  }

  /**
   * Sends encoded rows to the neighbours under W of the present round and takes theirs: one message
   * for each neighbour, header included. Nothing has been added to anything yet, and {@link
   * #nonFiniteNode} names the lowest node known here whose row was not finite.
   *
   * @param messages of the own nodes, encoded
   * @return what can be accumulated now
   * @throws ExchangeException when a neighbour's message does not come in time
   * @throws dev.kith.compress.MessageException when it is not the message that is expected
   */
  public MessageMixing exchange(Messages messages) {
    return exchange(weights(), messages);
  }

  /** {@link #exchange(Messages)} under any matrix on the same nodes. */
  public MessageMixing exchange(MixingMatrix w, Messages messages) {
    requireExactChannel("encoded messages, which any noise destroys");
    requireOwn(messages);
    MixingPlan plan = plan(w, messages.words(), MixingPlan.Form.SPARSE);
    meter.round(plan.sentByNode(), messages.messageBytes());
    MessageExchange exchange =
        exchanges.get(
            new ExchangeKey(messages.codec(), plan),
            key -> new MessageExchange(key.codec(), key.plan()));
    lastCheck = Optional.empty();
    lastMessages = () -> exchange.nonFiniteNode(messages);
    exchange.run(messages, transport, what("mixing", messages), deadline, meter, replays);
    return new MessageMixing(plan, messages, exchange.halo(), localNodes());
  }

  /**
   * {@code y_i = [y_i +] sum_j w_ij C(x_j)} of encoded rows, with W of the present round: {@link
   * #exchange(Messages)} and {@link MessageMixing#accumulate} in one.
   *
   * @param messages of the own nodes, encoded
   * @param add whether the sum is added to y; else y is overwritten
   * @param y localNodes x d, F32
   */
  public void mix(Messages messages, boolean add, DeviceMatrix y) {
    exchange(messages).accumulate(add, y);
  }

  /**
   * Prepares exchanges in which several sets of messages travel together, set k to the neighbours
   * under matrix k. With the {@link dev.kith.graph.Matching#differences differences} of matchings
   * every node sends each of its neighbours a message of its own.
   *
   * @param weights on the same nodes, one a set
   * @param messages of the own nodes, each of a codec with a channel of its own
   * @return to be closed by the caller, before the messages
   */
  public EdgeExchange edges(List<MixingMatrix> weights, List<Messages> messages) {
    requireExactChannel("encoded messages, which any noise destroys");
    weights.forEach(this::requireNodes);
    messages.forEach(this::requireOwn);
    return new EdgeExchange(this, transport, weights, messages);
  }

  /**
   * Sends the messages that {@link #edges} was given, encoded anew for one common round, and takes
   * those of the neighbours. It counts as one exchange, with all messages and their headers. {@link
   * #nonFiniteNode} names the lowest node known here one of whose rows was not finite.
   *
   * @return what can be accumulated now, by set; valid until the next exchange
   * @throws ExchangeException when a neighbour's messages do not come in time
   * @throws dev.kith.compress.MessageException when one is not the message that is expected; then
   *     none is used
   */
  public List<MessageMixing> exchange(EdgeExchange edges) {
    if (edges.network() != this) {
      throw new IllegalArgumentException(
          "the exchange belongs to another network: prepare it with edges() of this one");
    }
    String what = "mixing by edges in round " + round + " (message " + edges.round() + ")";
    edges.count(meter);
    lastCheck = Optional.empty();
    lastMessages = edges::nonFiniteNode;
    edges.run(what, deadline, meter, replays);
    return edges.mixings();
  }

  /**
   * The messages of all nodes, in node order, in every process. Every node sends its message to
   * each of the others that take part. Where there is one process these are {@code messages}
   * themselves.
   *
   * @param messages of the own nodes, encoded
   * @return valid until the next call with messages of the same codec; not to be closed
   */
  public Messages gather(Messages messages) {
    return gathered(messages)
        .run(messages, what("the messages", messages), deadline, meter, replays);
  }

  /**
   * Sends a block of bytes of every own node, such as a public key, to each of its neighbours in a
   * graph, and takes theirs. It counts as one exchange. Whoever carries the messages can read and
   * change them, unless the transport sees to that.
   *
   * @param graph undirected, on the same nodes
   * @param blocks one for each own node, all of the same length
   * @param what names the exchange in errors and events
   * @return the blocks of the own nodes and of their neighbours, by node
   * @throws ExchangeException when a neighbour's block does not come in time
   */
  public Map<Integer, byte[]> exchange(Graph graph, List<byte[]> blocks, String what) {
    if (graph.nodes() != nodes() || graph.directed()) {
      throw new IllegalArgumentException(
          "blocks go both ways along the edges of "
              + nodes()
              + " nodes: "
              + graph
              + " has others, or is directed");
    }
    if (blocks.size() != localNodes()) {
      throw new IllegalArgumentException(
          blocks.size() + " blocks are given where this process has " + localNodes() + " nodes");
    }
    int[] sent = new int[nodes()];
    Arrays.setAll(sent, graph::degree);
    meter.round(sent, blocks.getFirst().length);
    return new BlockExchange(graph, transport).run(blocks, what, deadline, meter);
  }

  private MessageGather gathered(Messages messages) {
    int[] present = present();
    int[] sent = new int[nodes()];
    for (int node : present) {
      sent[node] = present.length - 1;
    }
    return gathered(messages, sent);
  }

  private MessageGather gathered(Messages messages, int[] sent) {
    requireExactChannel("encoded messages, which any noise destroys");
    requireOwn(messages);
    meter.round(sent, messages.messageBytes());
    return gathers.get(messages.codec(), codec -> new MessageGather(codec, transport));
  }

  /**
   * The mean of the decoded rows of all nodes that take part in the present round, the same bits in
   * every process: every node's message goes to each of the others, and each process sums them on
   * the tree of global node numbers. {@link #nonFiniteNode} names the lowest node whose row was not
   * finite.
   *
   * @param messages of the own nodes, encoded
   * @param mean 1 x d, F32
   * @throws IllegalStateException when no node takes part
   * @throws ExchangeException when a message does not come in time
   * @throws dev.kith.compress.MessageException when it is not the message that is expected
   */
  public void average(Messages messages, DeviceMatrix mean) {
    int[] present = requirePresent();
    average(messages, gathered(messages), present, mean);
  }

  /**
   * {@link #average(Messages, DeviceMatrix)} at a server that runs beside the lowest node that
   * takes part: the others send it a message each, and it alone knows the mean until it answers,
   * see {@link #broadcast}. Every process does the server's work, with the same bits, and so gets
   * all messages; the meter counts those to the server.
   *
   * @param messages of the own nodes, encoded
   * @param mean 1 x d, F32
   * @throws IllegalStateException when no node takes part
   * @throws ExchangeException when a message does not come in time
   * @throws dev.kith.compress.MessageException when it is not the message that is expected
   */
  public void collect(Messages messages, DeviceMatrix mean) {
    int[] present = requirePresent();
    int[] sent = new int[nodes()];
    for (int k = 1; k < present.length; k++) {
      sent[present[k]] = 1;
    }
    average(messages, gathered(messages, sent), present, mean);
  }

  /**
   * Counts the answer of the server of {@link #collect}, one message to each of the other nodes
   * that take part. Nothing moves: every process has encoded the same message.
   *
   * @param answer one message
   */
  public void broadcast(Messages answer) {
    if (answer.rows() != 1) {
      throw new IllegalArgumentException(
          "a server answers with one message to all, not with " + answer.rows());
    }
    int[] present = requirePresent();
    int[] sent = new int[nodes()];
    sent[present[0]] = present.length - 1;
    meter.round(sent, answer.messageBytes());
  }

  private void average(Messages messages, MessageGather gather, int[] present, DeviceMatrix mean) {
    Messages all = gather.run(messages, what("the average", messages), deadline, meter, replays);
    lastCheck = Optional.empty();
    lastMessages = all::nonFiniteNode;
    boolean[] there = new boolean[nodes()];
    for (int node : present) {
      there[node] = true;
    }
    gather.mean(all, there, present.length, mean);
  }

  private void requireOwn(Messages messages) {
    if (messages.rows() != localNodes() || messages.node(0) != firstNode()) {
      throw new IllegalArgumentException(
          "the messages are those of "
              + messages.rows()
              + " nodes from "
              + messages.node(0)
              + " on, and this process has "
              + localNodes()
              + " from "
              + firstNode()
              + " on: bind the codec to the rows of this process");
    }
  }

  private String what(String action, Messages messages) {
    return action
        + " in round "
        + round
        + " ("
        + messages.codec().compressor().name()
        + ", channel "
        + messages.codec().sender().channel()
        + ", message "
        + messages.round()
        + ")";
  }

  /**
   * The mean of the rows of all nodes that take part in the present round, the same bits in every
   * process; counted by the meter as part of the algorithm. Its sums travel in the type of x,
   * whatever the message type is.
   *
   * @param x localNodes x d, finite also in the rows of nodes that do not take part
   * @param mean 1 x d
   * @throws IllegalStateException when no node takes part
   */
  public void average(DeviceMatrix x, DeviceMatrix mean) {
    requireExactChannel("sums over all nodes");
    meter.average(present(), x.cols() * x.dtype().bytes());
    observeAverage(x, mean);
  }

  /**
   * The mean over all nodes of rows most of which are 0, because only some nodes have something to
   * say: through a server, or as a token that goes from node to node. Every process comes to the
   * same bits.
   *
   * @param sent how many rows each node sends for it; the meter counts these
   * @param x localNodes x d
   * @param mean 1 x d
   */
  public void average(int[] sent, DeviceMatrix x, DeviceMatrix mean) {
    requireExactChannel("sums over all nodes");
    meter.round(sent, x.cols() * x.dtype().bytes());
    observeAverage(x, mean);
  }

  /** {@link #average} for reports: not counted by the meter. */
  public void observeAverage(DeviceMatrix x, DeviceMatrix mean) {
    checkRows(x);
    int[] present = requirePresent();
    if (present.length == nodes()) {
      averageAll(x, mean);
      return;
    }
    double[] weights = new double[localNodes()];
    Arrays.setAll(weights, r -> schedule.isAlive(round, firstNode() + r) ? 1 : 0);
    try (DeviceMatrix masked = x.like();
        DeviceMatrix mask = x.like(1, x.rows(), DType.F64)) {
      mask.upload(weights);
      Mixing.combine(Expression.outer(1, mask, x), masked);
      averageAll(masked, mean);
    }
    Mixing.combine(Expression.outer((double) nodes() / present.length, mean), mean);
  }

  private void averageAll(DeviceMatrix x, DeviceMatrix mean) {
    average.average(
        x, Optional.of(mean), Optional.empty(), what("the average", x.cols(), x.dtype()));
  }

  private int[] requirePresent() {
    int[] present = present();
    if (present.length == 0) {
      throw new IllegalStateException(
          "no node takes part in round " + round + ": there is nothing to average");
    }
    return present;
  }

  /** The nodes that take part in the present round, ascending. */
  private int[] present() {
    return IntStream.range(0, nodes()).filter(i -> schedule.isAlive(round, i)).toArray();
  }

  /**
   * |x_i - mean|^2 of every own node, the mean taken over all nodes; for reports, not counted by
   * the meter.
   */
  public double[] distances(DeviceMatrix x) {
    checkRows(x);
    try (DeviceMatrix distances = x.like(1, x.rows(), DType.F64)) {
      average.average(
          x,
          Optional.empty(),
          Optional.of(distances),
          what("the consensus distance", x.cols(), x.dtype()));
      return distances.toDoubles();
    }
  }

  /** (1/n) sum_i |x_i - mean|^2 over all nodes; for reports, not counted by the meter. */
  public double consensusDistance(DeviceMatrix x) {
    return mean(distances(x));
  }

  /**
   * One number of every node, in node order; for reports, not counted by the meter.
   *
   * @param localPerNode the numbers of the own nodes
   */
  public double[] gather(double[] localPerNode) {
    if (localPerNode.length != localNodes()) {
      throw new IllegalArgumentException(
          localPerNode.length
              + " numbers are given where this process has "
              + localNodes()
              + " nodes");
    }
    return average.gather(localPerNode, "the numbers of all nodes in round " + round);
  }

  /**
   * A few bytes of every node, in node order, the same in every process; for scalars that are the
   * whole message. Every node that takes part in the present round sends its bytes to each of the
   * others, without a header; those of the other nodes are not sent and are 0 here.
   *
   * @param localPerNode equally many bytes for each of the own nodes
   * @return as many bytes for each of all nodes
   * @throws IllegalStateException when no node takes part
   * @throws ExchangeException when they do not come in time
   */
  public byte[] gather(byte[] localPerNode) {
    requireExactChannel("bytes");
    int size = localPerNode.length / localNodes();
    if (size == 0 || localPerNode.length % localNodes() != 0) {
      throw new IllegalArgumentException(
          localPerNode.length
              + " bytes are given where this process has "
              + localNodes()
              + " nodes: give equally many for each, and at least one");
    }
    int[] present = requirePresent();
    int[] sent = new int[nodes()];
    byte[] mine = new byte[localPerNode.length];
    for (int node : present) {
      sent[node] = present.length - 1;
      int row = node - firstNode();
      if (row >= 0 && row < localNodes()) {
        System.arraycopy(localPerNode, row * size, mine, row * size, size);
      }
    }
    meter.round(sent, size);
    return average.gather(mine, "the bytes of all nodes in round " + round);
  }

  /**
   * The sum over all nodes of one number a node, on the node tree; for reports, not counted by the
   * meter.
   */
  public double sum(double[] localPerNode) {
    return Reduction.tree(gather(localPerNode));
  }

  /** {@link #sum} divided by the number of nodes. */
  public double mean(double[] localPerNode) {
    return sum(localPerNode) / nodes();
  }

  private void checkRows(DeviceMatrix x) {
    if (x.rows() != localNodes()) {
      throw new IllegalArgumentException(
          "the matrix has " + x.rows() + " rows where this process has " + localNodes() + " nodes");
    }
  }

  private void checked(MixingPlan plan, Expression expression, DeviceMatrix y) {
    FiniteCheck check =
        checks.get(y.queue(), queue -> new FiniteCheck(y, firstNode(), localNodes()));
    check.reset(plan);
    lastCheck = Optional.of(check);
    mix(plan, expression, y, check.own());
  }

  private void mix(MixingPlan plan, Expression expression, DeviceMatrix y, DeviceMatrix flags) {
    checkRows(y);
    DType carried = carried(expression, y);
    Expression rounded = expression.withMessageType(carried);
    RowMessages rows =
        messages.get(
            new RowMessages.Shape(y.queue(), y.cols(), y.dtype(), carried), RowMessages::new);
    if (!plan.sends().isEmpty()) {
      Expression inner = innerOnly(rounded);
      DeviceMatrix formed = rows.formed(plan, y);
      if (lastCheck.isPresent()) {
        Mixing.mix(plan.selection(), inner, formed, lastCheck.get().sent());
      } else {
        Mixing.mix(plan.selection(), inner, formed);
      }
    }
    Transport.Pending pending =
        rows.begin(plan, y, transport, what("mixing", y.cols(), carried), deadline, meter);
    try {
      if (plan.interiorRows() > 0) {
        Mixing.mix(plan.interior(), rounded, y, flags);
      }
    } catch (RuntimeException e) {
      awaitAfter(e, pending);
      throw e;
    }
    pending.await();
    if (plan.boundaryRows() > 0) {
      DeviceMatrix halo = rows.halo(plan, y);
      lastCheck.ifPresent(check -> check.received(halo));
      Mixing.mix(plan.boundary(), rounded.withHalo(halo), y, flags);
    }
  }

  /**
   * The peers hold the rows that were sent: they must be done with them before a failure goes on.
   */
  private static void awaitAfter(RuntimeException failure, Transport.Pending pending) {
    try {
      pending.await();
    } catch (RuntimeException e) {
      failure.addSuppressed(e);
    }
  }

  private DType carried(Expression expression, DeviceMatrix y) {
    return expression.messageType().or(() -> messageType).orElse(y.dtype());
  }

  /** The message alone, without the terms outside the mixing matrix. */
  private static Expression innerOnly(Expression expression) {
    List<Term> terms = expression.innerTerms();
    Expression inner = start(terms.getFirst());
    for (Term term : terms.subList(1, terms.size())) {
      inner =
          term.rowCoefficients().isPresent()
              ? inner.plusInner(term.coefficient(), term.rowCoefficients().get(), term.matrix())
              : inner.plusInner(term.coefficient(), term.matrix());
    }
    if (expression.noise().isPresent()) {
      inner = inner.withNoise(expression.noise().get());
    }
    return inner.withMessageType(expression.messageType().orElseThrow());
  }

  private static Expression start(Term term) {
    return term.rowCoefficients().isPresent()
        ? Expression.inner(term.coefficient(), term.rowCoefficients().get(), term.matrix())
        : Expression.inner(term.coefficient(), term.matrix());
  }

  private MixingPlan plan(MixingMatrix w, DeviceMatrix y) {
    return plan(w, y, MixingPlan.Form.ANY);
  }

  private MixingPlan plan(MixingMatrix w, DeviceMatrix y, MixingPlan.Form form) {
    requireNodes(w);
    return plans.get(
        new PlanKey(w, y.device(), form),
        key -> new MixingPlan(w, transport.membership(), transport.process(), y.queue(), form));
  }

  private void requireNodes(MixingMatrix w) {
    if (w.nodes() != nodes()) {
      throw new IllegalArgumentException(
          "the mixing matrix has " + w.nodes() + " nodes and the network " + nodes());
    }
  }

  private String what(String action, long cols, DType dtype) {
    return action + " in round " + round + " (rows of " + cols + " " + dtype + ")";
  }

  /**
   * Releases what was worked out for the matrices, and the transport where the network made it;
   * idempotent.
   */
  @Override
  public void close() {
    exchanges.close();
    gathers.close();
    plans.close();
    messages.close();
    checks.close();
    links.close();
    average.close();
    lastCheck = Optional.empty();
    lastMessages = OptionalInt::empty;
    if (ownsTransport) {
      transport.close();
    }
  }

  /** How a network exchanges. */
  public static final class Builder {
    private final MixingSchedule schedule;
    private Optional<Transport> transport = Optional.empty();
    private Optional<DType> messageType = Optional.empty();
    private Duration deadline = Duration.ofSeconds(60);
    private int plans = 64;
    private Optional<ChannelNoise> channel = Optional.empty();

    private Builder(MixingSchedule schedule) {
      this.schedule = Objects.requireNonNull(schedule, "schedule");
    }

    /**
     * How this process reaches the others; it stays the caller's to close. Default: a single
     * process.
     */
    public Builder transport(Transport transport) {
      this.transport = Optional.of(transport);
      return this;
    }

    /** The type in which rows travel, not wider than the state. Default: the type of the state. */
    public Builder messageType(DType type) {
      this.messageType = Optional.of(type);
      return this;
    }

    /**
     * How long one wait for one peer may last. Default: 60 s, well above the pauses of a busy
     * machine.
     */
    public Builder deadline(Duration deadline) {
      if (deadline.isNegative() || deadline.isZero()) {
        throw new IllegalArgumentException("a deadline of " + deadline + " is not positive");
      }
      this.deadline = deadline;
      return this;
    }

    /**
     * Disturbs every row that travels between two nodes in a mixing, into F32 or F64. Default: rows
     * arrive as they were sent.
     */
    public Builder channelNoise(ChannelNoise noise) {
      this.channel = Optional.of(noise);
      return this;
    }

    /**
     * For how many mixing matrices the plans are kept. Default: 64, more than the period of every
     * named schedule below a million nodes.
     */
    public Builder plans(int plans) {
      if (plans < 1) {
        throw new IllegalArgumentException("at least one plan has to be kept, not " + plans);
      }
      this.plans = plans;
      return this;
    }

    /**
     * @throws IllegalArgumentException when schedule and transport have different numbers of nodes
     */
    public Network build() {
      return new Network(this);
    }
  }
}
