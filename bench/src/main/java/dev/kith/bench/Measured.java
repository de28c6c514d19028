package dev.kith.bench;

import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import java.util.List;
import java.util.Map;

/**
 * One line of results, of {@code --json} too.
 *
 * @param device what it ran on
 * @param family family of kernels
 * @param name the row
 * @param size rows x cols
 * @param nsPerOp nanoseconds of one operation
 * @param gbPerSecond bytes that must be moved over time, in 10^9 bytes a second
 * @param twinShare speed as a share of the twin's, null where it was not measured
 * @param memcpyShare rate as a share of memcpy's, null where it was not measured
 * @param peers time of each peer over the time of Kith: above 1 Kith is faster
 * @param goal what is to be reached, null where nothing is
 * @param value what was measured for the goal
 * @param verdict reached, missed or not measured; null without a goal
 * @param goals every goal of the row, with value and verdict
 * @param notes how it was measured: forms of the peers, spread, kind of stores
 */
@JsonPropertyOrder({
  "device",
  "family",
  "name",
  "size",
  "nsPerOp",
  "gbPerSecond",
  "twinShare",
  "memcpyShare",
  "peers",
  "goal",
  "value",
  "verdict"
})
record Measured(
    String device,
    String family,
    String name,
    String size,
    double nsPerOp,
    double gbPerSecond,
    Double twinShare,
    Double memcpyShare,
    Map<String, Double> peers,
    Double goal,
    Double value,
    String verdict,
    List<Goal.Outcome> goals,
    List<String> notes) {}
