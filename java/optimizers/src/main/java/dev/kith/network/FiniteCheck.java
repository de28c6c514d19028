package dev.kith.network;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Reduction;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Finds the node whose numbers stopped being finite in a mixing. The kernels gather flags while
 * they stream, so a round in which all is well costs no pass; received rows are looked at only
 * after a flag was raised.
 */
final class FiniteCheck implements AutoCloseable {
  private static final int INNER_SUM = 1;
  private static final int RESULT = 2;

  private final int firstNode;
  private final DeviceMatrix own;
  private Optional<DeviceMatrix> sent = Optional.empty();
  private boolean anySent;
  private int[] haloNodes = {};
  private Optional<DeviceMatrix> halo = Optional.empty();

  FiniteCheck(DeviceMatrix like, int firstNode, int localNodes) {
    this.firstNode = firstNode;
    this.own = like.like(1, localNodes, DType.I32);
  }

  /** Forgets the mixing before. */
  void reset(MixingPlan plan) {
    own.fill(0);
    haloNodes = plan.haloNodes();
    halo = Optional.empty();
    int length = Math.max(Math.toIntExact(own.cols()), plan.sentRows().length);
    anySent = plan.sentRows().length > 0;
    if (anySent) {
      if (sent.isEmpty() || sent.get().cols() != length) {
        sent.ifPresent(DeviceMatrix::close);
        sent = Optional.of(own.like(1, length, DType.I32));
      }
      sent.get().fill(0);
    }
  }

  /** Flags of the own rows. */
  DeviceMatrix own() {
    return own;
  }

  /** Flags for forming the rows to be sent. */
  DeviceMatrix sent() {
    return sent.orElseThrow();
  }

  /** Remembers the rows that came in. */
  void received(DeviceMatrix rows) {
    halo = Optional.of(rows);
  }

  /** The lowest node whose inner sum was not finite, else the lowest whose result was not. */
  OptionalInt node() {
    int[] flags = own.toInts();
    if (anySent) {
      int[] more = sent.orElseThrow().toInts();
      for (int j = 0; j < flags.length; j++) {
        flags[j] |= more[j] & INNER_SUM;
      }
    }
    OptionalInt result = first(flags, RESULT);
    OptionalInt inner = first(flags, INNER_SUM);
    if (result.isEmpty() && inner.isEmpty()) {
      return OptionalInt.empty();
    }
    OptionalInt remote = firstReceived();
    if (inner.isPresent() && remote.isPresent()) {
      return OptionalInt.of(Math.min(inner.getAsInt(), remote.getAsInt()));
    }
    return remote.isPresent() ? remote : inner.isPresent() ? inner : result;
  }

  private OptionalInt first(int[] flags, int flag) {
    for (int j = 0; j < flags.length; j++) {
      if ((flags[j] & flag) != 0) {
        return OptionalInt.of(firstNode + j);
      }
    }
    return OptionalInt.empty();
  }

  private OptionalInt firstReceived() {
    if (halo.isEmpty()) {
      return OptionalInt.empty();
    }
    try (DeviceMatrix counts = halo.get().like(1, haloNodes.length, DType.F64)) {
      Reduction.rows(Reduction.Kind.NONFINITE, halo.get(), counts);
      double[] count = counts.toDoubles();
      for (int k = 0; k < count.length; k++) {
        if (count[k] != 0) {
          return OptionalInt.of(haloNodes[k]);
        }
      }
    }
    return OptionalInt.empty();
  }

  @Override
  public void close() {
    own.close();
    sent.ifPresent(DeviceMatrix::close);
  }
}
