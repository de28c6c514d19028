package dev.kith.lab.report;

/** One line of a {@link Plot}. */
public final class Series {
  private final String name;
  private final double[] x;
  private final double[] y;
  private final boolean dashed;

  /**
   * A line through the points.
   *
   * @param name as the legend shows it
   * @param x ascending; copied
   * @param y as many values; those that are not finite leave a gap; copied
   */
  public Series(String name, double[] x, double[] y, boolean dashed) {
    if (x.length != y.length) {
      throw new IllegalArgumentException(
          "a series needs as many x as y, not %d and %d".formatted(x.length, y.length));
    }
    this.name = name;
    this.x = x.clone();
    this.y = y.clone();
    this.dashed = dashed;
  }

  String name() {
    return name;
  }

  /** Not to be written to. */
  double[] x() {
    return x;
  }

  /** Not to be written to. */
  double[] y() {
    return y;
  }

  boolean dashed() {
    return dashed;
  }
}
