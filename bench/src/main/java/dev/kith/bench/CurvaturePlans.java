package dev.kith.bench;

import dev.kith.bench.KithKernels.KithTask;
import dev.kith.bench.KithKernels.Plan;
import dev.kith.bench.KithKernels.Streams;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Curvature;
import dev.kith.kernel.CurvatureRule;
import dev.kith.kernel.CurvatureStep;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.StepOptions;
import dev.kith.random.Stream;
import dev.kith.solver.LbfgsMemory;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.DoubleStream;

/** Workloads of the family {@code curvature}. */
final class CurvaturePlans {
  /** Of {@link Operation#ADAHESSIAN}, as the authors' code has it. */
  static final float ADAHESSIAN_EPSILON = 1e-4f;

  /** rho times the batch size of {@link Operation#SOPHIA}. */
  static final float SOPHIA_SCALE = 4;

  static final float SOPHIA_EPSILON = 1e-3f;

  /** Of {@link Operation#OASIS}. */
  static final float ALPHA = 1e-3f;

  /** Of {@link Operation#LBFGS_M10}. */
  private static final int PAIRS = 10;

  private CurvaturePlans() {}

  static Plan adaHessian(KithTask task) {
    return step(
        task,
        new CurvatureRule.AdaHessian(
            Workload.STEP_SIZE, Workload.BETA1, Workload.BETA2, ADAHESSIAN_EPSILON));
  }

  static Plan sophia(KithTask task) {
    return step(
        task,
        new CurvatureRule.SophiaG(
            Workload.STEP_SIZE, Workload.BETA1, SOPHIA_SCALE, 1, SOPHIA_EPSILON));
  }

  private static Plan step(KithTask task, CurvatureRule rule) {
    DeviceMatrix x = task.x();
    DeviceMatrix g = task.filled(TestData.GRADIENT, DType.F32);
    DeviceMatrix h = task.filled(TestData.TRACKER, DType.F32);
    CurvatureStep step = task.keep(new CurvatureStep(rule, StepOptions.none(), x));
    List<DeviceMatrix> updated = new ArrayList<>(List.of(x));
    updated.addAll(step.state());
    List<DeviceMatrix> reads = new ArrayList<>(updated);
    reads.addAll(List.of(g, h));
    return new Plan(() -> step.apply(x, g, h), x, reads, updated);
  }

  static Plan oasis(KithTask task) {
    int rows = task.workload().rows();
    DeviceMatrix x = task.x();
    DeviceMatrix before = task.zeros(DType.F32);
    DeviceMatrix g = task.filled(TestData.GRADIENT, DType.F32);
    DeviceMatrix gBefore = task.filled(TestData.OLD_GRADIENT, DType.F32);
    DeviceMatrix hz = task.filled(TestData.TRACKER, DType.F32);
    DeviceMatrix d = task.zeros(DType.F32);
    DeviceMatrix norms = task.keep(x.like(2, rows, DType.F64));
    DeviceMatrix eta = each(task, Workload.STEP_SIZE);
    NoiseField probe =
        NoiseField.shared(
            NoiseField.Distribution.RADEMACHER, Stream.PERTURBATION, Drawing.SEED, 0, 0, rows);
    return new Plan(
        () -> {
          Curvature.oasisStatistics(
              probe, Workload.BETA1, ALPHA, hz, d, x, before, g, gBefore, norms);
          Curvature.oasisStep(ALPHA, Curvature.Floor.MAXIMUM, eta, d, g, x, before);
        },
        x,
        List.of(
            new Streams(List.of(hz, d, x, before, g, gBefore), List.of(d)),
            new Streams(List.of(x, d, g), List.of(x, before))));
  }

  /** An iteration of conjugate gradient but for the product. */
  static Plan conjugate(KithTask task) {
    DeviceMatrix x = task.x();
    DeviceMatrix r = task.filled(TestData.GRADIENT, DType.F32);
    DeviceMatrix w = task.filled(TestData.TRACKER, DType.F32);
    DeviceMatrix p = task.zeros(DType.F32);
    DeviceMatrix s = task.zeros(DType.F32);
    DeviceMatrix sums = task.keep(x.like(2, task.workload().rows(), DType.F64));
    DeviceMatrix alpha = each(task, Workload.STEP_SIZE);
    DeviceMatrix beta = each(task, Workload.BETA1);
    return new Plan(
        () -> {
          Curvature.dots(r, w, sums);
          Curvature.conjugateUpdate(alpha, beta, r, w, p, s, x);
        },
        x,
        List.of(
            new Streams(List.of(r, w), List.of()),
            new Streams(List.of(r, w, p, s, x), List.of(r, p, s, x))));
  }

  /**
   * L-BFGS on a parabola along the gradient: points and gradients swap their places in each run, so
   * that every pair has the same curvature and every other direction the same bits.
   */
  static Plan lbfgs(KithTask task) {
    DeviceMatrix gradient = task.filled(TestData.GRADIENT, DType.F32);
    DeviceMatrix opposite = task.zeros(DType.F32);
    DeviceMatrix here = task.x();
    DeviceMatrix there = task.zeros(DType.F32);
    Mixing.combine(Expression.outer(-1, gradient), opposite);
    Mixing.combine(Expression.outer(here).plusOuter(-1, gradient), there);
    DeviceMatrix direction = task.zeros(DType.F32);
    DeviceMatrix back = task.zeros(DType.F32);
    LbfgsMemory memory = task.keep(new LbfgsMemory(PAIRS, here));
    memory.start(gradient);
    int[] runs = {0};
    Runnable work =
        () -> {
          boolean returning = runs[0]++ % 2 == 1;
          memory.advance(
              returning ? here : there, returning ? there : here, returning ? gradient : opposite);
          memory.direction(returning ? direction : back);
        };
    for (int k = 0; k < 2 * PAIRS; k++) {
      work.run();
    }
    List<DeviceMatrix> all = new ArrayList<>();
    for (int k = 0; k < 2 * PAIRS + 1; k++) {
      all.add(task.keep(memory.rows().row(k)));
    }
    // The twin leaves what the memory holds as it is, and takes at most eight streams at once.
    DeviceMatrix step = task.zeros(DType.F32);
    DeviceMatrix change = task.zeros(DType.F32);
    DeviceMatrix newest = task.zeros(DType.F32);
    return new Plan(
        work,
        direction,
        List.of(
            new Streams(List.of(gradient, opposite), List.of(change)),
            new Streams(List.of(here, there), List.of(step)),
            new Streams(List.of(gradient), List.of(newest)),
            new Streams(all.subList(0, 7), List.of()),
            new Streams(all.subList(7, 14), List.of()),
            new Streams(all.subList(14, 21), List.of()),
            new Streams(all.subList(0, 7), List.of()),
            new Streams(all.subList(7, 14), List.of()),
            new Streams(all.subList(14, 21), List.of(direction))));
  }

  private static DeviceMatrix each(KithTask task, double value) {
    int rows = task.workload().rows();
    DeviceMatrix row = task.keep(task.x().like(1, rows, DType.F64));
    row.upload(DoubleStream.generate(() -> value).limit(rows).toArray());
    return row;
  }
}
