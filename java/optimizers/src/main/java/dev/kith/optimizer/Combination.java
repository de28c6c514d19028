package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import java.util.List;

/**
 * The sum of a few scaled matrices that nobody has formed yet: it becomes part of the expression
 * that uses it.
 */
record Combination(List<Part> parts) {
  /** {@code coefficient * matrix}. */
  record Part(double coefficient, DeviceMatrix matrix) {}

  Combination {
    parts = List.copyOf(parts);
  }

  static Combination of(DeviceMatrix z) {
    return new Combination(List.of(new Part(1, z)));
  }

  static Combination of(DeviceMatrix z, double coefficient, DeviceMatrix u) {
    return new Combination(List.of(new Part(1, z), new Part(coefficient, u)));
  }

  /** scale times the sum, under the mixing matrix. */
  Expression inner(double scale) {
    Part first = parts.getFirst();
    Expression e = Expression.inner(scale * first.coefficient, first.matrix);
    for (Part part : parts.subList(1, parts.size())) {
      e = e.plusInner(scale * part.coefficient, part.matrix);
    }
    return e;
  }

  /** scale times the sum, added outside the mixing matrix. */
  Expression plusOuter(Expression expression, double scale) {
    Expression e = expression;
    for (Part part : parts) {
      e = e.plusOuter(scale * part.coefficient, part.matrix);
    }
    return e;
  }

  /** All but the first. */
  Combination tail() {
    return new Combination(parts.subList(1, parts.size()));
  }

  /**
   * The sum as a matrix: its only part where that is it already, else {@code target} after writing
   * it there.
   */
  DeviceMatrix formed(DeviceMatrix target) {
    Part first = parts.getFirst();
    if (parts.size() == 1 && first.coefficient == 1) {
      return first.matrix;
    }
    Mixing.combine(tail().plusOuter(Expression.outer(first.coefficient, first.matrix), 1), target);
    return target;
  }
}
