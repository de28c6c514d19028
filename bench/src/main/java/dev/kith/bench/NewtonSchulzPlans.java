package dev.kith.bench;

import dev.kith.bench.KithKernels.KithTask;
import dev.kith.bench.KithKernels.Plan;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.NewtonSchulz;
import dev.kith.kernel.NewtonSchulz.Polynomial;
import dev.kith.kernel.Product;
import dev.kith.kernel.Reduction;
import java.util.List;

/** {@link Operation#NEWTON_SCHULZ} on the matrix of {@link NewtonSchulzReference}. */
final class NewtonSchulzPlans {
  private static final int ITERATIONS = NewtonSchulzReference.ITERATIONS;

  private NewtonSchulzPlans() {}

  static Plan iterate(KithTask task) {
    DeviceMatrix x = model(task);
    DeviceMatrix y = model(task);
    fill(task, x);
    NewtonSchulz schulz =
        task.keep(
            new NewtonSchulz(Polynomial.MUON, ITERATIONS, x.layout().orElseThrow().tensors(), x));
    return new Plan(() -> schulz.apply(x, y), task.keep(y.tensor("x")), List.of(x), List.of(y));
  }

  /** One row that is a model of one tensor. */
  private static DeviceMatrix model(KithTask task) {
    Workload w = task.workload();
    Layout layout = Layout.builder().tensor("x", "weight", w.rows(), w.cols()).build();
    return task.keep(DeviceMatrix.allocate(task.queue(), 1, layout, DType.F32));
  }

  private static void fill(KithTask task, DeviceMatrix x) {
    long cols = task.workload().cols();
    float[] values = new float[(int) x.cols()];
    for (int k = 0; k < values.length; k++) {
      values[k] = NewtonSchulzReference.input((int) (k / cols), k % cols);
    }
    x.upload(values);
  }

  private static DeviceMatrix square(KithTask task, Layout layout) {
    DeviceMatrix row = task.keep(DeviceMatrix.allocate(task.queue(), 1, layout, DType.F32));
    return task.keep(row.tensor("a"));
  }

  /** The time of the iteration with whole products and the passes they need, over this one's. */
  static double whole(Workload w, Paired.Timed kernel, int pairs) throws Exception {
    try (KithTask task = new KithTask(w)) {
      DeviceMatrix row = model(task);
      fill(task, row);
      DeviceMatrix g = task.keep(row.tensor("x"));
      DeviceMatrix x = task.keep(model(task).tensor("x"));
      DeviceMatrix y = task.keep(model(task).tensor("x"));
      Layout square = Layout.builder().tensor("a", "weight", w.rows(), w.rows()).build();
      DeviceMatrix a = square(task, square);
      DeviceMatrix aa = square(task, square);
      Runnable whole =
          () -> {
            double norm = 0;
            for (double part : Reduction.squares(g)) {
              norm += part;
            }
            double scale = 1 / (Math.sqrt(norm) + NewtonSchulz.EPSILON);
            Mixing.combine(Expression.outer(scale, g), x);
            DeviceMatrix from = x;
            DeviceMatrix to = y;
            Polynomial p = Polynomial.MUON;
            for (int i = 0; i < ITERATIONS; i++) {
              Product.multiply(from, false, from, true, a);
              Product.multiply(a, false, a, false, aa);
              Mixing.combine(Expression.outer(p.c(), aa).plusOuter(p.b(), a), aa);
              Product.multiply(aa, false, from, false, to);
              Mixing.combine(Expression.outer(to).plusOuter(p.a(), from), to);
              DeviceMatrix done = from;
              from = to;
              to = done;
            }
            task.queue().sync();
          };
      return Paired.alternate(kernel, Paired.timed(whole), pairs).ratio();
    }
  }
}
