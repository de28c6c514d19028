package dev.kith.lab.claims;

import dev.kith.device.DeviceMatrix;
import dev.kith.optimizer.NonFiniteException;
import dev.kith.optimizer.Optimizer;
import java.util.function.ToDoubleFunction;

/** Rounds, bytes of all nodes and seconds until a target is met, or NaN for each. */
record Cost(double rounds, double bytes, double seconds) {
  static final Cost NONE = new Cost(Double.NaN, Double.NaN, Double.NaN);

  /** A figure that is as large as this does not come back. */
  static final double DIVERGED = 1e100;

  /**
   * Runs until a figure is below a target, or some rounds are over. The figure is looked at every
   * so many rounds, and not timed. A run that diverges has no cost.
   */
  static Cost until(
      Optimizer optimizer,
      ToDoubleFunction<DeviceMatrix> figure,
      double target,
      int rounds,
      int every) {
    long nanos = 0;
    for (int t = 1; t <= rounds; t++) {
      long begin = System.nanoTime();
      try {
        optimizer.step();
      } catch (NonFiniteException e) {
        return NONE;
      }
      optimizer.parameters().queue().sync();
      nanos += System.nanoTime() - begin;
      if (t % every != 0) {
        continue;
      }
      double now = figure.applyAsDouble(optimizer.parameters());
      if (now < target) {
        return new Cost(t, optimizer.network().meter().bytes(), nanos * 1e-9);
      }
      if (!(now < DIVERGED)) {
        return NONE;
      }
    }
    return NONE;
  }

  /** Adds its figures; a run that did not get there has none. */
  Measurement addTo(Measurement measured, String who) {
    return reached()
        ? measured
            .with(who + "Rounds", rounds)
            .with(who + "Bytes", bytes)
            .with(who + "Seconds", seconds)
        : measured;
  }

  boolean reached() {
    return !Double.isNaN(rounds);
  }

  /** That of fewer rounds, which of one method are fewer bytes too; a target met before none. */
  Cost orBetter(Cost other) {
    return !reached() || other.rounds < rounds ? other : this;
  }
}
