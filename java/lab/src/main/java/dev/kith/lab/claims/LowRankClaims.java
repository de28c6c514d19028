package dev.kith.lab.claims;

import dev.kith.compress.Codec;
import dev.kith.compress.Messages;
import dev.kith.compress.PowerSgd;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Reduction;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.lang.foreign.Arena;
import java.util.Arrays;

/** Experiments on what low-rank messages weigh. */
final class LowRankClaims {
  private static final long SEED = 1;
  private static final int[] RANKS = {1, 2, 4};

  /** The ratios of the paper's tables, by rank. */
  private static final double[] RESNET_18 = {243, 136, 72};

  private static final double[] LSTM = {310, 203, 120};

  private LowRankClaims() {}

  /** What the messages of one model weighed and lost. */
  private record Weighed(double[] ratios, double loss) {}

  /** Bytes of the messages that PowerSGD makes of gradients of the paper's two models. */
  static Measurement ratios(Setting setting) {
    Weighed resnet = weigh(setting, resnet18(setting.sabotaged()));
    Weighed lstm = weigh(setting, lstm());
    double deviation =
        Math.max(deviation(resnet.ratios(), RESNET_18), deviation(lstm.ratios(), LSTM));
    return Measurement.under(
            ("the second message of each rank 1, 2, 4 with its header, of a gradient of that rank for ResNet-18"
                + " (11173962 numbers) and for the LSTM (28949319 numbers), f32"))
        .with("worstDeviation", deviation)
        .with("worstLoss", Math.max(resnet.loss(), lstm.loss()))
        .with("resnetRank1", resnet.ratios()[0])
        .with("resnetRank2", resnet.ratios()[1])
        .with("resnetRank4", resnet.ratios()[2])
        .with("lstmRank1", lstm.ratios()[0])
        .with("lstmRank2", lstm.ratios()[1])
        .with("lstmRank4", lstm.ratios()[2]);
  }

  private static double deviation(double[] measured, double[] published) {
    double worst = 0;
    for (int k = 0; k < measured.length; k++) {
      worst = Math.max(worst, Math.abs(measured[k] - published[k]));
    }
    return worst;
  }

  /**
   * Encodes a gradient whose matrices have the rank of the message, so that the message has to
   * carry all of it, and counts the bytes that a transport would be given. The message is that of
   * the second round: in the first one the random Q of a matrix may be badly conditioned.
   */
  private static Weighed weigh(Setting setting, Layout layout) {
    double[] ratios = new double[RANKS.length];
    double loss = 0;
    try (DeviceMatrix x = DeviceMatrix.allocate(setting.queue(), 1, layout, DType.F32);
        DeviceMatrix decoded = x.like()) {
      for (int k = 0; k < RANKS.length; k++) {
        x.upload(gradient(layout, RANKS[k]));
        try (Codec codec = PowerSgd.ofRank(RANKS[k]).bind(x, new Codec.Sender(0, SEED, 0));
            Messages messages = codec.messages();
            Arena arena = Arena.ofShared()) {
          codec.encode(x, messages, 0);
          codec.encode(x, messages, 1);
          var wire = arena.allocate(messages.messageBytes(), 64);
          messages.write(new int[] {0}, wire);
          codec.read(wire, 0, 1);
          ratios[k] = 4.0 * layout.size() / wire.byteSize();
          codec.decode(messages, decoded);
        }
        Mixing.combine(Expression.outer(decoded).plusOuter(-1, x), decoded);
        loss = Math.max(loss, Reduction.norms(decoded)[0] / Reduction.norms(x)[0]);
      }
    }
    return new Weighed(ratios, loss);
  }

  /** Every matrix is a sum of {@code rank} products of normal vectors, every vector normal. */
  private static float[] gradient(Layout layout, int rank) {
    float[] values = new float[Math.toIntExact(layout.size())];
    SharedRandom random = new SharedRandom(SEED, Stream.TEST, 0, 0);
    long next = 0;
    for (Layout.Tensor tensor : layout.tensors()) {
      int at = Math.toIntExact(tensor.offset());
      int rows = Math.toIntExact(tensor.rows());
      int cols = Math.toIntExact(tensor.size() / rows);
      int terms = tensor.shape().length == 1 ? 1 : rank;
      for (int k = 0; k < terms; k++) {
        float[] left = new float[rows];
        float[] right = new float[cols];
        for (int i = 0; i < rows; i++) {
          left[i] = tensor.shape().length == 1 ? 1 : (float) random.normal(next++);
        }
        for (int j = 0; j < cols; j++) {
          right[j] = (float) random.normal(next++);
        }
        for (int i = 0; i < rows; i++) {
          for (int j = 0; j < cols; j++) {
            values[at + i * cols + j] += left[i] * right[j];
          }
        }
      }
    }
    return values;
  }

  /**
   * The parameters of ResNet-18 for images of 32 x 32: 21 matrices and 9,610 numbers of batch norms
   * and the last bias.
   *
   * @param kernelsWithOutputs whether the kernel dimensions wrongly join the outputs
   */
  private static Layout resnet18(boolean kernelsWithOutputs) {
    Layout.Builder layout = Layout.builder();
    convolution(layout, "stem", 64, 3, 3, kernelsWithOutputs);
    int inputs = 64;
    for (int stage = 0; stage < 4; stage++) {
      int outputs = 64 << stage;
      for (int block = 0; block < 2; block++) {
        String name = "stage" + stage + ".block" + block;
        convolution(layout, name + ".a", outputs, inputs, 3, kernelsWithOutputs);
        convolution(layout, name + ".b", outputs, outputs, 3, kernelsWithOutputs);
        if (inputs != outputs) {
          convolution(layout, name + ".shortcut", outputs, inputs, 1, kernelsWithOutputs);
        }
        inputs = outputs;
      }
    }
    layout.tensor("classes.weight", "", 10, 512).tensor("classes.bias", "", 10);
    return layout.build();
  }

  /** A convolution and the scale and shift of its batch norm. */
  private static void convolution(
      Layout.Builder layout, String name, int outputs, int inputs, int side, boolean wrongly) {
    long[] shape = {outputs, inputs, side, side};
    if (wrongly) {
      shape = new long[] {(long) outputs * side * side, inputs};
    }
    layout.tensor(name + ".kernel", "", shape);
    layout.tensor(name + ".scale", "", outputs).tensor(name + ".shift", "", outputs);
  }

  /** Three layers of 650 with 28,869 words whose embedding is also the last layer's weights. */
  private static Layout lstm() {
    Layout.Builder layout = Layout.builder().tensor("embedding", "", 28_869, 650);
    for (int layer = 0; layer < 3; layer++) {
      for (String side : Arrays.asList("input", "hidden")) {
        String name = "layer" + layer + "." + side;
        layout.tensor(name + ".weight", "", 2600, 650).tensor(name + ".bias", "", 2600);
      }
    }
    return layout.tensor("words.bias", "", 28_869).build();
  }
}
