package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.internal.Access;
import dev.kith.internal.Window;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * The factors that bound the norms of gradients: min(1, c / |g|), 1 where |g| = 0, for each row or
 * for each tensor of each row. A NaN or infinity in g is passed on, so that the step's flags see
 * it. Used by one thread at a time.
 */
final class Clipping {
  private final double bound;
  private final long[] bounds;
  private final int sections;
  private final DeviceMatrix squares;
  private final DeviceMatrix scales;

  private Clipping(double bound, long[] bounds, int sections, DeviceMatrix parameters) {
    this.bound = bound;
    this.bounds = bounds;
    this.sections = sections;
    long rows = parameters.rows();
    squares = DeviceMatrix.allocate(parameters.queue(), rows, bounds.length - 1L, DType.F64);
    try {
      scales = DeviceMatrix.allocate(parameters.queue(), rows, sections, DType.F64);
    } catch (RuntimeException | Error e) {
      Step.closeAll(List.of(squares), e);
      throw e;
    }
  }

  static Optional<Clipping> of(
      StepOptions options, DeviceMatrix parameters, List<Step.Section> sections) {
    int columns = Math.max(1, sections.size());
    if (options.clipNorm().isPresent()) {
      long[] whole = {0, parameters.cols()};
      return Optional.of(
          new Clipping(options.clipNorm().getAsDouble(), whole, columns, parameters));
    }
    if (options.clipNormPerTensor().isPresent() && !sections.isEmpty()) {
      List<Long> limits = new ArrayList<>(List.of(0L));
      sections.forEach(section -> limits.add(section.end()));
      long[] each = limits.stream().mapToLong(Long::longValue).toArray();
      return Optional.of(
          new Clipping(options.clipNormPerTensor().getAsDouble(), each, columns, parameters));
    }
    return Optional.empty();
  }

  /**
   * Measures g and returns a factor for each row and section. Waits for the queue that the step
   * runs on: the gradient is made there, and the factors of the last step are read there.
   */
  Window scales(DeviceMatrix g, Queue queue) {
    double[] measured;
    try (DeviceMatrix out = squares.on(queue)) {
      measured = squares(g, bounds, out);
    }
    int measures = bounds.length - 1;
    double[] factors = new double[Math.toIntExact(scales.rows() * sections)];
    for (int i = 0; i < factors.length; i++) {
      int row = i / sections;
      int section = measures == 1 ? 0 : i % sections;
      double norm = Math.sqrt(measured[row * measures + section]);
      // A gradient without a finite norm must not pass for one that was clipped to nothing.
      factors[i] = Double.isInfinite(norm) ? Double.NaN : Math.min(1, bound / norm);
    }
    scales.upload(factors);
    return Access.window(scales);
  }

  /**
   * The squares of the segments of every row; waits.
   *
   * @param out F64, rows of g x segments
   */
  static double[] squares(DeviceMatrix g, long[] bounds, DeviceMatrix out) {
    Reduction.segments(Reduction.Kind.SQUARES, g, bounds, out);
    double[] measured = out.toDoubles();
    int measures = bounds.length - 1;
    for (int row = 0; row < g.rows(); row++) {
      int first = row * measures;
      if (Arrays.stream(measured, first, first + measures).anyMatch(Double::isInfinite)) {
        System.arraycopy(measureWide(g, row, bounds), 0, measured, first, measures);
      }
    }
    return measured;
  }

  /** The squares of a row in f64: a finite norm above 1.8e19 overflows on the tree of f32. */
  private static double[] measureWide(DeviceMatrix g, int row, long[] bounds) {
    try (DeviceMatrix narrow = g.row(row);
        DeviceMatrix wide = DeviceMatrix.allocate(g.queue(), 1, g.cols(), DType.F64);
        DeviceMatrix out = DeviceMatrix.allocate(g.queue(), 1, bounds.length - 1L, DType.F64)) {
      Memory.convert(narrow, wide);
      Reduction.segments(Reduction.Kind.SQUARES, wide, bounds, out);
      return out.toDoubles();
    }
  }

  List<DeviceMatrix> matrices() {
    return List.of(squares, scales);
  }
}
