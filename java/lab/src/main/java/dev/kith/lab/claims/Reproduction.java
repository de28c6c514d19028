package dev.kith.lab.claims;

import dev.kith.device.Device;
import dev.kith.device.Queue;
import java.util.List;
import java.util.stream.Collectors;

/** Runs claims on a device and judges them. */
public final class Reproduction {
  private final Device device;
  private final Setting.Scale scale;
  private final boolean sabotage;

  /**
   * @param device what the experiments run on
   * @param scale how much work they may take
   * @param sabotage whether each claim is also run with its planted fault
   */
  public Reproduction(Device device, Setting.Scale scale, boolean sabotage) {
    this.device = device;
    this.scale = scale;
    this.sabotage = sabotage;
  }

  /**
   * The claims with these names, in the order of the table; all of them for an empty list.
   *
   * @throws IllegalArgumentException for a name that is not in the table; the message lists those
   *     that are
   */
  public static List<Claim> select(List<String> names) {
    List<Claim> all = Claim.all();
    List<String> known = all.stream().map(Claim::name).toList();
    for (String name : names) {
      if (!known.contains(name)) {
        throw new IllegalArgumentException(
            "there is no claim '" + name + "': the claims are " + String.join(", ", known));
      }
    }
    return all.stream()
        .filter(claim -> names.isEmpty() || names.contains(claim.name()))
        .collect(Collectors.toList());
  }

  /** Measures one claim. */
  public Verdict judge(Claim claim) {
    long start = System.nanoTime();
    Measurement honest = measure(claim, false);
    boolean holds = claim.holds(honest);
    Boolean sabotageFails = null;
    if (sabotage) {
      sabotageFails = !claim.holds(measure(claim, true));
    }
    return new Verdict(
        claim.name(),
        claim.paper(),
        claim.published(),
        honest.condition(),
        honest.values(),
        holds ? "PASS" : "FAIL",
        claim.provisional(),
        sabotageFails,
        (System.nanoTime() - start) * 1e-9);
  }

  private Measurement measure(Claim claim, boolean sabotaged) {
    try (Queue queue = device.newQueue()) {
      return Experiments.of(claim).run(new Setting(queue, scale, sabotaged));
    }
  }
}
