package dev.kith.lab.claims;

import dev.kith.device.Device;
import dev.kith.device.Queue;
import java.util.List;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/** Runs claims on a device and judges them. */
public final class Reproduction {
  private final Device device;
  private final Setting.Scale scale;
  private final boolean sabotage;
  private final Consumer<String> progress;

  /**
   * @param device what the experiments run on
   * @param scale how much work they may take
   * @param sabotage whether each claim is also run with its planted fault
   * @param progress told what is measured next, {@link #measurements} times a claim
   */
  public Reproduction(
      Device device, Setting.Scale scale, boolean sabotage, Consumer<String> progress) {
    this.device = device;
    this.scale = scale;
    this.sabotage = sabotage;
    this.progress = progress;
  }

  /** How often a claim is measured. */
  public static int measurements(boolean sabotage) {
    return sabotage ? 2 : 1;
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
    Boolean sabotageFails = null;
    List<String> caughtBy = List.of();
    if (sabotage) {
      // A rule that fails for the honest run too says nothing about the fault.
      caughtBy = claim.catching(honest, measure(claim, true)).stream().map(Rule::toString).toList();
      sabotageFails = !caughtBy.isEmpty();
    }
    return new Verdict(
        claim.name(),
        claim.paper(),
        claim.published(),
        honest.condition(),
        honest.values(),
        claim.holds(honest) ? "PASS" : "FAIL",
        claim.provisional(),
        sabotageFails,
        caughtBy,
        (System.nanoTime() - start) * 1e-9);
  }

  private Measurement measure(Claim claim, boolean sabotaged) {
    progress.accept(sabotaged ? claim.name() + ", sabotaged" : claim.name());
    try (Queue queue = device.newQueue()) {
      return Experiments.of(claim).run(new Setting(queue, scale, sabotaged));
    }
  }
}
