package dev.kith.network;

import dev.kith.compress.Messages;
import dev.kith.device.DeviceMatrix;
import java.util.Optional;

/**
 * Messages that have been exchanged with the neighbours and checked, and not yet used: {@link
 * #accumulate} cannot fail for a peer's fault any more. Valid until the next exchange of messages
 * of the same codec.
 */
public final class MessageMixing {
  private final MixingPlan plan;
  private final Messages messages;
  private final Messages halo;
  private final int localNodes;

  MessageMixing(MixingPlan plan, Messages messages, Messages halo, int localNodes) {
    this.plan = plan;
    this.messages = messages;
    this.halo = halo;
    this.localNodes = localNodes;
  }

  /**
   * {@code y_i = [y_i +] sum_j w_ij C(x_j)}, in the order of global node numbers.
   *
   * @param add whether the sum is added to y; else y is overwritten
   * @param y localNodes x d, F32
   */
  public void accumulate(boolean add, DeviceMatrix y) {
    if (y.rows() != localNodes) {
      throw new IllegalArgumentException(
          "the matrix has " + y.rows() + " rows where this process has " + localNodes + " nodes");
    }
    if (plan.interiorRows() > 0) {
      messages.codec().accumulate(Optional.of(plan.interior()), messages, Optional.empty(), add, y);
    }
    if (plan.boundaryRows() > 0) {
      messages
          .codec()
          .accumulate(Optional.of(plan.boundary()), messages, Optional.of(halo), add, y);
    }
  }
}
