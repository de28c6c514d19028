package dev.kith.network;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Memory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** The rows that a process sends and receives in one mixing, for states of one shape and type. */
final class RowMessages implements AutoCloseable {
  /**
   * @param state type in which rows are formed
   * @param carried type in which they travel
   */
  record Shape(Queue queue, long cols, DType state, DType carried) {}

  private final RowBuffer formed;
  private final RowBuffer sent;
  private final RowBuffer received;

  RowMessages(Shape shape) {
    this.sent = new RowBuffer(shape.carried());
    this.formed = shape.state() == shape.carried() ? sent : new RowBuffer(shape.state());
    this.received = new RowBuffer(shape.carried());
  }

  /** Where the rows to be sent are formed, already rounded to the type in which they travel. */
  DeviceMatrix formed(MixingPlan plan, DeviceMatrix like) {
    return formed.rows(like, plan.sentRows().length);
  }

  /** Sends what was formed and starts to receive. */
  Transport.Pending begin(
      MixingPlan plan,
      DeviceMatrix like,
      Transport transport,
      String what,
      Duration deadline,
      Meter meter) {
    List<Transport.Outgoing> sends = new ArrayList<>();
    if (!plan.sends().isEmpty()) {
      DeviceMatrix rows = sent.rows(like, plan.sentRows().length);
      if (formed != sent) {
        Memory.convert(formed.rows(like, plan.sentRows().length), rows);
      }
      sent.download();
      for (MixingPlan.Block block : plan.sends()) {
        sends.add(new Transport.Outgoing(block.peer(), sent.host(block.first(), block.rows())));
        meter.transported(block.rows() * sent.rowBytes());
      }
    }
    List<Transport.Incoming> receives = new ArrayList<>();
    if (!plan.receives().isEmpty()) {
      received.rows(like, plan.haloNodes().length);
      for (MixingPlan.Block block : plan.receives()) {
        receives.add(
            new Transport.Incoming(block.peer(), received.host(block.first(), block.rows())));
      }
    }
    return transport.begin(sends, receives, what, deadline);
  }

  /** The received rows, once they are there. */
  DeviceMatrix halo(MixingPlan plan, DeviceMatrix like) {
    DeviceMatrix halo = received.rows(like, plan.haloNodes().length);
    received.upload();
    return halo;
  }

  @Override
  public void close() {
    formed.close();
    sent.close();
    received.close();
  }
}
