package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Classification by layers of {@code h' = act(h A^T + b)} under softmax with cross-entropy, one
 * model per node:
 *
 * <pre>
 * f_i(x) = (1 / |D_i|) sum over the samples of D_i of (log sum_c exp z_c - z_label) + (lambda / 2) |x|^2
 * </pre>
 *
 * <p>A mini-batch takes {@code batch} samples of D_i, drawn uniformly with replacement by (seed,
 * node, round) in stream {@link Stream#BATCH}: an unbiased estimate of the gradient of f_i,
 * whatever the size of D_i. All nodes' batches are gathered at once and go through batched
 * products. A node without data has f_i = (lambda / 2) |x|^2, so that F has the same regulariser
 * wherever the data are: without one its gradient is 0, and it only relays.
 *
 * <p>The parameters of layer l are the tensors {@code layerL.weight} (group "weight", outputs x
 * inputs, as in PyTorch and DJL) and {@code layerL.bias} (group "bias").
 */
public abstract sealed class LayeredClassifier
    implements Problem,
        Value,
        Classifier,
        PerExampleClipping,
        HessianVector,
        GaussNewtonVector,
        SampledLabelGradient,
        KroneckerFactors
    permits SoftmaxRegression, MultilayerPerceptron {
  /** Rows that evaluations take at a time: fixed, so that sums do not depend on the machine. */
  private static final int BLOCK = 1024;

  private final Queue queue;
  private final DType dtype;
  private final int nodes;
  private final int firstNode;
  private final int localNodes;
  private final long seed;
  private final double regularization;
  private final LayerStack stack;
  private final LocalSamples samples;
  private final LocalBatches batches;
  private final Optional<LocalSamples> test;

  LayeredClassifier(ClassifierBuilder<?> builder, int... hidden) {
    this.queue = builder.queue;
    this.dtype = builder.dtype;
    this.nodes = builder.parts.length;
    this.firstNode = builder.firstNode;
    this.localNodes = builder.localNodes < 0 ? nodes : builder.localNodes;
    this.seed = builder.seed;
    this.regularization = builder.regularization;
    if (localNodes < 1 || firstNode + localNodes > nodes) {
      throw new IllegalArgumentException(
          "nodes %d to %d do not lie among %d nodes"
              .formatted(firstNode, firstNode + localNodes - 1, nodes));
    }
    this.stack =
        new LayerStack(queue, dtype, builder.data.features(), hidden, builder.data.classes());
    this.samples =
        LocalSamples.of(queue, dtype, builder.data, builder.parts, firstNode, localNodes);
    this.batches = new LocalBatches(queue, samples, firstNode, builder.batch, builder.seed);
    this.test = builder.test.map(data -> LocalSamples.whole(queue, dtype, data));
  }

  @Override
  public final Layout layout() {
    return stack.layout();
  }

  @Override
  public final int nodes() {
    return nodes;
  }

  @Override
  public final int firstNode() {
    return firstNode;
  }

  @Override
  public final int localNodes() {
    return localNodes;
  }

  /** A start for {@code optimizer} builders: one row, 1 x d, that all nodes begin from. */
  public final DeviceMatrix initial(long initialSeed) {
    DeviceMatrix start = DeviceMatrix.allocate(queue, 1, layout(), dtype);
    start.upload(initialValues(initialSeed, 0));
    return start;
  }

  /**
   * A start of its own for every local node, localNodes x d. Models from different starts do not
   * average well.
   */
  public final DeviceMatrix initialOfEachNode(long initialSeed) {
    DeviceMatrix start = DeviceMatrix.allocate(queue, localNodes, layout(), dtype);
    for (int i = 0; i < localNodes; i++) {
      try (DeviceMatrix row = start.row(i)) {
        row.upload(initialValues(initialSeed, firstNode + i));
      }
    }
    return start;
  }

  /** d numbers to begin from, a pure function of seed and node. */
  abstract double[] initialValues(long initialSeed, int node);

  @Override
  public final void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    checkParameters(x, localNodes);
    checkParameters(g, localNodes);
    batches.drawn(
        round,
        stack::chunk,
        (models, rows, labels, node) ->
            stack.gradient(models, rows, labels, LayerStack.Parameters.rows(x, node), g, node));
    batches.clearEmpty(g);
    regularize(x, g);
  }

  /**
   * {@inheritDoc} Forward over reverse (B. Pearlmutter, "Fast Exact Multiplication by the Hessian",
   * 1994), for the cost of about two gradients. The derivative of ReLU is 1 above zero and 0
   * elsewhere, its second derivative 0.
   */
  @Override
  public final void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    curvature(x, v, out, LayerStack.Curvature.HESSIAN, pass -> batches.all(this::chunk, pass));
  }

  @Override
  public final void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out, long round) {
    curvature(
        x, v, out, LayerStack.Curvature.HESSIAN, pass -> batches.drawn(round, this::chunk, pass));
  }

  /** {@inheritDoc} Without hidden layers it is the Hessian. */
  @Override
  public final void gaussNewtonVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    curvature(x, v, out, LayerStack.Curvature.GAUSS_NEWTON, pass -> batches.all(this::chunk, pass));
  }

  @Override
  public final void gaussNewtonVector(
      DeviceMatrix x, DeviceMatrix v, DeviceMatrix out, long round) {
    curvature(
        x,
        v,
        out,
        LayerStack.Curvature.GAUSS_NEWTON,
        pass -> batches.drawn(round, this::chunk, pass));
  }

  /** {@inheritDoc} It costs a gradient and a forward pass. */
  @Override
  public final void sampledLabelGradient(DeviceMatrix x, DeviceMatrix g, long round) {
    checkParameters(x, localNodes);
    checkParameters(g, localNodes);
    batches.drawn(
        round,
        stack::chunk,
        (models, rows, labels, node) -> {
          LayerStack.Parameters parameters = LayerStack.Parameters.rows(x, node);
          try (DeviceMatrix drawn =
              drawLabels(stack.probabilities(models, rows, parameters), models, node, round)) {
            stack.gradient(models, rows, drawn, parameters, g, node);
          }
        });
    batches.clearEmpty(g);
  }

  @Override
  public final List<Layer> layers() {
    return stack.tensors();
  }

  @Override
  public final Layout factorLayout() {
    return stack.factorLayout();
  }

  /** {@inheritDoc} It costs a gradient, with drawn labels a forward pass more, and the products. */
  @Override
  public final void kroneckerFactors(
      DeviceMatrix x, DeviceMatrix factors, boolean sampled, long round) {
    checkParameters(x, localNodes);
    if (factors.rows() != localNodes || factors.cols() != factorLayout().size()) {
      throw new IllegalArgumentException(
          "the factors are %d x %d and have to be %d x %d"
              .formatted(factors.rows(), factors.cols(), localNodes, factorLayout().size()));
    }
    try (DeviceMatrix unused = x.like()) {
      batches.drawn(
          round,
          stack::chunk,
          (models, rows, labels, node) -> {
            LayerStack.Parameters parameters = LayerStack.Parameters.rows(x, node);
            if (sampled) {
              try (DeviceMatrix drawn =
                  drawLabels(stack.probabilities(models, rows, parameters), models, node, round)) {
                stack.gradient(models, rows, drawn, parameters, unused, node);
              }
            } else {
              stack.gradient(models, rows, labels, parameters, unused, node);
            }
            stack.factors(models, rows, factors, node);
          });
    }
    batches.clearEmpty(factors);
  }

  /** One label for each row of probabilities, rows of a node one after the other. */
  private DeviceMatrix drawLabels(double[][] probabilities, int models, int node, long round) {
    int each = probabilities.length / models;
    int[] labels = new int[probabilities.length];
    for (int i = 0; i < models; i++) {
      SharedRandom random = new SharedRandom(seed, Stream.LABEL, firstNode + node + i, round);
      for (int k = 0; k < each; k++) {
        double[] p = probabilities[i * each + k];
        double left = random.uniform(k);
        int label = 0;
        while (label < p.length - 1 && left >= p[label]) {
          left -= p[label++];
        }
        labels[i * each + k] = label;
      }
    }
    DeviceMatrix matrix = DeviceMatrix.allocate(queue, models, each, DType.I32);
    matrix.upload(labels);
    return matrix;
  }

  /** A product holds twice what a gradient does between the layers. */
  private int chunk(int rows, int models) {
    return stack.chunk(2L * rows, models);
  }

  private void curvature(
      DeviceMatrix x,
      DeviceMatrix v,
      DeviceMatrix out,
      LayerStack.Curvature kind,
      Consumer<LocalBatches.Pass> over) {
    checkParameters(x, localNodes);
    checkParameters(v, localNodes);
    checkParameters(out, localNodes);
    over.accept(
        (models, rows, labels, node) ->
            stack.product(
                kind,
                models,
                rows,
                labels,
                LayerStack.Parameters.rows(x, node),
                LayerStack.Parameters.rows(v, node),
                out,
                node));
    batches.clearEmpty(out);
    regularize(v, out);
  }

  private void regularize(DeviceMatrix x, DeviceMatrix g) {
    if (regularization != 0) {
      Mixing.combine(Expression.outer(g).plusOuter(regularization, x), g);
    }
  }

  @Override
  public final int examples(int row) {
    return samples.count(Objects.checkIndex(row, localNodes));
  }

  @Override
  public final void clippedGradient(
      DeviceMatrix x, DeviceMatrix g, int[][] picked, double clip, double[] divisors) {
    checkParameters(x, localNodes);
    checkParameters(g, localNodes);
    if (!(clip > 0)) {
      throw new IllegalArgumentException(
          "the clip norm is " + clip + ": give a number above 0, or infinity for none");
    }
    if (picked.length != localNodes || divisors.length != localNodes) {
      throw new IllegalArgumentException(
          "examples are picked for %d rows and there are %d divisors; this process has %d nodes"
              .formatted(picked.length, divisors.length, localNodes));
    }
    for (int i = 0; i < localNodes; i++) {
      checkPicked(i, picked[i], divisors[i]);
    }
    for (int i = 0; i < localNodes; i++) {
      if (picked[i].length == 0) {
        try (DeviceMatrix row = g.row(i)) {
          row.fill(0);
        }
      } else {
        clippedRow(x, g, i, picked[i], clip, divisors[i]);
      }
    }
    regularize(x, g);
  }

  private void checkPicked(int node, int[] picked, double divisor) {
    if (!(divisor > 0 && divisor < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "the divisor of row " + node + " is " + divisor + ": give a finite number above 0");
    }
    for (int k = 0; k < picked.length; k++) {
      if (picked[k] < 0
          || picked[k] >= samples.count(node)
          || (k > 0 && picked[k] <= picked[k - 1])) {
        throw new IllegalArgumentException(
            "example %d cannot be picked for row %d: give numbers below %d, each once, ascending"
                .formatted(picked[k], node, samples.count(node)));
      }
    }
  }

  private void clippedRow(
      DeviceMatrix x, DeviceMatrix g, int node, int[] picked, double clip, double divisor) {
    int[] index = new int[picked.length];
    Arrays.setAll(index, k -> samples.start(node) + picked[k]);
    try (DeviceMatrix at = DeviceMatrix.allocate(queue, 1, index.length, DType.I32);
        DeviceMatrix labels = DeviceMatrix.allocate(queue, 1, index.length, DType.I32)) {
      at.upload(index);
      labels.upload(samples.labels(index));
      DeviceMatrix inputs = batches.inputs(index.length);
      Memory.gatherRows(samples.features(), at, inputs);
      stack.clippedGradient(
          inputs, labels, LayerStack.Parameters.rows(x, node), clip, divisor, g, node);
    }
  }

  /**
   * {@inheritDoc}
   *
   * @param x localNodes x d; or one row, which then stands for every node: with the mean model, the
   *     mean over all nodes of {@code out} is F(mean)
   */
  @Override
  public final void values(DeviceMatrix x, DeviceMatrix out) {
    checkParameters(x, x.rows() == 1 ? 1 : localNodes);
    boolean shared = x.rows() == 1 && localNodes > 1;
    double[] values = new double[localNodes];
    for (LocalSamples.Run run : samples.runs()) {
      int chunk = stack.chunk(Math.min(BLOCK, run.count()), run.nodes());
      for (int from = 0; from < run.nodes() && run.count() > 0; from += chunk) {
        int count = Math.min(chunk, run.nodes() - from);
        int node = run.firstNode() + from;
        for (int row = 0; row < run.count(); row += BLOCK) {
          int end = Math.min(row + BLOCK, run.count());
          try (DeviceMatrix labels = run.labels().rows(from, from + count);
              DeviceMatrix block = labels.columns(row, end)) {
            LayerStack.Scores scores =
                stack.score(
                    count,
                    samples.batch(run, from, row, end),
                    block,
                    shared
                        ? LayerStack.Parameters.shared(x, 0)
                        : LayerStack.Parameters.rows(x, node));
            for (int i = 0; i < count; i++) {
              values[node + i] += scores.loss(i) * (end - row) / run.count();
            }
          }
        }
      }
    }
    if (regularization != 0) {
      double[] squares = Reduction.squares(x);
      for (int i = 0; i < localNodes; i++) {
        values[i] += 0.5 * regularization * squares[shared ? 0 : i];
      }
    }
    out.upload(values);
  }

  @Override
  public final Evaluation evaluate(DeviceMatrix x) {
    LocalSamples set =
        test.orElseThrow(
            () -> new IllegalStateException("the problem was made without a test set"));
    checkParameters(x, x.rows());
    int models = Math.toIntExact(x.rows());
    LocalSamples.Run run = set.runs().getFirst();
    int size = run.count();
    double[] accuracy = new double[models];
    double[] loss = new double[models];
    int chunk = stack.chunk(Math.min(BLOCK, size), models);
    for (int first = 0; first < models; first += chunk) {
      int count = Math.min(chunk, models - first);
      for (int row = 0; row < size; row += BLOCK) {
        int end = Math.min(row + BLOCK, size);
        try (DeviceMatrix labels = set.repeatedLabels(row, end, count)) {
          LayerStack.Scores scores =
              stack.scoreTogether(
                  count, set.sharedBatch(row, end), labels, LayerStack.Parameters.rows(x, first));
          for (int i = 0; i < count; i++) {
            loss[first + i] += scores.loss(i) * (end - row) / size;
            accuracy[first + i] += scores.correct(i);
          }
        }
      }
    }
    for (int i = 0; i < models; i++) {
      accuracy[i] /= size;
    }
    return new Evaluation(accuracy, loss);
  }

  private void checkParameters(DeviceMatrix x, long rows) {
    if (x.rows() != rows || x.cols() != layout().size() || x.dtype() != dtype) {
      throw new IllegalArgumentException(
          "the matrix is %d x %d of %s; this problem needs %d x %d of %s"
              .formatted(x.rows(), x.cols(), x.dtype(), rows, layout().size(), dtype));
    }
  }

  @Override
  public final void close() {
    batches.close();
    samples.close();
    test.ifPresent(LocalSamples::close);
    stack.close();
  }
}
