package dev.kith.compress;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.Collectors;

/**
 * Another compressor for every tensor of the layout by itself, as if it were a row: blocks begin
 * anew at every tensor, and k, norms and scales are those of the tensor.
 *
 * <pre>C(x) = (C_1(x_1), ..., C_T(x_T)) for the tensors x_1 ... x_T of x</pre>
 *
 * <p>Tensors of the groups in {@code dense} travel as they are, such as biases, which are few
 * numbers with much effect; so does a tensor that the compressor would not make shorter. For a k
 * that is a count no other tensor may be smaller. Tensor t draws its random numbers with a seed of
 * its own, that of the row exclusive-or t shifted left by 32 bits.
 *
 * <p>Constants are the worst of the tensors: errors of tensors add up as |x|^2 does.
 *
 * <p>Payload: the payloads of all tensors, in order; those that travel as they are as f32.
 *
 * <p>Source: the layer-wise form of Alistarh et al., "QSGD", 2017, section 4, and of Lin et al.,
 * "Deep Gradient Compression", 2018; Vogels et al., "PowerSGD", 2019 (vectors uncompressed).
 *
 * @param each what compresses a tensor
 * @param dense the groups of the layout that travel as they are; by default none
 */
public record PerTensor(Compressor each, List<String> dense) implements Compressor {
  private static final int MOST_TENSORS = 1 << 16;

  /** Checks. */
  public PerTensor {
    Objects.requireNonNull(each, "each");
    dense = List.copyOf(dense);
    if (each instanceof PerTensor) {
      throw new IllegalArgumentException(
          "the compressor " + each.name() + " takes tensors one by one already: say so once");
    }
    for (String group : dense) {
      if (!group.matches("[^:+@,=]+")) {
        throw new IllegalArgumentException(
            "the group '"
                + group
                + "' cannot stand in a name: let it have characters, none of them : + @ , or =");
      }
    }
  }

  /** Of all tensors. */
  public static PerTensor of(Compressor each) {
    return new PerTensor(each, List.of());
  }

  @Override
  public String name() {
    return each.name() + "@tensors" + (dense.isEmpty() ? "" : ":dense=" + String.join(",", dense));
  }

  @Override
  public int kind() {
    return 40;
  }

  @Override
  public String settings(Layout layout, long seed) {
    return name()
        + (each instanceof RandomK ? " seed=" + seed : "")
        + parts(layout).stream()
            .map(p -> " " + (p.encoded() ? Arrays.toString(p.shape()) : "" + p.size()))
            .collect(Collectors.joining());
  }

  /**
   * Columns that are encoded together, or travel as they are.
   *
   * @param tensor number of the first tensor there
   * @param shape of the tensor; for those that travel as they are, how many numbers
   * @param from the first column
   * @param words of the payload
   */
  record Part(int tensor, long[] shape, long from, long size, long words, boolean encoded) {
    long to() {
      return from + size;
    }
  }

  List<Part> parts(Layout layout) {
    for (String group : dense) {
      if (!layout.groups().contains(group)) {
        throw new IllegalArgumentException(
            name() + ": the layout has no group '" + group + "', it has " + layout.groups());
      }
    }
    List<Layout.Tensor> tensors = layout.tensors();
    if (tensors.size() > MOST_TENSORS) {
      throw new IllegalArgumentException(
          name()
              + ": the layout has "
              + tensors.size()
              + " tensors: join some, 65536 are possible");
    }
    List<Part> parts = new ArrayList<>();
    for (int t = 0; t < tensors.size(); t++) {
      Layout.Tensor tensor = tensors.get(t);
      long size = tensor.size();
      if (size == 0) {
        continue;
      }
      long words = dense.contains(tensor.group()) ? size : each.words(alone(tensor));
      if (words < size) {
        parts.add(new Part(t, tensor.shape(), tensor.offset(), size, words, true));
      } else if (!parts.isEmpty() && !parts.getLast().encoded()) {
        Part last = parts.removeLast();
        long both = last.size() + size;
        parts.add(new Part(last.tensor(), new long[] {both}, last.from(), both, both, false));
      } else {
        parts.add(new Part(t, new long[] {size}, tensor.offset(), size, size, false));
      }
    }
    return parts;
  }

  private static Layout alone(Layout.Tensor tensor) {
    return Layout.builder().tensor(tensor.name(), tensor.group(), tensor.shape()).build();
  }

  @Override
  public long words(Layout layout) {
    return parts(layout).stream().mapToLong(Part::words).sum();
  }

  @Override
  public Constants constants(long columns) {
    return each.constants(columns);
  }

  @Override
  public Constants constants(Layout layout) {
    return parts(layout).stream()
        .filter(Part::encoded)
        .map(p -> each.constants(p.size()))
        .reduce((a, b) -> a.worstError() < b.worstError() ? b : a)
        .orElseGet(() -> new Identity().constants(layout.size()));
  }

  @Override
  public Codec bind(DeviceMatrix like, Codec.Sender sender) {
    return new PerTensorCodec(this, like, sender);
  }
}
