package dev.kith.lab.report;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Ends, ticks and labels of one axis: ticks at 1, 2 or 5 times a power of ten, at whole powers
 * where it is logarithmic.
 */
final class Axis {
  private static final String SUPERSCRIPTS =
      "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";

  /** A tick: its value and its label. */
  record Tick(double value, String label) {}

  private final Plot.Unit unit;
  private final double low;
  private final double high;
  private final double step;
  private final List<Tick> ticks = new ArrayList<>();

  private Axis(Plot.Unit unit, double low, double high, double step) {
    this.unit = unit;
    this.low = low;
    this.high = high;
    this.step = step;
  }

  /**
   * An axis with ticks at both ends, beyond all finite values (all positive ones when logarithmic).
   */
  static Axis rounded(Plot.Unit unit, Iterable<double[]> values) {
    double[] ends = ends(unit, values);
    return unit == Plot.Unit.LOGARITHMIC
        ? logarithmic(ends[0], ends[1])
        : linear(unit, ends[0], ends[1], true);
  }

  /** An axis that begins and ends with the values; for what runs to the right. */
  static Axis exact(Plot.Unit unit, Iterable<double[]> values) {
    double[] ends = ends(unit, values);
    return linear(unit, ends[0], ends[1], false);
  }

  private static double[] ends(Plot.Unit unit, Iterable<double[]> values) {
    boolean log = unit == Plot.Unit.LOGARITHMIC;
    double low = Double.POSITIVE_INFINITY;
    double high = Double.NEGATIVE_INFINITY;
    for (double[] line : values) {
      for (double value : line) {
        if (Double.isFinite(value) && (!log || value > 0)) {
          low = Math.min(low, value);
          high = Math.max(high, value);
        }
      }
    }
    if (low > high) {
      low = log ? 0.1 : 0;
      high = 1;
    }
    return new double[] {low, high};
  }

  private static Axis linear(Plot.Unit unit, double low, double high, boolean round) {
    if (low == high) {
      low = Math.min(0, low);
      high = high == low ? low + 1 : high;
    }
    // Zero belongs to the picture when it is near; a curve far above it is not squeezed for its
    // sake.
    if (low > 0 && low < 0.4 * high) {
      low = 0;
    }
    double step = niceStep((high - low) / 5);
    double first = round ? Math.floor(low / step + 1e-9) : Math.ceil(low / step - 1e-9);
    double last = round ? Math.ceil(high / step - 1e-9) : Math.floor(high / step + 1e-9);
    Axis axis = new Axis(unit, round ? first * step : low, round ? last * step : high, step);
    for (double k = first; k <= last; k++) {
      axis.ticks.add(new Tick(k * step, axis.label(k * step)));
    }
    return axis;
  }

  /** How the axis writes a value at a tick. */
  String label(double value) {
    return switch (unit) {
      case PERCENT -> trimmed(100 * value, 100 * step) + " %";
      case LOGARITHMIC -> power(value);
      // The library that draws PNGs chooses ticks of its own, between those here too.
      case NUMBER ->
          trimmed(
              value, Math.abs(value / step - Math.rint(value / step)) < 1e-6 ? step : step / 10);
      case BYTES -> {
        int prefix = 0;
        double scale = 1;
        while (high / scale >= 1000 && prefix + 1 < Sizes.UNITS.size()) {
          scale *= 1000;
          prefix++;
        }
        yield value == 0
            ? "0"
            : trimmed(value / scale, step / scale) + " " + Sizes.UNITS.get(prefix);
      }
    };
  }

  /** 0.02, 1, 500; beyond that 10 with an exponent, where a factor of 2 or 5 stands before it. */
  private static String power(double value) {
    if (value >= 0.00099 && value <= 1001) {
      return BigDecimal.valueOf(value)
          .round(new MathContext(3))
          .stripTrailingZeros()
          .toPlainString();
    }
    int exponent = (int) Math.floor(Math.log10(value) + 1e-9);
    long head = Math.round(value / Math.pow(10, exponent));
    StringBuilder text = new StringBuilder(head == 1 ? "10" : head + "\u00b710");
    for (char c : Integer.toString(exponent).toCharArray()) {
      text.append(c == '-' ? '\u207b' : SUPERSCRIPTS.charAt(c - '0'));
    }
    return text.toString();
  }

  /**
   * Ends at 1, 2 or 5 times a power of ten; ticks at all of those, or over many decades at the
   * powers alone.
   */
  private static Axis logarithmic(double low, double high) {
    int lowest = 3 * (int) Math.floor(Math.log10(low)) - 3;
    while (oneTwoFive(lowest + 1) <= low * (1 + 1e-9)) {
      lowest++;
    }
    int highest = lowest + 1;
    while (oneTwoFive(highest) < high * (1 - 1e-9)) {
      highest++;
    }
    Axis axis = new Axis(Plot.Unit.LOGARITHMIC, oneTwoFive(lowest), oneTwoFive(highest), 1);
    boolean all = highest - lowest <= 7;
    int decades = (highest - lowest) / 3;
    int every = Math.max(1, (decades + 5) / 6);
    for (int k = lowest; k <= highest; k++) {
      if (all || Math.floorMod(k, 3 * every) == 0) {
        axis.ticks.add(new Tick(oneTwoFive(k), axis.label(oneTwoFive(k))));
      }
    }
    return axis;
  }

  /** ..., 0.5, 1, 2, 5, 10, 20, ... with 1 at k = 0. */
  private static double oneTwoFive(int k) {
    double head = new double[] {1, 2, 5}[Math.floorMod(k, 3)];
    int exponent = Math.floorDiv(k, 3);
    return exponent < 0 ? head / Math.pow(10, -exponent) : head * Math.pow(10, exponent);
  }

  private static double niceStep(double raw) {
    double power = Math.pow(10, Math.floor(Math.log10(raw)));
    double head = raw / power;
    return power * (head <= 1 ? 1 : head <= 2 ? 2 : head <= 5 ? 5 : 10);
  }

  /** As many decimals as the step needs. */
  private static String trimmed(double value, double step) {
    int decimals = Math.max(0, (int) Math.ceil(-Math.log10(step) - 1e-9));
    if (decimals > 6 || Math.abs(value) >= 1e7) {
      return String.format(Locale.ROOT, "%.3g", value);
    }
    return String.format(Locale.ROOT, "%,." + decimals + "f", value == 0 ? 0.0 : value);
  }

  /** Where a value lies between the ends, in [0, 1] for values inside. */
  double position(double value) {
    return unit == Plot.Unit.LOGARITHMIC
        ? (Math.log10(value) - Math.log10(low)) / (Math.log10(high) - Math.log10(low))
        : (value - low) / (high - low);
  }

  /** The value at a share of the way from one to another, as the axis draws it. */
  double between(double from, double to, double share) {
    return unit == Plot.Unit.LOGARITHMIC
        ? from * Math.pow(to / from, share)
        : from + share * (to - from);
  }

  boolean shows(double value) {
    return Double.isFinite(value) && (unit != Plot.Unit.LOGARITHMIC || value > 0);
  }

  double low() {
    return low;
  }

  double high() {
    return high;
  }

  List<Tick> ticks() {
    return ticks;
  }

  /** One value in the unit of an axis, with three or four significant digits. */
  static String written(Plot.Unit unit, double value) {
    if (!Double.isFinite(value)) {
      return Double.toString(value);
    }
    return switch (unit) {
      case PERCENT -> String.format(Locale.ROOT, "%.1f %%", 100 * value);
      case BYTES -> Sizes.bytes(value);
      case NUMBER, LOGARITHMIC -> number(value);
    };
  }

  private static String number(double value) {
    if (value == Math.rint(value) && Math.abs(value) < 1e15) {
      return String.format(Locale.ROOT, "%,d", (long) value);
    }
    double size = Math.abs(value);
    return String.format(Locale.ROOT, size >= 1e-3 && size < 1e4 ? "%.4f" : "%.2e", value);
  }
}
