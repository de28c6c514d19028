package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.internal.Window;

/** The checks that operations share. Thread-safe: pure functions. */
final class Arguments {
  private Arguments() {}

  /** One dtype and shape. */
  static void expect(
      String operation, String name, Window window, long rows, long cols, DType dtype) {
    if (window.rows() != rows || window.cols() != cols || window.dtype() != dtype) {
      throw new IllegalArgumentException(
          "%s: %s is %s and must be %d x %d %s"
              .formatted(operation, name, window, rows, cols, dtype));
    }
  }

  /** Any floating dtype. */
  static void floating(String operation, String name, Window window) {
    if (!window.dtype().isFloating()) {
      throw new IllegalArgumentException(
          operation + ": " + name + " is " + window + " and must be floating-point");
    }
  }

  /** F32 or F64: something that arithmetic writes. */
  static void computed(String operation, String name, Window window) {
    if (window.dtype() != DType.F32 && window.dtype() != DType.F64) {
      throw new IllegalArgumentException(
          operation + ": " + name + " is " + window + " and must be F32 or F64");
    }
  }

  /** One width. */
  static void sameCols(String operation, String name, Window window, String other, Window with) {
    if (window.cols() != with.cols()) {
      throw new IllegalArgumentException(
          "%s: %s is %s and %s is %s; they must have as many columns"
              .formatted(operation, name, window, other, with));
    }
  }

  /** One device. */
  static void sameDevice(String operation, String name, Window window, String other, Window with) {
    if (window.device() != with.device()) {
      throw new IllegalArgumentException(
          "%s: %s is on device %s and %s on %s; move one with download and upload"
              .formatted(operation, name, window.device().name(), other, with.device().name()));
    }
  }

  /** No shared memory. */
  static void disjoint(String operation, String name, Window window, String other, Window with) {
    if (window.overlaps(with)) {
      throw new IllegalArgumentException(
          "%s: %s (%s) and %s (%s) overlap; use another matrix for one of them"
              .formatted(operation, name, window, other, with));
    }
  }

  /** No shared memory, but the same window is fine. */
  static void disjointOrSame(
      String operation, String name, Window window, String other, Window with) {
    if (window.overlaps(with) && !window.sameAs(with)) {
      throw new IllegalArgumentException(
          "%s: %s (%s) and %s (%s) overlap without being the same window"
              .formatted(operation, name, window, other, with));
    }
  }
}
