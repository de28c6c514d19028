package dev.kith.network;

import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Timespan;

/**
 * JFR event {@code dev.kith.Exchange}: one message that a process waited for. Every transport
 * commits it.
 */
@Name("dev.kith.Exchange")
@Label("Exchange")
@Category("Kith")
@Description("A message between two processes, and how long the receiver waited for it")
@StackTrace(false)
@SuppressWarnings("UnusedVariable") // the recorder reads the fields
public final class ExchangeEvent extends Event {
  @Label("Peer")
  private int peer;

  @Label("Matrix")
  private String matrix = "";

  @Label("Bytes")
  @DataAmount
  private long bytes;

  @Label("Wait")
  @Timespan(Timespan.NANOSECONDS)
  private long wait;

  private ExchangeEvent() {}

  /** Begins to time a message. */
  public static ExchangeEvent started() {
    ExchangeEvent event = new ExchangeEvent();
    event.begin();
    return event;
  }

  /**
   * Ends and commits the event.
   *
   * @param peer the sending process
   * @param matrix the exchange, as given to {@link Transport#begin}
   * @param bytes length of the message
   * @param wait nanoseconds until the message was there
   */
  public void received(int peer, String matrix, long bytes, long wait) {
    end();
    if (shouldCommit()) {
      this.peer = peer;
      this.matrix = matrix;
      this.bytes = bytes;
      this.wait = wait;
      commit();
    }
  }
}
