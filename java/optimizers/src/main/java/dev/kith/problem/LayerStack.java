package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Product;
import dev.kith.kernel.Reduction;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;

/**
 * Forward and backward through dense layers, for many models at a time: the weights of model b are
 * read and its gradients written where they lie, in row b of the parameters. Keeps the matrices
 * between the layers for the next call.
 */
final class LayerStack implements AutoCloseable {
  /** Elements between the layers that one call may hold: 64 MiB of floats. */
  private static final long MOST_ELEMENTS = 1L << 24;

  /**
   * Where the parameters of model b lie.
   *
   * @param matrix rows of parameters
   * @param first the row of model 0
   * @param stride elements from one model to the next; 0 where all are one
   */
  record Parameters(DeviceMatrix matrix, long first, long stride) {
    static Parameters rows(DeviceMatrix matrix, long first) {
      return new Parameters(matrix, first, matrix.stride());
    }

    static Parameters shared(DeviceMatrix matrix, long row) {
      return new Parameters(matrix, row, 0);
    }

    Batch weight(Layout.Tensor tensor) {
      return Batch.of(
          matrix,
          first * matrix.stride() + tensor.offset(),
          tensor.rows(),
          tensor.cols(),
          tensor.cols(),
          stride);
    }

    Batch bias(Layout.Tensor tensor) {
      return Batch.of(
          matrix,
          first * matrix.stride() + tensor.offset(),
          1,
          tensor.size(),
          tensor.size(),
          stride);
    }
  }

  /** What is applied to a direction. */
  enum Curvature {
    HESSIAN,
    /** Without the second derivatives of the logits by the parameters. */
    GAUSS_NEWTON
  }

  /** Mean loss and number of correct rows of every model. */
  static final class Scores {
    private final double[] losses;
    private final int[] hits;

    private Scores(double[] losses, int[] hits) {
      this.losses = losses;
      this.hits = hits;
    }

    double loss(int model) {
      return losses[model];
    }

    int correct(int model) {
      return hits[model];
    }
  }

  private final Queue queue;
  private final DType dtype;
  private final int[] widths;
  private final Layout layout;
  private final List<Layout.Tensor> weights = new ArrayList<>();
  private final List<Layout.Tensor> biases = new ArrayList<>();
  private final DeviceMatrix[] outputs;
  private final DeviceMatrix[] deltas;
  private final DeviceMatrix[] tangents;
  private final DeviceMatrix[] deltaTangents;

  LayerStack(Queue queue, DType dtype, int features, int[] hidden, int classes) {
    this.queue = queue;
    this.dtype = dtype;
    this.widths = new int[hidden.length + 2];
    widths[0] = features;
    System.arraycopy(hidden, 0, widths, 1, hidden.length);
    widths[widths.length - 1] = classes;
    Layout.Builder builder = Layout.builder();
    for (int l = 0; l < layers(); l++) {
      builder.tensor("layer" + l + ".weight", "weight", widths[l + 1], widths[l]);
      builder.tensor("layer" + l + ".bias", "bias", widths[l + 1]);
    }
    this.layout = builder.build();
    for (int l = 0; l < layers(); l++) {
      weights.add(layout.tensor("layer" + l + ".weight"));
      biases.add(layout.tensor("layer" + l + ".bias"));
    }
    this.outputs = new DeviceMatrix[layers()];
    this.deltas = new DeviceMatrix[layers()];
    this.tangents = new DeviceMatrix[layers()];
    this.deltaTangents = new DeviceMatrix[layers()];
  }

  Layout layout() {
    return layout;
  }

  /** The tensors of every layer. */
  List<KroneckerFactors.Layer> tensors() {
    return IntStream.range(0, layers())
        .mapToObj(l -> new KroneckerFactors.Layer(weights.get(l), biases.get(l)))
        .toList();
  }

  private int layers() {
    return widths.length - 1;
  }

  /** How many of {@code models} with this many rows each go through at a time. */
  int chunk(long rows, int models) {
    long perRow = 0;
    for (int width : widths) {
      perRow += 2L * width;
    }
    return Math.clamp(MOST_ELEMENTS / Math.max(1, rows * perRow), 1, models);
  }

  /** Loss and hits of {@code models} models, each on its batch of {@code rows}. */
  Scores score(int models, Batch rows, DeviceMatrix labels, Parameters x) {
    return scores(models, forward(models, rows, x), labels);
  }

  /**
   * Loss and hits of {@code models} models, all on the same rows. Their first layers are stacked,
   * so that one wide product takes the place of many thin ones.
   */
  Scores scoreTogether(int models, Batch rows, DeviceMatrix labels, Parameters x) {
    Layout.Tensor weight = weights.getFirst();
    long width = (long) models * widths[1];
    try (DeviceMatrix stacked = DeviceMatrix.allocate(queue, 1, models * weight.size(), dtype);
        DeviceMatrix together = DeviceMatrix.allocate(queue, rows.rows(), width, dtype)) {
      for (int b = 0; b < models; b++) {
        try (DeviceMatrix model = x.matrix().row(x.first() + b);
            DeviceMatrix from = model.columns(weight.offset(), weight.offset() + weight.size());
            DeviceMatrix to = stacked.columns(b * weight.size(), (b + 1) * weight.size())) {
          to.copyFrom(from);
        }
      }
      Batch all = Batch.of(stacked, 0, width, widths[0], widths[0], 0);
      Product.multiply(1, 1, rows, false, all, true, 0, Batch.of(together));
      Batch each = Batch.of(together, 0, rows.rows(), widths[1], together.stride(), widths[1]);
      return scores(models, activate(models, each, x), labels);
    }
  }

  private Scores scores(int models, Batch logits, DeviceMatrix labels) {
    try (DeviceMatrix loss = DeviceMatrix.allocate(queue, 1, models, DType.F64);
        DeviceMatrix correct = DeviceMatrix.allocate(queue, 1, models, DType.I32)) {
      Product.softmaxCrossEntropy(
          models, logits, labels, Optional.empty(), Optional.of(loss), Optional.of(correct));
      return new Scores(loss.toDoubles(), correct.toInts());
    }
  }

  /** What the models predict: for every row of every model the probabilities of the classes. */
  double[][] probabilities(int models, Batch rows, Parameters x) {
    int classes = widths[widths.length - 1];
    Batch logits = forward(models, rows, x);
    try (DeviceMatrix zeros = DeviceMatrix.allocate(queue, models, rows.rows(), DType.I32);
        DeviceMatrix softmax = logits.base().rows(0, models * rows.rows())) {
      zeros.fill(0);
      // The gradient is (softmax - [class 0]) / rows.
      Product.softmaxCrossEntropy(
          models, logits, zeros, Optional.of(logits), Optional.empty(), Optional.empty());
      double[] flat = softmax.toDoubles();
      double[][] probabilities = new double[flat.length / classes][classes];
      for (int k = 0; k < flat.length; k++) {
        probabilities[k / classes][k % classes] =
            flat[k] * rows.rows() + (k % classes == 0 ? 1 : 0);
      }
      return probabilities;
    }
  }

  /** Writes the gradients of {@code models} models into the rows of g from {@code firstRow} on. */
  void gradient(
      int models, Batch rows, DeviceMatrix labels, Parameters x, DeviceMatrix g, int firstRow) {
    Batch logits = forward(models, rows, x);
    Product.softmaxCrossEntropy(
        models, logits, labels, Optional.of(logits), Optional.empty(), Optional.empty());
    Parameters gradients = Parameters.rows(g, firstRow);
    Batch delta = logits;
    for (int l = layers() - 1; l >= 0; l--) {
      boolean hidden = l < layers() - 1;
      Batch output = window(outputs[l], models, rows.rows());
      Product.biasActivateBackward(models, output, delta, gradients.bias(biases.get(l)), hidden);
      Batch input = l == 0 ? rows : window(outputs[l - 1], models, rows.rows());
      Product.multiply(models, 1, delta, true, input, false, 0, gradients.weight(weights.get(l)));
      if (l > 0) {
        Batch below = space(deltas, l - 1, models, rows.rows());
        Product.multiply(models, 1, delta, false, x.weight(weights.get(l)), false, 0, below);
        delta = below;
      }
    }
  }

  /** For every layer the second moments of its inputs with a 1, and of the gradients behind it. */
  Layout factorLayout() {
    Layout.Builder builder = Layout.builder();
    for (int l = 0; l < layers(); l++) {
      builder.tensor("layer" + l + ".inputs", "factor", widths[l] + 1L, widths[l] + 1L);
      builder.tensor("layer" + l + ".outputs", "factor", widths[l + 1], widths[l + 1]);
    }
    return builder.build();
  }

  /**
   * Writes the Kronecker factors of {@code models} models into the rows of out from {@code
   * firstRow} on, from what the {@link #gradient} that was taken last has left between the layers.
   */
  void factors(int models, Batch rows, DeviceMatrix out, int firstRow) {
    long count = rows.rows();
    List<Layout.Tensor> tensors = factorLayout().tensors();
    try (DeviceMatrix ones = DeviceMatrix.allocate(queue, 1, count, dtype)) {
      ones.fill(1);
      Batch row = Batch.of(ones, 0, 1, count, count, 0);
      for (int l = 0; l < layers(); l++) {
        Batch input = l == 0 ? rows : window(outputs[l - 1], models, count);
        Batch delta = window(l == layers() - 1 ? outputs[l] : deltas[l], models, count);
        long p = widths[l];
        long a = firstRow * out.stride() + tensors.get(2 * l).offset();
        long g = firstRow * out.stride() + tensors.get(2 * l + 1).offset();
        Batch second = Batch.of(out, a, p, p, p + 1, out.stride());
        Batch below = Batch.of(out, a + p * (p + 1), 1, p, p + 1, out.stride());
        Batch beside = Batch.of(out, a + p, p, 1, p + 1, out.stride());
        Batch corner = Batch.of(out, a + p * (p + 2), 1, 1, 1, out.stride());
        double mean = 1.0 / count;
        Product.multiplySymmetric(models, mean, input, true, 0, Optional.empty(), 0, second);
        Product.multiply(models, mean, row, false, input, false, 0, below);
        Product.multiply(models, mean, input, true, row, true, 0, beside);
        Product.multiply(models, mean, row, false, row, true, 0, corner);
        // The loss has divided the gradients of the examples by their number.
        long q = widths[l + 1];
        Batch outer = Batch.of(out, g, q, q, q, out.stride());
        Product.multiplySymmetric(
            models, (double) count, delta, true, 0, Optional.empty(), 0, outer);
      }
    }
  }

  /**
   * Writes the products of {@code models} models with their directions v into the rows of out from
   * {@code firstRow} on. With R the derivative along v, z = h W^T + b and d the gradient by z:
   *
   * <pre>
   * forward:   Rz = h V^T + Rh W^T + Rb,   Rh' = [h' &gt; 0] Rz
   * last:      Rd = (diag(p) - p p^T) Rz / rows
   * backward:  RW = Rd^T h + d^T Rh,   R(d below) = [h &gt; 0] (Rd W + d V)
   * </pre>
   *
   * <p>The Gauss-Newton matrix leaves out all terms with d.
   */
  void product(
      Curvature kind,
      int models,
      Batch rows,
      DeviceMatrix labels,
      Parameters x,
      Parameters v,
      DeviceMatrix out,
      int firstRow) {
    boolean full = kind == Curvature.HESSIAN && layers() > 1;
    Parameters products = Parameters.rows(out, firstRow);
    Batch logits = forward(models, rows, x);
    Batch deltaTangent = tangent(models, rows, x, v, products);
    Product.softmaxCurvature(models, logits, deltaTangent);
    Batch delta = logits;
    if (full) {
      Product.softmaxCrossEntropy(
          models, logits, labels, Optional.of(logits), Optional.empty(), Optional.empty());
    }
    for (int l = layers() - 1; l >= 0; l--) {
      boolean hidden = l < layers() - 1;
      Batch output = window(outputs[l], models, rows.rows());
      Batch bias = products.bias(biases.get(l));
      if (hidden && full) {
        // For the zeros where ReLU was closed; the sum is written anew below.
        Product.biasActivateBackward(models, output, delta, bias, true);
      }
      Product.biasActivateBackward(models, output, deltaTangent, bias, hidden);
      Batch input = l == 0 ? rows : window(outputs[l - 1], models, rows.rows());
      Batch weight = products.weight(weights.get(l));
      Product.multiply(models, 1, deltaTangent, true, input, false, 0, weight);
      if (l == 0) {
        break;
      }
      Batch below = space(deltaTangents, l - 1, models, rows.rows());
      Product.multiply(models, 1, deltaTangent, false, x.weight(weights.get(l)), false, 0, below);
      if (full) {
        Batch inputTangent = window(tangents[l - 1], models, rows.rows());
        Product.multiply(models, 1, delta, true, inputTangent, false, 1, weight);
        Product.multiply(models, 1, delta, false, v.weight(weights.get(l)), false, 1, below);
        Batch deltaBelow = space(deltas, l - 1, models, rows.rows());
        Product.multiply(models, 1, delta, false, x.weight(weights.get(l)), false, 0, deltaBelow);
        delta = deltaBelow;
      }
      deltaTangent = below;
    }
  }

  /** The derivative of the logits along v; {@code unused} takes sums that nobody reads. */
  private Batch tangent(int models, Batch rows, Parameters x, Parameters v, Parameters unused) {
    Batch below = rows;
    for (int l = 0; l < layers(); l++) {
      Batch input = l == 0 ? rows : window(outputs[l - 1], models, rows.rows());
      Batch z = space(tangents, l, models, rows.rows());
      Product.multiply(models, 1, input, false, v.weight(weights.get(l)), true, 0, z);
      if (l > 0) {
        Product.multiply(models, 1, below, false, x.weight(weights.get(l)), true, 1, z);
      }
      Product.biasActivate(models, z, v.bias(biases.get(l)), false);
      if (l < layers() - 1) {
        Batch output = window(outputs[l], models, rows.rows());
        Product.biasActivateBackward(models, output, z, unused.bias(biases.get(l)), true);
      }
      below = z;
    }
    return below;
  }

  /**
   * Writes into a row of g the sum of the gradients of all {@code inputs}, each shortened to norm
   * {@code clip} where it is longer, over {@code divisor}.
   *
   * <p>The gradient of one example is d_l h_(l-1)^T for the weights and d_l for the bias of layer
   * l, so its square is the sum over l of |d_l|^2 (|h_(l-1)|^2 + 1): no gradient of an example is
   * formed. Every d_l is then scaled by the factor of its example.
   *
   * @param inputs one example a row
   */
  void clippedGradient(
      DeviceMatrix inputs,
      DeviceMatrix labels,
      Parameters x,
      double clip,
      double divisor,
      DeviceMatrix g,
      int row) {
    Batch rows = Batch.of(inputs);
    Batch logits = forward(1, rows, x);
    Product.softmaxCrossEntropy(
        1, logits, labels, Optional.of(logits), Optional.empty(), Optional.empty());
    Parameters gradients = Parameters.rows(g, row);
    Batch[] delta = new Batch[layers()];
    delta[layers() - 1] = logits;
    for (int l = layers() - 1; l > 0; l--) {
      delta[l - 1] = space(deltas, l - 1, 1, rows.rows());
      Product.multiply(1, 1, delta[l], false, x.weight(weights.get(l)), false, 0, delta[l - 1]);
      Batch output = window(outputs[l - 1], 1, rows.rows());
      // For the zeros where ReLU was closed; the sum is written anew below.
      Product.biasActivateBackward(
          1, output, delta[l - 1], gradients.bias(biases.get(l - 1)), true);
    }
    try (DeviceMatrix factors = DeviceMatrix.allocate(queue, 1, rows.rows(), DType.F64)) {
      factors.upload(factors(inputs, delta, clip, divisor));
      for (int l = 0; l < layers(); l++) {
        try (DeviceMatrix d = delta[l].base().rows(0, rows.rows())) {
          Mixing.combine(Expression.outer(1, factors, d), d);
        }
        Product.biasActivateBackward(1, delta[l], delta[l], gradients.bias(biases.get(l)), false);
        Batch input = l == 0 ? rows : window(outputs[l - 1], 1, rows.rows());
        Product.multiply(1, 1, delta[l], true, input, false, 0, gradients.weight(weights.get(l)));
      }
    }
  }

  /** What multiplies the deltas of each example, which the loss has divided by their number. */
  private double[] factors(DeviceMatrix inputs, Batch[] delta, double clip, double divisor) {
    int count = Math.toIntExact(inputs.rows());
    double[] squares = new double[count];
    // Infinity is no bound, for gradients without a finite norm neither.
    for (int l = 0; l < layers() && clip < Double.POSITIVE_INFINITY; l++) {
      try (DeviceMatrix d = delta[l].base().rows(0, count);
          DeviceMatrix h = (l == 0 ? inputs : outputs[l - 1]).rows(0, count)) {
        double[] of = Reduction.squares(d);
        double[] by = Reduction.squares(h);
        for (int e = 0; e < count; e++) {
          squares[e] += of[e] * (by[e] + 1);
        }
      }
    }
    double[] factors = new double[count];
    for (int e = 0; e < count; e++) {
      double norm = count * Math.sqrt(squares[e]);
      // The margin covers what f32 rounds in the norm and the scaled deltas. A gradient without a
      // finite norm must not pass for one that was clipped to nothing.
      double factor = Math.min(1, clip * (1 - 0x1p-18) / norm);
      factors[e] = Double.isInfinite(norm) ? Double.NaN : factor * count / divisor;
    }
    return factors;
  }

  private Batch forward(int models, Batch rows, Parameters x) {
    Batch products = space(outputs, 0, models, rows.rows());
    Product.multiply(models, 1, rows, false, x.weight(weights.getFirst()), true, 0, products);
    return activate(models, products, x);
  }

  /** From the products of the first layer to the logits. */
  private Batch activate(int models, Batch products, Parameters x) {
    Batch h = products;
    for (int l = 0; l < layers(); l++) {
      if (l > 0) {
        Batch next = space(outputs, l, models, h.rows());
        Product.multiply(models, 1, h, false, x.weight(weights.get(l)), true, 0, next);
        h = next;
      }
      Product.biasActivate(models, h, x.bias(biases.get(l)), l < layers() - 1);
    }
    return h;
  }

  /** The matrix behind layer l, large enough for {@code models} times {@code rows}. */
  private Batch space(DeviceMatrix[] kept, int l, int models, long rows) {
    if (kept[l] == null || kept[l].rows() < models * rows) {
      if (kept[l] != null) {
        kept[l].close();
      }
      kept[l] = DeviceMatrix.allocate(queue, models * rows, widths[l + 1], dtype);
    }
    return window(kept[l], models, rows);
  }

  private static Batch window(DeviceMatrix matrix, int models, long rows) {
    if (models * rows > matrix.rows()) {
      throw new AssertionError("the matrix is too small for " + models + " models");
    }
    return Batch.of(matrix, 0, rows, matrix.cols(), matrix.stride(), rows * matrix.stride());
  }

  @Override
  public void close() {
    for (DeviceMatrix[] kept : new DeviceMatrix[][] {outputs, deltas, tangents, deltaTangents}) {
      for (DeviceMatrix matrix : kept) {
        if (matrix != null) {
          matrix.close();
        }
      }
    }
  }
}
