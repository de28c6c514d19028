package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.problem.Regularizer;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * A step of a given size that ends with the proximal operator of a regularizer, if there is one.
 */
final class ProximalStep implements AutoCloseable {
  private final Optional<Regularizer> regularizer;
  private final double stepSize;
  private final Optional<DeviceMatrix> moved;
  private final Optional<DeviceMatrix> image;

  /**
   * @param like a row of what is stepped
   */
  ProximalStep(Optional<Regularizer> regularizer, double stepSize, DeviceMatrix like) {
    this.regularizer = regularizer;
    this.stepSize = stepSize;
    this.moved = regularizer.map(h -> like.like());
    this.image = regularizer.map(h -> like.like());
  }

  /**
   * out = prox(step).
   *
   * @param check sees the row before the proximal operator, which may map what is infinite to
   *     something finite
   */
  void apply(Expression step, Consumer<DeviceMatrix> check, DeviceMatrix out) {
    if (regularizer.isEmpty()) {
      Mixing.combine(step, out);
      return;
    }
    Mixing.combine(step, moved.get());
    check.accept(moved.get());
    regularizer.get().proximal(moved.get(), stepSize, out);
  }

  /** prox(row), valid until the next call: the row itself without a regularizer. */
  DeviceMatrix of(DeviceMatrix row, Consumer<DeviceMatrix> check) {
    if (regularizer.isEmpty()) {
      return row;
    }
    check.accept(row);
    regularizer.get().proximal(row, stepSize, image.get());
    return image.get();
  }

  /** What a snapshot must agree on. */
  Optional<String> name() {
    return regularizer.map(Regularizer::name);
  }

  @Override
  public void close() {
    moved.ifPresent(DeviceMatrix::close);
    image.ifPresent(DeviceMatrix::close);
  }
}
