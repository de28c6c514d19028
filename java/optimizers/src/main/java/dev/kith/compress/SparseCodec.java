package dev.kith.compress;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Draw;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Sparsify;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/** The codec of {@link TopK}, {@link RandomK}, {@link Threshold} and {@link SampledTopK}. */
final class SparseCodec extends Codec {
  /** The columns that a node draws in a round. */
  interface Subsets {
    int[] draw(int node, long round);
  }

  private final Selection selection;
  private final Sparsify.Form form;
  private final long entries;

  /** What is specific to one of them. */
  private sealed interface Selection {
    /** Top-k. */
    record Largest(long k, long block) implements Selection {}

    /** Random-k; {@code common}: all nodes draw what node 0 draws. */
    record Drawn(double scale, boolean common, Subsets subsets) implements Selection {}

    /** Threshold, a row of one number a node. */
    record Above(DeviceMatrix thresholds) implements Selection {}

    /** The same with thresholds that the k-th of as many samples give. */
    record Sampled(DeviceMatrix thresholds, long k, long samples) implements Selection {}
  }

  private SparseCodec(
      Compressor compressor,
      DeviceMatrix like,
      Sender sender,
      Selection selection,
      Sparsify.Form form,
      long entries) {
    super(compressor, like, sender);
    this.selection = selection;
    this.form = form;
    this.entries = entries;
  }

  static Codec of(TopK compressor, DeviceMatrix like, Sender sender) {
    return new SparseCodec(
        compressor,
        like,
        sender,
        new Selection.Largest(compressor.k(like.cols()), compressor.block()),
        Sparsify.Form.TOP,
        compressor.entries(like.cols()));
  }

  static Codec of(RandomK compressor, DeviceMatrix like, Sender sender) {
    int k = Math.toIntExact(compressor.amount().of(like.cols()));
    int columns = Math.toIntExact(like.cols());
    return of(
        compressor,
        like,
        sender,
        (node, round) ->
            new SharedRandom(sender.drawSeed(), Stream.SUBSET, node, round).subset(k, columns));
  }

  /** With columns from elsewhere, for tests with a given sequence of them. */
  static Codec of(RandomK compressor, DeviceMatrix like, Sender sender, Subsets subsets) {
    return new SparseCodec(
        compressor,
        like,
        sender,
        new Selection.Drawn(compressor.scale(like.cols()), compressor.common(), subsets),
        Sparsify.Form.AT,
        compressor.amount().of(like.cols()));
  }

  static Codec of(Threshold compressor, DeviceMatrix like, Sender sender) {
    DeviceMatrix thresholds = like.like(1, like.rows(), DType.F64);
    thresholds.fill(compressor.threshold());
    return new SparseCodec(
        compressor,
        like,
        sender,
        new Selection.Above(thresholds),
        Sparsify.Form.ABOVE,
        compressor.capacity().of(like.cols()));
  }

  static Codec of(SampledTopK compressor, DeviceMatrix like, Sender sender) {
    long columns = like.cols();
    long samples = Math.min(Sparsify.MOST_SAMPLES, compressor.sample().of(columns));
    long k = compressor.amount().of(columns);
    // k s / d, rounded up: with a sample of the whole row exactly k.
    long rank = columns == 0 ? 0 : Math.ceilDiv(Math.multiplyExact(k, samples), columns);
    return new SparseCodec(
        compressor,
        like,
        sender,
        new Selection.Sampled(like.like(1, like.rows(), DType.F64), rank, samples),
        Sparsify.Form.ABOVE,
        compressor.capacity(columns));
  }

  @Override
  Optional<DeviceMatrix> drawn(int nodes) {
    return selection instanceof Selection.Drawn drawn
        ? Optional.of(room(drawn.common() ? 1 : nodes, entries, DType.I32))
        : Optional.empty();
  }

  @Override
  void draw(Messages messages) {
    if (!(selection instanceof Selection.Drawn drawn)) {
      return;
    }
    DeviceMatrix indices = messages.indices().orElseThrow();
    int k = Math.toIntExact(entries);
    int[] all = new int[Math.multiplyExact(k, Math.toIntExact(indices.rows()))];
    for (int r = 0; r < indices.rows(); r++) {
      int node = drawn.common() ? 0 : messages.node(r);
      System.arraycopy(drawn.subsets().draw(node, messages.round()), 0, all, r * k, k);
    }
    indices.upload(all);
  }

  @Override
  void encodeRows(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      Messages messages) {
    Optional<DeviceMatrix> flags = Optional.of(messages.flags());
    switch (selection) {
      case Selection.Largest top ->
          Sparsify.top(x, minus, residual, top.k(), top.block(), messages.words(), flags);
      case Selection.Drawn drawn ->
          Sparsify.at(
              x,
              minus,
              residual,
              messages.indices().orElseThrow(),
              drawn.scale(),
              messages.words(),
              flags);
      case Selection.Above above ->
          Sparsify.above(x, minus, residual, above.thresholds(), entries, messages.words(), flags);
      case Selection.Sampled sampled -> {
        if (x.cols() > 0) {
          Sparsify.sampleThresholds(
              x,
              minus,
              residual,
              Draw.ofSample(sender().drawSeed(), messages.round(), sender().firstNode()),
              sampled.k(),
              sampled.samples(),
              sampled.thresholds());
        }
        Sparsify.above(x, minus, residual, sampled.thresholds(), entries, messages.words(), flags);
      }
    }
  }

  @Override
  void accumulateRows(
      Optional<MixingWeights> weights,
      Messages messages,
      Optional<Messages> halo,
      boolean add,
      DeviceMatrix y) {
    Optional<DeviceMatrix> received = halo.map(Messages::words);
    if (selection instanceof Selection.Drawn drawn) {
      Optional<DeviceMatrix> columns =
          drawn.common() ? Optional.empty() : halo.flatMap(Messages::indices);
      Sparsify.accumulateAt(
          weights, messages.indices().orElseThrow(), columns, messages.words(), received, add, y);
    } else {
      Sparsify.accumulate(weights, form, entries, messages.words(), received, add, y);
    }
  }

  @Override
  void checkPayload(MemorySegment payload) {
    try {
      Sparsify.check(like().device(), form, payload, layout().size(), entries);
    } catch (IllegalArgumentException e) {
      throw forged(e);
    }
  }

  @Override
  public void close() {
    if (selection instanceof Selection.Above above) {
      above.thresholds().close();
    } else if (selection instanceof Selection.Sampled sampled) {
      sampled.thresholds().close();
    }
    super.close();
  }
}
