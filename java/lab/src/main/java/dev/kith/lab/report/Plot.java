package dev.kith.lab.report;

import java.util.List;

/**
 * Curves over a common axis, without a decision how they are drawn.
 *
 * @param file name of the picture, without ending
 * @param title says what is shown in a few words
 * @param xUnit how numbers on the horizontal axis are written
 * @param yUnit the same for the vertical axis
 */
public record Plot(
    String file,
    String title,
    String xLabel,
    String yLabel,
    Unit xUnit,
    Unit yUnit,
    List<Series> series) {
  /** Copies the list. */
  public Plot {
    series = List.copyOf(series);
  }

  /** How numbers are written on an axis. */
  public enum Unit {
    /** As it is. */
    NUMBER,
    /** A share of 1, in per cent. */
    PERCENT,
    /** Bytes with a decimal prefix. */
    BYTES,
    /** A positive number on a logarithmic axis. */
    LOGARITHMIC
  }
}
