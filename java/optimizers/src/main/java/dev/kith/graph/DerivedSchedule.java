package dev.kith.graph;

import java.util.function.UnaryOperator;

/** Each matrix of a schedule, changed by a function; the last result is kept. */
final class DerivedSchedule implements MixingSchedule {
  private record Result(MixingMatrix from, MixingMatrix to) {}

  private final MixingSchedule base;
  private final long period;
  private final UnaryOperator<MixingMatrix> change;
  private volatile Result last;

  DerivedSchedule(MixingSchedule base, long period, UnaryOperator<MixingMatrix> change) {
    this.base = base;
    this.period = period;
    this.change = change;
  }

  @Override
  public int nodes() {
    return base.nodes();
  }

  @Override
  @SuppressWarnings("ReferenceEquality") // the same object needs no second computation
  public MixingMatrix at(long round) {
    MixingMatrix from = base.at(round);
    Result found = last;
    if (found == null || found.from != from) {
      found = new Result(from, change.apply(from));
      last = found;
    }
    return found.to;
  }

  @Override
  public long period() {
    return period;
  }

  @Override
  public boolean isAlive(long round, int node) {
    return base.isAlive(round, node);
  }
}
