package dev.kith.internal;

import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import java.util.Optional;

/**
 * How the packages of this module reach behind the public classes of {@code dev.kith.device}.
 * Thread-safe.
 */
public abstract class Access {
  private static Access instance;

  /** For the one implementation. */
  protected Access() {}

  /**
   * Set by {@code Device} when it is initialized, before any queue or matrix exists.
   *
   * @param access the implementation
   */
  public static void install(Access access) {
    instance = access;
  }

  /**
   * Behind a matrix.
   *
   * @param matrix a matrix
   * @return its window
   */
  public static Window window(DeviceMatrix matrix) {
    return instance.windowOf(matrix);
  }

  /**
   * Behind a matrix that may be absent. Operations are short: an Optional on their way would cost
   * as much as the checks.
   *
   * @param matrix a matrix, if there is one
   * @return its window, or null
   */
  public static Window windowOrNull(Optional<DeviceMatrix> matrix) {
    return matrix.isPresent() ? window(matrix.get()) : null;
  }

  /**
   * Behind a queue.
   *
   * @param queue a queue
   * @return its native queue
   */
  public static NativeQueue queue(Queue queue) {
    return instance.queueOf(queue);
  }

  /**
   * Behind a device.
   *
   * @param device a device
   * @return its native device
   */
  public static NativeDevice device(Device device) {
    return instance.deviceOf(device);
  }

  /**
   * See {@link #window}.
   *
   * @param matrix a matrix
   * @return its window
   */
  protected abstract Window windowOf(DeviceMatrix matrix);

  /**
   * See {@link #queue}.
   *
   * @param queue a queue
   * @return its native queue
   */
  protected abstract NativeQueue queueOf(Queue queue);

  /**
   * See {@link #device}.
   *
   * @param device a device
   * @return its native device
   */
  protected abstract NativeDevice deviceOf(Device device);
}
