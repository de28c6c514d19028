package dev.kith.internal;

import jdk.jfr.Category;
import jdk.jfr.DataAmount;
import jdk.jfr.Description;
import jdk.jfr.Enabled;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import jdk.jfr.Timespan;

/** One operation on a queue, as flight recordings show it. Off by default. */
@Name("dev.kith.Operation")
@Label("Kith operation")
@Category("Kith")
@Description(
    "A call of a kernel: the time until it returned, which on an asynchronous device is before it is done")
@Enabled(false)
@StackTrace(false)
final class OperationEvent extends Event {
  @Label("Name")
  String name;

  @Label("Device")
  String device;

  @Label("Bytes")
  @Description("Bytes of all matrices that took part")
  @DataAmount
  long bytes;

  @Label("Nanoseconds")
  @Timespan(Timespan.NANOSECONDS)
  long nanos;

  /**
   * Whether a recording wants it. The object does not escape, so that asking costs no allocation.
   */
  static boolean wanted() {
    return new OperationEvent().isEnabled();
  }
}
