package dev.kith.internal;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;

/** A slower device than the one wanted was taken, as flight recordings show it. */
@Name("dev.kith.Fallback")
@Label("Kith fallback")
@Category("Kith")
@Description("A device was wanted and could not be used, and another one took its place")
@StackTrace(false)
public final class FallbackEvent extends Event {
  @Label("Wanted")
  String wanted;

  @Label("Taken")
  String taken;

  @Label("Reason")
  String reason;

  private FallbackEvent() {}

  /**
   * Records a fallback.
   *
   * @param wanted the device that could not be used
   * @param taken the device in its place
   * @param reason why
   */
  public static void commit(String wanted, String taken, String reason) {
    FallbackEvent event = new FallbackEvent();
    event.wanted = wanted;
    event.taken = taken;
    event.reason = reason;
    event.commit();
  }
}
