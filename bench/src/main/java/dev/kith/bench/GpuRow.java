package dev.kith.bench;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Graph;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.Product;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.Step;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.kernel.Steps;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BiFunction;
import java.util.function.IntToDoubleFunction;

/**
 * A row of the GPU goal table. M is 10^6, G 10^9.
 *
 * @param name operation, size and dtype; never changes
 * @param goals what is to be reached; the first is the main one
 * @param task lays out the data
 */
record GpuRow(String name, List<Goal> goals, BiFunction<GpuArrays, GpuScale, GpuTask> task) {
  private static final long M = 1_000_000;

  static final List<GpuRow> ALL =
      List.of(
          row("mix-ring-16x64M-f32", (a, s) -> mix(a, s, DType.F32), copy(0.9), mm(), cublas()),
          row("mix-ring-16x64M-bf16", (a, s) -> mix(a, s, DType.BF16), copy(0.9), mm()),
          row("atc-ring-16x64M-f32", GpuRow::atc, copy(0.88)),
          row("dsgt-ring-16x64M-f32", GpuRow::dsgt, copy(0.88)),
          row("extra-ring-16x64M-f32", GpuRow::extra, copy(0.88)),
          row(
              "adamw-1G-f32",
              GpuRow::adamW,
              copy(0.9),
              Goal.faster(1, GpuMeasure.TORCH, "PyTorch's fused AdamW")),
          row("gram-16x64M-f32", (a, s) -> gram(a, 16, s.columns(64 * M)), copy(0.85)),
          row(
              "gram-64x16M-f32",
              (a, s) -> gram(a, 64, s.columns(16 * M)),
              Goal.atLeast(GpuMeasure.FMA, 0.6, "0.6 of the fp32 FMA peak")),
          row(
              "step-1000-tensors",
              GpuRow::tensors,
              Goal.atLeast(GpuMeasure.APART, 5, "5x one launch per tensor")),
          row(
              "topk-25M-1pct-f32",
              (a, s) -> GpuMessages.topK(a, s, false),
              Goal.faster(5, GpuMeasure.TORCH, "torch.topk"),
              copy(0.4)),
          row(
              "topk-ef-25M-1pct-f32",
              (a, s) -> GpuMessages.topK(a, s, true),
              Goal.atLeast(GpuMeasure.APART, 1 / 1.4, "at most 1.4 times top-k alone")),
          row("int8-quantize-25M", GpuMessages::int8Quantize, copy(0.85)),
          row("int8-accumulate-25M", GpuMessages::int8Accumulate, copy(0.85)),
          row(
              "qsgd4-25M",
              GpuMessages::qsgd4,
              Goal.faster(10, GpuMeasure.TORCH, "the same in PyTorch")),
          row("sign-pack-64M", GpuMessages::signPack, copy(0.85)),
          row("sign-majority-16x4M", GpuMessages::signMajority, copy(0.85)),
          row(
              "powersgd-4096-r4",
              GpuMessages::powerSgd,
              Goal.faster(3, GpuMeasure.TORCH, "PyTorch's powerSGD_hook")),
          row(
              "normal-f32-64M",
              GpuNormals::draw,
              Goal.atLeast(GpuMeasure.TWIN, 0.7, "0.7 of the write bandwidth: a twin of one write"),
              Goal.faster(2, GpuMeasure.TORCH, "torch.randn(out=)")),
          row(
              "newton-schulz-1024x4096",
              (a, s) -> GpuNewtonSchulz.iterate(a, s, 1024, 4),
              products()),
          row("newton-schulz-2048", (a, s) -> GpuNewtonSchulz.iterate(a, s, 2048, 1), products()),
          row(
              "launch",
              GpuRow::launch,
              Goal.below(GpuMeasure.MICROS, 6, "under 6 us a call, through Java")),
          row(
              "launch-graph",
              GpuRow::launchGraph,
              Goal.below(GpuMeasure.MICROS, 1, "under 1 us a call inside a graph")));

  private static final int NODES = 16;
  private static final double ETA = 0.05;
  private static final double DECAY = 0.01;
  private static final double EPSILON = 1e-8;

  /** Rounding steps of the longest of these sums, with room for their order. */
  private static final int ROUNDINGS = 16;

  private static GpuRow row(
      String name, BiFunction<GpuArrays, GpuScale, GpuTask> task, Goal... goals) {
    return new GpuRow(name, List.of(goals), task);
  }

  private static Goal copy(double share) {
    return Goal.atLeast(GpuMeasure.COPY, share, share + " of the measured copy bandwidth");
  }

  private static Goal mm() {
    return Goal.faster(1, GpuMeasure.TORCH, "torch.mm(out=)");
  }

  private static Goal products() {
    return Goal.atLeast(
        GpuMeasure.TORCH,
        0.6,
        "0.6 of the rate of bf16 products: torch.mm(out=) on the same sizes");
  }

  private static Goal cublas() {
    return Goal.faster(1, GpuMeasure.CUBLAS, "cuBLAS");
  }

  private static GpuTask mix(GpuArrays a, GpuScale scale, DType dtype) {
    long cols = scale.columns(64 * M);
    DeviceMatrix x = a.filled(TestData.X, NODES, cols, dtype);
    DeviceMatrix y = a.zeros(NODES, cols, dtype);
    MixingWeights w = a.ring(NODES);
    Expression inner = Expression.inner(x);
    GpuTask task =
        GpuTask.streaming(
            () -> Mixing.mix(w, inner, y),
            2L * dtype.bytes() * NODES * cols,
            List.of(new GpuTask.Pass(List.of(x), List.of(y))),
            () -> checkMix(y, c -> r -> data(TestData.X, r, c), c -> r -> 0, unit(dtype)));
    if (dtype != DType.F32) {
      return task;
    }
    DeviceMatrix dense = a.zeros(NODES, NODES, DType.F32);
    float[] weights = new float[NODES * NODES];
    for (int r = 0; r < NODES; r++) {
      for (int k = -1; k <= 1; k++) {
        weights[r * NODES + Math.floorMod(r + k, NODES)] = 1f / 3;
      }
    }
    dense.upload(weights);
    return task.withProduct(
            () ->
                Product.multiply(1, 1, Batch.of(dense), false, Batch.of(x), false, 0, Batch.of(y)))
        .withJCublas(cublas -> cublas.multiply(dense, x, y));
  }

  private static GpuTask atc(GpuArrays a, GpuScale scale) {
    long cols = scale.columns(64 * M);
    DeviceMatrix x = a.filled(TestData.X, NODES, cols, DType.F32);
    DeviceMatrix g = a.filled(TestData.GRADIENT, NODES, cols, DType.F32);
    DeviceMatrix y = a.zeros(NODES, cols, DType.F32);
    MixingWeights w = a.ring(NODES);
    Expression e = Expression.inner(x).plusInner(-ETA, g);
    return GpuTask.streaming(
        () -> Mixing.mix(w, e, y),
        12L * NODES * cols,
        List.of(new GpuTask.Pass(List.of(x, g), List.of(y))),
        () -> checkMix(y, c -> r -> atcInner(TestData.X, r, c), c -> r -> 0));
  }

  private static double atcInner(int stream, int r, long c) {
    return data(stream, r, c) - ETA * data(TestData.GRADIENT, r, c);
  }

  /** Both halves of gradient tracking: X' = W (X - eta Y), Y' = W (Y + G' - G). */
  private static GpuTask dsgt(GpuArrays a, GpuScale scale) {
    long cols = scale.columns(64 * M);
    DeviceMatrix x = a.filled(TestData.X, NODES, cols, DType.F32);
    DeviceMatrix tracker = a.filled(TestData.TRACKER, NODES, cols, DType.F32);
    DeviceMatrix g = a.filled(TestData.GRADIENT, NODES, cols, DType.F32);
    DeviceMatrix old = a.filled(TestData.OLD_GRADIENT, NODES, cols, DType.F32);
    DeviceMatrix first = a.zeros(NODES, cols, DType.F32);
    DeviceMatrix second = a.zeros(NODES, cols, DType.F32);
    MixingWeights w = a.ring(NODES);
    Expression model = Expression.inner(x).plusInner(-ETA, tracker);
    Expression tracking = Expression.inner(tracker).plusInner(g).plusInner(-1, old);
    return GpuTask.streaming(
        () -> {
          Mixing.mix(w, model, first);
          Mixing.mix(w, tracking, second);
        },
        28L * NODES * cols,
        List.of(
            new GpuTask.Pass(List.of(x, tracker), List.of(first)),
            new GpuTask.Pass(List.of(tracker, g, old), List.of(second))),
        () -> {
          checkMix(
              first,
              c -> r -> data(TestData.X, r, c) - ETA * data(TestData.TRACKER, r, c),
              c -> r -> 0);
          checkMix(
              second,
              c ->
                  r ->
                      data(TestData.TRACKER, r, c)
                          + data(TestData.GRADIENT, r, c)
                          - data(TestData.OLD_GRADIENT, r, c),
              c -> r -> 0);
        });
  }

  /** A further step of EXTRA: X'' = (W + I) X' - (W + I) X / 2 - eta (G' - G). */
  private static GpuTask extra(GpuArrays a, GpuScale scale) {
    long cols = scale.columns(64 * M);
    DeviceMatrix x = a.filled(TestData.X, NODES, cols, DType.F32);
    DeviceMatrix before = a.filled(TestData.TRACKER, NODES, cols, DType.F32);
    DeviceMatrix g = a.filled(TestData.GRADIENT, NODES, cols, DType.F32);
    DeviceMatrix old = a.filled(TestData.OLD_GRADIENT, NODES, cols, DType.F32);
    DeviceMatrix y = a.zeros(NODES, cols, DType.F32);
    MixingWeights w = a.ring(NODES);
    Expression e =
        Expression.inner(x)
            .plusInner(-0.5, before)
            .plusOuter(x)
            .plusOuter(-0.5, before)
            .plusOuter(-ETA, g)
            .plusOuter(ETA, old);
    return GpuTask.streaming(
        () -> Mixing.mix(w, e, y),
        20L * NODES * cols,
        List.of(new GpuTask.Pass(List.of(x, before, g, old), List.of(y))),
        () ->
            checkMix(
                y,
                c -> r -> data(TestData.X, r, c) - 0.5 * data(TestData.TRACKER, r, c),
                c ->
                    r ->
                        data(TestData.X, r, c)
                            - 0.5 * data(TestData.TRACKER, r, c)
                            - ETA * data(TestData.GRADIENT, r, c)
                            + ETA * data(TestData.OLD_GRADIENT, r, c)));
  }

  private static GpuTask adamW(GpuArrays a, GpuScale scale) {
    long cols = scale.columns(1000 * M);
    DeviceMatrix x = a.filled(TestData.X, 1, cols, DType.F32);
    DeviceMatrix g = a.filled(TestData.GRADIENT, 1, cols, DType.F32);
    Step step = a.keep(new Step(adam(), StepOptions.decoupledDecay(DECAY), x));
    List<DeviceMatrix> updated = new ArrayList<>(List.of(x));
    updated.addAll(step.state());
    List<DeviceMatrix> reads = new ArrayList<>(updated);
    reads.add(g);
    return GpuTask.streaming(
        () -> step.apply(x, g),
        28L * cols,
        List.of(new GpuTask.Pass(reads, updated)),
        () -> checkAdamW(x, 0));
  }

  private static GpuTask gram(GpuArrays a, int rows, long cols) {
    DeviceMatrix x = a.filled(TestData.X, rows, cols, DType.F32);
    DeviceMatrix out = a.zeros(rows, rows, DType.F64);
    DeviceMatrix theirs = a.zeros(rows, rows, DType.F32);
    return GpuTask.streaming(
            () -> Reduction.gram(x, out),
            4L * rows * cols,
            List.of(new GpuTask.Pass(List.of(x), List.of())),
            () -> {
              checkGram(out, 0, 0, cols);
              checkGram(out, 1, rows - 1, cols);
              checkGram(out, rows - 1, 1, cols);
            })
        // The matrix is symmetric: so many dot products make it.
        .withFmas(rows * (rows + 1) / 2.0 * cols)
        .withJCublas(cublas -> cublas.gram(x, theirs));
  }

  private static GpuTask tensors(GpuArrays a, GpuScale scale) {
    List<DeviceMatrix> xs = new ArrayList<>();
    List<DeviceMatrix> gs = new ArrayList<>();
    List<Step> single = new ArrayList<>();
    long elements = 0;
    for (int k = 0; k < scale.calls(); k++) {
      long size = tensor(k);
      elements += size;
      xs.add(a.filled(TestData.X, 1, size, DType.F32));
      gs.add(a.filled(TestData.GRADIENT, 1, size, DType.F32));
      single.add(a.keep(new Step(adam(), StepOptions.decoupledDecay(DECAY), xs.getLast())));
    }
    Steps steps = a.keep(new Steps(adam(), StepOptions.decoupledDecay(DECAY), xs));
    return GpuTask.streaming(
            () -> steps.apply(xs, gs),
            28 * elements,
            List.of(),
            () -> {
              checkAdamW(xs.getFirst(), 0);
              checkAdamW(xs.getLast(), 0);
            })
        .withApart(
            () -> {
              for (int k = 0; k < single.size(); k++) {
                single.get(k).apply(xs.get(k), gs.get(k));
              }
            });
  }

  /** Sizes from 1K to 64K that follow no order; the same in {@code peers/torch_gpu.py}. */
  static long tensor(int k) {
    return 1024 + k * 40_503L % 64_513;
  }

  private static GpuTask launch(GpuArrays a, GpuScale scale) {
    DeviceMatrix x = a.filled(TestData.X, 1, 64, DType.F32);
    DeviceMatrix y = a.zeros(1, 64, DType.F32);
    Expression half = Expression.inner(0.5, x);
    int calls = scale.calls();
    return calls(
        () -> {
          for (int i = 0; i < calls; i++) {
            Mixing.combine(half, y);
          }
        },
        calls,
        y);
  }

  private static GpuTask launchGraph(GpuArrays a, GpuScale scale) {
    DeviceMatrix x = a.filled(TestData.X, 1, 64, DType.F32);
    DeviceMatrix y = a.zeros(1, 64, DType.F32);
    Expression half = Expression.inner(0.5, x);
    int calls = scale.calls();
    Graph graph =
        a.keep(
            a.queue()
                .capture(
                    () -> {
                      for (int i = 0; i < calls; i++) {
                        Mixing.combine(half, y);
                      }
                    }));
    return calls(graph::launch, calls, y);
  }

  private static GpuTask calls(Runnable work, int calls, DeviceMatrix y) {
    return new GpuTask(
        work,
        calls,
        0,
        0,
        List.of(),
        () -> GpuTask.expect("y(63)", 0.5 * data(TestData.X, 0, 63), y.get(0, 63), 0),
        Optional.empty(),
        Optional.empty(),
        Optional.empty());
  }

  private static StepRule.Adam adam() {
    return new StepRule.Adam(ETA, 0.9, 0.999, EPSILON);
  }

  private static double data(int stream, int r, long c) {
    return GpuArrays.at(stream, r, c);
  }

  /** Half a unit in the last place of 1. */
  private static double unit(DType dtype) {
    return dtype == DType.BF16 ? 0x1p-9 : 0x1p-24;
  }

  /** A number for each row of a column. */
  private interface Column {
    IntToDoubleFunction at(long c);
  }

  /** Looks at all rows of the first, the last and a column between: W inner + outer. */
  private static void checkMix(DeviceMatrix y, Column inner, Column outer) {
    checkMix(y, inner, outer, unit(DType.F32));
  }

  private static void checkMix(DeviceMatrix y, Column inner, Column outer, double unit) {
    int n = NODES;
    for (long c : new long[] {0, y.cols() * 3 / 7, y.cols() - 1}) {
      IntToDoubleFunction z = inner.at(c);
      for (int r = 0; r < n; r++) {
        double expected =
            (z.applyAsDouble((r + n - 1) % n) + z.applyAsDouble(r) + z.applyAsDouble((r + 1) % n))
                    / 3
                + outer.at(c).applyAsDouble(r);
        // No summand exceeds 1.
        GpuTask.expect("y(%d, %d)".formatted(r, c), expected, y.get(r, c), ROUNDINGS * unit);
      }
    }
  }

  /** The first step from zero moments: x (1 - eta lambda) - eta g / (|g| + eps). */
  private static void checkAdamW(DeviceMatrix x, int r) {
    for (long c : new long[] {0, x.cols() * 3 / 7, x.cols() - 1}) {
      double g = data(TestData.GRADIENT, r, c);
      double expected =
          data(TestData.X, r, c) * (1 - ETA * DECAY) - ETA * g / (Math.abs(g) + EPSILON);
      GpuTask.expect("x(%d)".formatted(c), expected, x.get(r, c), ROUNDINGS * 0x1p-24);
    }
  }

  private static void checkGram(DeviceMatrix out, int i, int j, long cols) {
    double sum = 0;
    double size = 0;
    for (int c = 0; c < Math.min(cols, GpuArrays.PERIOD); c++) {
      long times = (cols - c + GpuArrays.PERIOD - 1) / GpuArrays.PERIOD;
      double product = data(TestData.X, i, c) * data(TestData.X, j, c);
      sum += times * product;
      size += times * Math.abs(product);
    }
    // A chunk of 4,096 adds 64 products to each of 64 lanes and folds them in six steps.
    GpuTask.expect("gram(%d, %d)".formatted(i, j), sum, out.get(i, j), 70 * 0x1p-24 * size);
  }
}
