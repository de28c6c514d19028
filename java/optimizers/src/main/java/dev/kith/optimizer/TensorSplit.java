package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * The tensors of a layout that a rule takes as matrices, one after another in a packed row of their
 * own, and the columns that it leaves to another rule.
 */
final class TensorSplit {
  /** A tensor: where it lies in a row of parameters, and as which one of the packed row. */
  record Part(long column, Layout.Tensor packed) {
    DeviceMatrix in(DeviceMatrix parameters) {
      return parameters.columns(column, column + packed.size());
    }

    DeviceMatrix inPacked(DeviceMatrix matrix) {
      return matrix.columns(packed.offset(), packed.offset() + packed.size());
    }
  }

  private final List<Part> parts = new ArrayList<>();
  private final List<long[]> rest = new ArrayList<>();
  private final Layout packed;

  TensorSplit(Layout layout, Predicate<Layout.Tensor> chosen) {
    Layout.Builder builder = Layout.builder();
    List<Long> columns = new ArrayList<>();
    for (Layout.Tensor tensor : layout.tensors()) {
      if (tensor.size() == 0) {
        continue;
      }
      if (chosen.test(tensor)) {
        builder.tensor(tensor.name(), tensor.group(), tensor.shape());
        columns.add(tensor.offset());
      } else if (!rest.isEmpty() && rest.getLast()[1] == tensor.offset()) {
        rest.getLast()[1] += tensor.size();
      } else {
        rest.add(new long[] {tensor.offset(), tensor.offset() + tensor.size()});
      }
    }
    packed = builder.build();
    for (int k = 0; k < columns.size(); k++) {
      parts.add(new Part(columns.get(k), packed.tensors().get(k)));
    }
  }

  /**
   * Tensors of two dimensions or more, but the last of them where there are several: in models of
   * layers that is the output layer.
   */
  static Predicate<Layout.Tensor> hidden(Layout layout) {
    List<Layout.Tensor> matrices =
        layout.tensors().stream().filter(tensor -> tensor.shape().length > 1).toList();
    List<Layout.Tensor> chosen =
        matrices.size() > 1 ? matrices.subList(0, matrices.size() - 1) : matrices;
    return chosen::contains;
  }

  /** The tensors in the order of their columns. */
  List<Part> parts() {
    return parts;
  }

  /** The packed row. */
  Layout packed() {
    return packed;
  }

  /** Ranges {@code [begin, end)} of the other columns, ascending. */
  List<long[]> rest() {
    return rest;
  }

  /** Which tensors these are, for snapshots. */
  String names() {
    return packed.tensors().stream()
        .map(tensor -> tensor.name() + Arrays.toString(tensor.shape()))
        .collect(Collectors.joining(" ", "[", "]"));
  }

  /** to = a to + b from, where {@code from} lies in rows of parameters and {@code to} is packed. */
  void blend(double a, DeviceMatrix to, double b, DeviceMatrix from) {
    for (Part part : parts) {
      try (DeviceMatrix source = part.in(from);
          DeviceMatrix target = part.inPacked(to)) {
        Mixing.combine(Expression.outer(a, target).plusOuter(b, source), target);
      }
    }
  }
}
