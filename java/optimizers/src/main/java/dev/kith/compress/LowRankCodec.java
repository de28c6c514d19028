package dev.kith.compress;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Code;
import dev.kith.kernel.LowRank;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Quantize;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The codec of {@link PowerSgd}. */
final class LowRankCodec extends Codec {
  private final PowerSgd power;
  private final PowerSgd.Parts parts;
  private final Optional<LowRank> kernels;
  private final long left;
  private final long right;
  private final long factorWords;
  private final Optional<Code> code;
  private DeviceMatrix start;
  private DeviceMatrix startBefore;
  private boolean undoable;

  /** Factors that are not in the words of a message: quantized ones, of own rows and of others. */
  private final Optional<DeviceMatrix> plain;

  private final List<DeviceMatrix> decoded = new ArrayList<>();

  LowRankCodec(PowerSgd compressor, DeviceMatrix like, Sender sender) {
    super(compressor, like, sender);
    this.power = compressor;
    this.parts = compressor.parts(layout());
    this.kernels =
        parts.matrices().isEmpty() ? Optional.empty() : Optional.of(LowRank.of(parts.matrices()));
    this.left = parts.left();
    this.right = parts.right();
    this.factorWords = compressor.factorWords(parts);
    this.code = compressor.factors().map(Quantizer::code);
    this.start = room(rows(), right, DType.F32);
    this.startBefore = room(rows(), right, DType.F32);
    this.plain =
        code.isPresent() ? Optional.of(room(rows(), left + right, DType.F32)) : Optional.empty();
    begin(start);
  }

  /** N(0, 1), the same in every row. */
  private void begin(DeviceMatrix target) {
    SharedRandom random = new SharedRandom(sender().drawSeed(), Stream.NORMAL_F64_JAVA, 0, 0);
    float[] row = new float[Math.toIntExact(right)];
    for (int c = 0; c < row.length; c++) {
      row[c] = (float) random.normal(c);
    }
    for (int r = 0; r < rows(); r++) {
      try (DeviceMatrix one = target.row(r)) {
        one.upload(row);
      }
    }
  }

  @Override
  void encodeRows(
      DeviceMatrix x,
      Optional<DeviceMatrix> minus,
      Optional<DeviceMatrix> residual,
      Messages messages) {
    DeviceMatrix words = messages.words();
    if (kernels.isPresent()) {
      LowRank tensors = kernels.get();
      try (DeviceMatrix factors = factors(words);
          DeviceMatrix p = factors.columns(0, left);
          DeviceMatrix q = factors.columns(left, left + right)) {
        tensors.left(x, minus, residual, start, p, Optional.of(messages.flags()));
        tensors.orthonormaliseLeft(p);
        tensors.right(x, minus, residual, p, q);
        if (power.warm()) {
          startBefore.copyFrom(q);
          DeviceMatrix next = startBefore;
          startBefore = start;
          start = next;
          undoable = true;
        }
        quantize(factors, messages);
        if (residual.isPresent()) {
          tensors.residual(x, minus, residual, p, q, residual.get());
        }
      }
    }
    long at = factorWords;
    for (long[] range : parts.dense()) {
      long width = range[1] - range[0];
      try (Columns xs = new Columns(Optional.of(x), range[0], range[1]);
          Columns ms = new Columns(minus, range[0], range[1]);
          Columns es = new Columns(residual, range[0], range[1]);
          DeviceMatrix target = words.columns(at, at + width)) {
        DenseColumns.encode(xs.present(), ms.view(), es.view(), target, messages.flags());
      }
      at += width;
    }
  }

  /** Where the factors are formed: in the message, or beside it where they are quantized. */
  private DeviceMatrix factors(DeviceMatrix words) {
    if (plain.isPresent()) {
      return plain.get().rows(0, rows());
    }
    try (DeviceMatrix part = words.columns(0, factorWords)) {
      return part.bits(DType.F32);
    }
  }

  /** Writes quantized factors into the message, and what the receivers decode in their place. */
  private void quantize(DeviceMatrix factors, Messages messages) {
    if (code.isEmpty()) {
      return;
    }
    try (DeviceMatrix target = messages.words().columns(0, factorWords)) {
      Quantize.quantize(
          code.get(),
          power.factors().orElseThrow().draw(sender(), messages.round()),
          factors,
          Optional.empty(),
          Optional.empty(),
          target,
          Optional.of(messages.flags()));
      Quantize.accumulate(Optional.empty(), code.get(), target, Optional.empty(), false, factors);
    }
  }

  @Override
  void accumulateRows(
      Optional<MixingWeights> weights,
      Messages messages,
      Optional<Messages> halo,
      boolean add,
      DeviceMatrix y) {
    if (kernels.isPresent()) {
      try (Factors own = new Factors(messages, 0);
          Columns p = own.part(0, left);
          Columns q = own.part(left, left + right)) {
        if (halo.isPresent()) {
          try (Factors received = new Factors(halo.get(), 1);
              Columns haloP = received.part(0, left);
              Columns haloQ = received.part(left, left + right)) {
            accumulateFactors(weights, p, q, haloP.view(), haloQ.view(), add, y);
          }
        } else {
          accumulateFactors(weights, p, q, Optional.empty(), Optional.empty(), add, y);
        }
      }
    }
    long at = factorWords;
    for (long[] range : parts.dense()) {
      long end = at + range[1] - range[0];
      try (Columns own = new Columns(Optional.of(messages.words()), at, end);
          Columns received = new Columns(halo.map(Messages::words), at, end);
          DeviceMatrix target = y.columns(range[0], range[1])) {
        DenseColumns.accumulate(weights, own.present(), received.view(), add, target);
      }
      at = end;
    }
  }

  private void accumulateFactors(
      Optional<MixingWeights> weights,
      Columns p,
      Columns q,
      Optional<DeviceMatrix> haloP,
      Optional<DeviceMatrix> haloQ,
      boolean add,
      DeviceMatrix y) {
    LowRank tensors = kernels.orElseThrow();
    DeviceMatrix ps = p.present();
    DeviceMatrix qs = q.present();
    if (weights.isPresent()) {
      tensors.accumulate(weights.get(), ps, qs, haloP, haloQ, add, y);
    } else {
      tensors.accumulate(ps, qs, add, y);
    }
  }

  /** The factors of messages as floats, decoded where they are quantized. */
  private final class Factors implements AutoCloseable {
    private final DeviceMatrix floats;

    /**
     * @param slot 0 for own rows, 1 for those of others: each keeps a matrix to decode into
     */
    Factors(Messages messages, int slot) {
      try (DeviceMatrix part = messages.words().columns(0, factorWords)) {
        if (code.isEmpty()) {
          floats = part.bits(DType.F32);
        } else {
          floats = decodedRoom(slot, messages.rows()).rows(0, messages.rows());
          Quantize.accumulate(Optional.empty(), code.get(), part, Optional.empty(), false, floats);
        }
      }
    }

    Columns part(long from, long to) {
      return new Columns(Optional.of(floats), from, to);
    }

    @Override
    public void close() {
      floats.close();
    }
  }

  private DeviceMatrix decodedRoom(int slot, long height) {
    while (decoded.size() <= slot) {
      decoded.add(room(0, left + right, DType.F32));
    }
    if (decoded.get(slot).rows() < height) {
      decoded.get(slot).close();
      decoded.set(slot, room(height, left + right, DType.F32));
    }
    return decoded.get(slot);
  }

  @Override
  void checkPayload(MemorySegment payload) {
    if (code.isPresent()) {
      try {
        Quantize.check(
            like().device(), code.get(), left + right, payload.asSlice(0, 4 * factorWords));
      } catch (IllegalArgumentException e) {
        throw forged(e);
      }
    }
    // The other words are numbers, whatever their bits are.
  }

  @Override
  public Map<String, DeviceMatrix> state() {
    return power.warm() ? Map.of("start", start) : Map.of();
  }

  @Override
  public void undo() {
    if (undoable) {
      DeviceMatrix last = start;
      start = startBefore;
      startBefore = last;
      undoable = false;
    }
  }

  @Override
  public void close() {
    start.close();
    startBefore.close();
    plain.ifPresent(DeviceMatrix::close);
    decoded.forEach(DeviceMatrix::close);
    super.close();
  }
}
