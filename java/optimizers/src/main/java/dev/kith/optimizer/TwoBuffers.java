package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;

/** A matrix and its successor, which take turns. */
final class TwoBuffers implements AutoCloseable {
  private DeviceMatrix now;
  private DeviceMatrix next;

  TwoBuffers(DeviceMatrix like) {
    now = like.like();
    next = like.like();
  }

  DeviceMatrix now() {
    return now;
  }

  DeviceMatrix next() {
    return next;
  }

  /** The successor becomes the present one. */
  void flip() {
    DeviceMatrix free = now;
    now = next;
    next = free;
  }

  @Override
  public void close() {
    now.close();
    next.close();
  }
}
