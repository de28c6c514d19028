package dev.kith.graph;

/** One schedule, replaced by another one in a window of rounds. */
record WindowSchedule(MixingSchedule base, long begin, long end, MixingSchedule window)
    implements MixingSchedule {
  WindowSchedule {
    if (begin < 0 || end <= begin) {
      throw new IllegalArgumentException(
          "the window from round " + begin + " to " + end + " has no rounds");
    }
    if (window.nodes() != base.nodes()) {
      throw new IllegalArgumentException(
          "the window has "
              + window.nodes()
              + " nodes, but the schedule around it has "
              + base.nodes());
    }
  }

  private MixingSchedule inForce(long round) {
    return round >= begin && round < end ? window : base;
  }

  @Override
  public int nodes() {
    return base.nodes();
  }

  @Override
  public MixingMatrix at(long round) {
    return inForce(round).at(round);
  }

  @Override
  public long period() {
    return 0;
  }

  @Override
  public boolean isAlive(long round, int node) {
    return inForce(round).isAlive(round, node);
  }
}
