package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;

/**
 * A way to send a row in fewer bytes: an immutable description, which {@link #bind} makes a {@link
 * Codec} of. It turns a row x of d numbers into a message whose length depends on the description
 * and the layout alone, and a message back into C(x).
 *
 * <p>Every compressor has a name, which {@link #parse} reads and the command line takes:
 *
 * <pre>
 * identity
 * top-k:0.01             top-k:100               top-k:8:block=1024
 * random-k:0.01          random-k:0.01:unscaled  random-k:0.01:common
 * threshold:0.5:capacity=0.01
 * sampled-top-k:0.001   sampled-top-k:0.001:sample=0.01
 * qsgd:4                 qsgd:4:block=row        qsgd:7:max
 * natural   terngrad   sign   scaled-sign   one-bit
 * int8      int8:block=64:stochastic        int4    affine
 * bf16      fp8-e4m3      fp8-e5m2          bf16:stochastic
 * power-sgd:4            power-sgd:4:cold        power-sgd:4+int4
 * int8@tensors           top-k:0.01@tensors:dense=bias
 * </pre>
 *
 * <p>A k below 1 is a fraction of the columns, of which there is at least one; a whole number from
 * 1 on is a count. {@code @tensors} applies a compressor to every tensor of the layout by itself,
 * but those of the groups that stay dense ({@link PerTensor}). Definitions, constants and sources
 * stand at the classes that implement this. Thread-safe.
 */
public sealed interface Compressor
    permits Identity, TopK, RandomK, Threshold, SampledTopK, Quantizer, PowerSgd, PerTensor {
  /** The name that {@link #parse} makes an equal compressor of. */
  String name();

  /** What the payload is, as {@code docs/wire-format.md} numbers it. */
  int kind();

  /** The main number of a message (k, levels or rank), 0 where there is none. */
  default int parameter(Layout layout) {
    return 0;
  }

  /**
   * Everything that sender and receiver must agree on, as the text that the header carries a hash
   * of.
   *
   * @param layout what the columns mean
   * @param seed of what is drawn and not sent
   */
  default String settings(Layout layout, long seed) {
    return name();
  }

  /** 32-bit words of a payload. */
  long words(Layout layout);

  /** Bytes of a payload, without the header. */
  default long payloadBytes(Layout layout) {
    return 4 * words(layout);
  }

  /** Bytes of the row in f32 divided by those of the payload. */
  default double ratio(Layout layout) {
    return (double) layout.size() / words(layout);
  }

  /**
   * How much is lost, for rows of this many numbers.
   *
   * @param columns d
   */
  Constants constants(long columns);

  /**
   * How much is lost, for rows of this layout.
   *
   * @param layout what the columns mean
   */
  default Constants constants(Layout layout) {
    return constants(layout.size());
  }

  /**
   * Binds it to the rows of a process.
   *
   * @param like the rows, F32, or others of their shape and queue; their layout says which tensors
   *     there are
   * @param sender whose rows they are
   * @return a codec; close it
   * @throws IllegalArgumentException when the rows are not F32, or too few for the description
   */
  Codec bind(DeviceMatrix like, Codec.Sender sender);

  /** The compressor of a name. */
  static Compressor parse(String name) {
    return CompressorNames.parse(name);
  }
}
