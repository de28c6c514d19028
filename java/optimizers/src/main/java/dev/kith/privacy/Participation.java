package dev.kith.privacy;

/**
 * How often one unit takes part in a run of T steps.
 *
 * @param steps T, 1 or more
 * @param most the largest number of steps that one unit takes part in, 1 or more
 * @param separation the least number of steps from one of its participations to the next, 1 or
 *     more; of no meaning when {@code most} is 1
 */
public record Participation(int steps, int most, int separation) {
  /** Checks that the participations fit. */
  public Participation {
    if (steps < 1 || most < 1 || separation < 1) {
      throw new IllegalArgumentException(
          "a participation of at most "
              + most
              + " of "
              + steps
              + " steps, "
              + separation
              + " apart, has no meaning: all three are 1 or more");
    }
    if ((most - 1L) * separation >= steps) {
      throw new IllegalArgumentException(
          most
              + " participations, "
              + separation
              + " steps apart, do not fit into "
              + steps
              + " steps: at most "
              + ((steps - 1) / separation + 1)
              + " do");
    }
  }

  /** Each unit in at most one step. */
  public static Participation once(int steps) {
    return new Participation(steps, 1, 1);
  }
}
