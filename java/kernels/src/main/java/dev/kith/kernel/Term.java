package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.internal.Access;
import dev.kith.internal.Window;
import java.util.Objects;
import java.util.Optional;

/**
 * One summand of an {@link Expression}: a coefficient times a matrix, row r optionally times a
 * coefficient of its own. The product of the two coefficients is formed in f64 and rounded to the
 * compute type once. Immutable and thread-safe.
 */
public final class Term {
  private final double coefficient;
  private final DeviceMatrix matrix;
  private final Optional<DeviceMatrix> rowCoefficients;
  private final Window window;
  private final Window rowWindow;

  Term(double coefficient, Optional<DeviceMatrix> rowCoefficients, DeviceMatrix matrix) {
    this.coefficient = coefficient;
    this.matrix = Objects.requireNonNull(matrix, "matrix");
    this.rowCoefficients = rowCoefficients;
    window = Access.window(matrix);
    rowWindow = Access.windowOrNull(rowCoefficients);
    if (!matrix.dtype().isFloating()) {
      throw new IllegalArgumentException(
          "a term cannot be an " + matrix.dtype() + " matrix; terms are floating-point");
    }
    if (rowWindow != null) {
      if (rowWindow.rows() != 1
          || rowWindow.cols() != matrix.rows()
          || rowWindow.dtype() != DType.F64) {
        throw new IllegalArgumentException(
            "row coefficients of a term with "
                + matrix.rows()
                + " rows must be 1 x "
                + matrix.rows()
                + " F64 and are "
                + rowWindow);
      }
    }
  }

  /**
   * The number that multiplies every row.
   *
   * @return the coefficient
   */
  public double coefficient() {
    return coefficient;
  }

  /**
   * The matrix.
   *
   * @return F32, F64, BF16 or F16
   */
  public DeviceMatrix matrix() {
    return matrix;
  }

  /**
   * A number per row that multiplies that row too.
   *
   * @return an F64 matrix of one row and as many columns as {@link #matrix} has rows, if given
   */
  public Optional<DeviceMatrix> rowCoefficients() {
    return rowCoefficients;
  }

  Window window() {
    return window;
  }

  /** The row coefficients, or null. */
  Window rowWindow() {
    return rowWindow;
  }
}
