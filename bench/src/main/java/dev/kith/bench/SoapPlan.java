package dev.kith.bench;

import dev.kith.bench.KithKernels.KithTask;
import dev.kith.bench.KithKernels.Plan;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.optimizer.LocalRule;
import dev.kith.optimizer.Soap;
import dev.kith.problem.Problem;
import java.util.List;

/**
 * {@link Operation#SOAP}: one square matrix a row, whose gradients are diagonal. Then its bases are
 * permutations of the coordinates and its steps those of Adam, which is known; products,
 * factorizations and sorting cost what they always do.
 */
final class SoapPlan {
  /** Steps in a run: a period, with one refresh. */
  static final int STEPS = 10;

  private static final float STEP_SIZE = 3e-3f;
  private static final float WEIGHT_DECAY = 0.01f;

  private SoapPlan() {}

  static Plan period(KithTask task) {
    Workload w = task.workload();
    DeviceMatrix x = task.x();
    DeviceMatrix g = task.zeros(x.dtype());
    int side = side(w);
    for (int r = 0; r < w.rows(); r++) {
      for (int i = 0; i < side; i++) {
        g.set(r, (long) i * (side + 1), gradient(r, i));
      }
    }
    Layout layout = Layout.builder().tensor("w", "weight", side, side).build();
    LocalRule.State state = task.keep(Soap.withDefaults().start(new Shape(layout, w.rows()), x));
    return new Plan(
        () -> {
          for (int k = 0; k < STEPS; k++) {
            state.apply(x, g, x, 1, k);
          }
        },
        x,
        List.of(x, g),
        List.of(x));
  }

  static int side(Workload w) {
    int side = (int) Math.round(Math.sqrt((double) w.cols()));
    if ((long) side * side != w.cols()) {
      throw new IllegalArgumentException(w.cols() + " numbers are no square matrix");
    }
    return side;
  }

  /** Distinct sizes, both signs. */
  static float gradient(int row, int i) {
    return (i % 2 == 0 ? 1 : -1) * (1 + ((i * 37 + row) % 251) / 256f);
  }

  /** The element of the result after the first run, whose first step moves nothing. */
  static double at(Workload w, int row, long col, double start) {
    int side = side(w);
    double step = col % (side + 1) == 0 ? Math.signum(gradient(row, (int) (col / (side + 1)))) : 0;
    double x = start;
    for (int k = 1; k < STEPS; k++) {
      x = (1 - STEP_SIZE * WEIGHT_DECAY) * x - STEP_SIZE * step;
    }
    return x;
  }

  /** What a rule asks of a problem that is only a shape. */
  private record Shape(Layout layout, int nodes) implements Problem {
    @Override
    public int firstNode() {
      return 0;
    }

    @Override
    public int localNodes() {
      return nodes;
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      throw new UnsupportedOperationException("the gradients of the benchmark are given");
    }

    @Override
    public void close() {}
  }
}
