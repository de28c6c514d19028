package dev.kith.bench;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Factorization;
import dev.kith.kernel.LowRank;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.NodeTree;
import dev.kith.kernel.Product;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.Sparsify;
import dev.kith.kernel.Step;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.lab.Blas;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/** Kith's own operations. */
final class KithKernels implements Implementation {
  /** What {@link Bench} was told to measure, also in the JVMs that JMH starts. */
  static final String DEVICE_PROPERTY = "dev.kith.bench.device";

  /** The device that kernels and their twins run on. */
  static Device device() {
    return Device.named(System.getProperty(DEVICE_PROPERTY, "cpu"));
  }

  KithKernels() {
    // Products go to OpenBLAS as in the command line; the description says whether they do.
    Blas.enable(device());
  }

  @Override
  public String name() {
    return "kith";
  }

  @Override
  public String description() {
    Device device = device();
    String blas = Product.blas(device);
    return "%s, %s, tier %s, %d threads, %s"
        .formatted(
            device.name(),
            device.buildInfo(),
            device.tier(),
            device.threads(),
            blas.isEmpty() ? "products by the plain kernel" : "products by " + blas);
  }

  @Override
  public boolean supports(Workload workload) {
    return true;
  }

  @Override
  public Task prepare(Workload workload) {
    return new KithTask(workload);
  }

  /**
   * {@link Operation#ATC_RING} as one would write it without the fused form: a step of SGD, then a
   * mix.
   */
  static final class Apart implements AutoCloseable {
    private final KithTask fused;
    private final Step step;
    private final MixingWeights weights;
    private final Expression mixed;

    Apart(Workload workload) {
      fused = new KithTask(workload);
      step = new Step(new StepRule.Sgd(Workload.STEP_SIZE), StepOptions.none(), fused.x);
      weights = fused.weights();
      mixed = Expression.inner(fused.x);
    }

    void run() {
      step.apply(fused.x, fused.passes().getFirst().reads().get(1));
      Mixing.mix(weights, mixed, fused.plan.result());
      fused.queue().sync();
    }

    @Override
    public void close() {
      step.close();
      fused.close();
    }
  }

  /** What one pass over memory reads and writes; a matrix in both lists is updated in place. */
  record Streams(List<DeviceMatrix> reads, List<DeviceMatrix> writes) {}

  /** What a workload runs, where its result is, and its passes over memory. */
  record Plan(Runnable work, DeviceMatrix result, List<Streams> passes) {
    Plan(Runnable work, DeviceMatrix result, List<DeviceMatrix> reads, List<DeviceMatrix> writes) {
      this(work, result, List.of(new Streams(reads, writes)));
    }
  }

  /** A workload on the device, on a queue of its own. */
  static final class KithTask implements Task {
    private final Workload w;
    private final Queue queue = device().newQueue();
    private final List<AutoCloseable> open = new ArrayList<>(List.of(queue));
    private final DeviceMatrix x;
    private final Plan plan;
    private Optional<double[]> sizes = Optional.empty();
    private Optional<DeviceMatrix> decoded = Optional.empty();

    KithTask(Workload w) {
      this.w = w;
      x = filled(TestData.X, DType.F32);
      plan =
          switch (w.operation()) {
            case MIX_RING, MIX_ER8, MIX_DENSE, MIX_REGULAR4 -> mix();
            case ATC_RING -> atc();
            case DSGT_RING -> dsgt();
            case CALL -> call();
            case ROWNORM -> norms();
            case CONSENSUS -> consensus();
            case GRAM -> gram();
            case ADAMW, ADAMW_BF16GRAD -> adamW();
            case HEAVY_BALL -> heavyBall();
            case MULTIPLY -> multiply();
            case NEWTON_SCHULZ -> NewtonSchulzPlans.iterate(this);
            case TOPK, TOPK_EF -> topK();
            case POWERSGD_R4 -> powerSgd();
            case INT8_QUANTIZE, QSGD4, SIGN_PACK -> Coding.quantize(this);
            case INT8_ACCUMULATE -> Coding.accumulate(this);
            case SIGN_MAJORITY -> Coding.majority(this);
            case ROUND_INT8_RING -> Coding.round(this);
            case PHILOX, CHACHA20, NORMAL -> Drawing.draw(this);
            case CORN -> Drawing.correlated(this);
            case PAIRWISE_RING -> Drawing.pairwise(this);
            case PERTURB16_GAUSSIAN, PERTURB16_RADEMACHER -> Drawing.perturb(this);
            case ADAHESSIAN -> CurvaturePlans.adaHessian(this);
            case SOPHIA -> CurvaturePlans.sophia(this);
            case OASIS -> CurvaturePlans.oasis(this);
            case CG -> CurvaturePlans.conjugate(this);
            case LBFGS_M10 -> CurvaturePlans.lbfgs(this);
            case SOAP -> SoapPlan.period(this);
            case POLAR -> polar();
            case CONVERT_BF16 -> convert();
            case GATHER -> gather();
          };
      queue.sync();
    }

    private Plan mix() {
      DeviceMatrix y = zeros(DType.F32);
      MixingWeights weights = weights();
      Expression inner = Expression.inner(x);
      return new Plan(() -> Mixing.mix(weights, inner, y), y, List.of(x), List.of(y));
    }

    private Plan polar() {
      DeviceMatrix y = zeros(DType.F32);
      Batch from = tall(x);
      Batch to = tall(y);
      return new Plan(
          () -> Factorization.polar(w.rows(), from, to, Optional.empty(), Optional.empty()),
          y,
          List.of(x),
          List.of(y));
    }

    private static Batch tall(DeviceMatrix m) {
      int cols = PolarReference.COLS;
      return Batch.of(m, 0, m.cols() / cols, cols, cols, m.stride());
    }

    private Plan atc() {
      DeviceMatrix g = filled(TestData.GRADIENT, DType.F32);
      DeviceMatrix y = zeros(DType.F32);
      MixingWeights weights = weights();
      Expression inner = Expression.inner(x).plusInner(-Workload.STEP_SIZE, g);
      return new Plan(() -> Mixing.mix(weights, inner, y), y, List.of(x, g), List.of(y));
    }

    private Plan dsgt() {
      DeviceMatrix tracker = filled(TestData.TRACKER, DType.F32);
      DeviceMatrix g = filled(TestData.GRADIENT, DType.F32);
      DeviceMatrix old = filled(TestData.OLD_GRADIENT, DType.F32);
      // Both results in one matrix: rows 0 to n - 1 are X', the rest is Y'.
      DeviceMatrix both = keep(DeviceMatrix.allocate(queue, 2L * w.rows(), w.cols(), DType.F32));
      DeviceMatrix first = keep(both.rows(0, w.rows()));
      DeviceMatrix second = keep(both.rows(w.rows(), 2L * w.rows()));
      MixingWeights weights = weights();
      Expression model = Expression.inner(x).plusInner(-Workload.STEP_SIZE, tracker);
      Expression tracking = Expression.inner(tracker).plusInner(g).plusInner(-1, old);
      return new Plan(
          () -> {
            Mixing.mix(weights, model, first);
            Mixing.mix(weights, tracking, second);
          },
          both,
          List.of(
              new Streams(List.of(x, tracker), List.of(first)),
              new Streams(List.of(tracker, g, old), List.of(second))));
    }

    private Plan call() {
      DeviceMatrix y = zeros(DType.F32);
      Expression half = Expression.inner(0.5, x);
      return new Plan(() -> Mixing.combine(half, y), y, List.of(x), List.of(y));
    }

    private Plan norms() {
      DeviceMatrix out = keep(DeviceMatrix.allocate(queue, 1, w.rows(), DType.F64));
      return new Plan(
          () -> Reduction.rows(Reduction.Kind.SQUARES, x, out), out, List.of(x), List.of());
    }

    private Plan consensus() {
      DeviceMatrix out = keep(DeviceMatrix.allocate(queue, 1, w.rows(), DType.F64));
      int[] program = NodeTree.program(w.rows());
      return new Plan(
          () ->
              Reduction.nodes(
                  program, x, Optional.empty(), w.rows(), Optional.empty(), Optional.of(out)),
          out,
          List.of(x),
          List.of());
    }

    private Plan gram() {
      DeviceMatrix out = keep(DeviceMatrix.allocate(queue, w.rows(), w.rows(), DType.F64));
      return new Plan(() -> Reduction.gram(x, out), out, List.of(x), List.of());
    }

    private Plan adamW() {
      DType type = w.operation() == Operation.ADAMW_BF16GRAD ? DType.BF16 : DType.F32;
      return step(
          new StepRule.Adam(Workload.STEP_SIZE, Workload.BETA1, Workload.BETA2, Workload.EPSILON),
          StepOptions.decoupledDecay(Workload.WEIGHT_DECAY),
          filled(TestData.GRADIENT, type));
    }

    private Plan heavyBall() {
      return step(
          new StepRule.HeavyBall(Workload.STEP_SIZE, Workload.MOMENTUM),
          StepOptions.none(),
          filled(TestData.GRADIENT, DType.F32));
    }

    private Plan step(StepRule rule, StepOptions options, DeviceMatrix g) {
      Step step = keep(new Step(rule, options, x));
      List<DeviceMatrix> updated = new ArrayList<>(List.of(x));
      updated.addAll(step.state());
      List<DeviceMatrix> reads = new ArrayList<>(updated);
      reads.add(g);
      return new Plan(() -> step.apply(x, g), x, reads, updated);
    }

    private Plan multiply() {
      DeviceMatrix b = filled(TestData.GRADIENT, DType.F32);
      DeviceMatrix c = zeros(DType.F32);
      return new Plan(() -> Product.multiply(x, false, b, false, c), c, List.of(x, b), List.of(c));
    }

    private Plan topK() {
      DeviceMatrix message =
          keep(
              DeviceMatrix.allocate(queue, w.rows(), Sparsify.Form.TOP.words(w.sent()), DType.I32));
      Optional<DeviceMatrix> none = Optional.empty();
      if (w.operation() == Operation.TOPK) {
        return new Plan(
            () -> Sparsify.top(x, none, none, w.sent(), 0, message, none),
            message,
            List.of(x),
            List.of());
      }
      DeviceMatrix residual = zeros(DType.F32);
      Optional<DeviceMatrix> kept = Optional.of(residual);
      return new Plan(
          () -> Sparsify.top(x, none, kept, w.sent(), 0, message, none),
          message,
          List.of(x, residual),
          List.of(residual));
    }

    private Plan powerSgd() {
      int side = PowerSgdReference.side(w);
      LowRank lowRank =
          LowRank.of(List.of(new LowRank.Shape(0, side, side, PowerSgdReference.RANK)));
      DeviceMatrix start = keep(DeviceMatrix.allocate(queue, 1, lowRank.rightSize(), DType.F32));
      float[] numbers = new float[(int) lowRank.rightSize()];
      for (int i = 0; i < numbers.length; i++) {
        numbers[i] = PowerSgdReference.start(side, i / side, i % side);
      }
      start.upload(numbers);
      DeviceMatrix p = keep(DeviceMatrix.allocate(queue, 1, lowRank.leftSize(), DType.F32));
      DeviceMatrix q = keep(DeviceMatrix.allocate(queue, 1, lowRank.rightSize(), DType.F32));
      DeviceMatrix y = zeros(DType.F32);
      Optional<DeviceMatrix> none = Optional.empty();
      Streams read = new Streams(List.of(x), List.of());
      return new Plan(
          () -> {
            lowRank.left(x, none, none, start, p, none);
            lowRank.orthonormaliseLeft(p);
            lowRank.right(x, none, none, p, q);
            lowRank.accumulate(p, q, false, y);
          },
          y,
          List.of(read, read, new Streams(List.of(), List.of(y))));
    }

    private Plan convert() {
      DeviceMatrix y = zeros(DType.BF16);
      return new Plan(() -> Memory.convert(x, y), y, List.of(x), List.of(y));
    }

    private Plan gather() {
      DeviceMatrix y = zeros(DType.F32);
      DeviceMatrix index = keep(DeviceMatrix.allocate(queue, 1, w.rows(), DType.I32));
      index.upload(
          IntStream.range(0, w.rows()).map(i -> Reference.shuffled(i, w.rows())).toArray());
      return new Plan(() -> Memory.gatherRows(x, index, y), y, List.of(x), List.of(y));
    }

    Queue queue() {
      return queue;
    }

    Workload workload() {
      return w;
    }

    DeviceMatrix x() {
      return x;
    }

    DeviceMatrix output() {
      return plan.result();
    }

    /** The passes over memory, in order. */
    List<Streams> passes() {
      return plan.passes();
    }

    /** The work without waiting for it. */
    void enqueue() {
      plan.work().run();
    }

    @Override
    public void run() {
      plan.work().run();
      queue.sync();
    }

    @Override
    public double result(long index) {
      return switch (w.operation()) {
        case ROWNORM -> Math.sqrt(plan.result().get(0, index));
        case CONSENSUS -> Arrays.stream(plan.result().toDoubles()).sum() / w.rows();
        case GRAM -> plan.result().get(index / w.rows(), index % w.rows());
        case TOPK, TOPK_EF -> sizes()[(int) index];
        case INT8_QUANTIZE, QSGD4, SIGN_PACK, SIGN_MAJORITY ->
            decoded().get(index / w.cols(), index % w.cols());
        default -> plan.result().get(index / w.cols(), index % w.cols());
      };
    }

    /** The elements that messages stand for. */
    private DeviceMatrix decoded() {
      if (decoded.isEmpty()) {
        decoded = Optional.of(Coding.decode(this, plan.result()));
      }
      return decoded.get();
    }

    /** What was sent, the largest first; without its sign, since equal sizes are alike. */
    private double[] sizes() {
      if (sizes.isEmpty()) {
        int k = w.sent();
        double[] words = plan.result().toDoubles();
        sizes =
            Optional.of(
                Arrays.stream(words, k, 2 * k)
                    .map(word -> -Math.abs(Float.intBitsToFloat((int) word)))
                    .sorted()
                    .map(size -> -size)
                    .toArray());
      }
      return sizes.get();
    }

    @Override
    public void close() {
      RuntimeException failure = null;
      for (AutoCloseable resource : open.reversed()) {
        try {
          resource.close();
        } catch (Exception e) {
          failure =
              failure == null ? new IllegalStateException("cannot close " + resource, e) : failure;
        }
      }
      if (failure != null) {
        throw failure;
      }
    }

    MixingWeights weights() {
      Weights weights = Weights.of(w);
      return keep(
          w.operation() == Operation.MIX_DENSE || w.operation() == Operation.CORN
              ? MixingWeights.dense(queue, w.rows(), w.rows(), weights.toDense())
              : MixingWeights.sparse(
                  queue,
                  w.rows(),
                  w.rows(),
                  weights.offsets(),
                  weights.columns(),
                  weights.values()));
    }

    DeviceMatrix zeros(DType type) {
      return keep(DeviceMatrix.allocate(queue, w.rows(), w.cols(), type));
    }

    DeviceMatrix filled(int stream, DType type) {
      if (type != DType.F32) {
        DeviceMatrix narrow = zeros(type);
        try (DeviceMatrix wide = DeviceMatrix.allocate(queue, w.rows(), w.cols(), DType.F32)) {
          fill(wide, stream);
          narrow.copyFrom(wide);
          queue.sync();
        }
        return narrow;
      }
      DeviceMatrix matrix = zeros(type);
      fill(matrix, stream);
      return matrix;
    }

    private void fill(DeviceMatrix matrix, int stream) {
      if (queue.device().backend().equals("cpu")) {
        fill(matrix.segment(), matrix.stride(), stream);
        return;
      }
      try (Arena arena = Arena.ofShared()) {
        MemorySegment host = arena.allocate(w.elements() * Float.BYTES, Float.BYTES);
        fill(host, w.cols(), stream);
        matrix.upload(host, w.cols());
        queue.sync();
      }
    }

    private void fill(MemorySegment memory, long stride, int stream) {
      IntStream.range(0, w.rows())
          .parallel()
          .forEach(
              row -> {
                for (long c = 0; c < w.cols(); c++) {
                  memory.setAtIndex(
                      ValueLayout.JAVA_FLOAT,
                      row * stride + c,
                      TestData.at(stream, row * w.cols() + c));
                }
              });
    }

    <T extends AutoCloseable> T keep(T resource) {
      open.add(resource);
      return resource;
    }
  }
}
