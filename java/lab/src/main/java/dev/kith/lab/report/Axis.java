package dev.kith.lab.report;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Ends, ticks and labels of one axis: ticks at 1, 2 or 5 times a power of ten, at whole powers
 * where it is logarithmic.
 */
final class Axis {
  private static final String[] PREFIXES = {"B", "kB", "MB", "GB", "TB", "PB"};
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
   * An axis that shows all finite values (all positive ones when logarithmic), with about {@code
   * wanted} ticks.
   */
  static Axis of(Plot.Unit unit, Iterable<double[]> values, int wanted) {
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
    return log ? logarithmic(low, high, wanted) : linear(unit, low, high, wanted);
  }

  private static Axis linear(Plot.Unit unit, double low, double high, int wanted) {
    if (low == high) {
      low = Math.min(0, low);
      high = high == low ? low + 1 : high;
    }
    // Zero belongs to the picture when it is near; a curve far above it is not squeezed for its
    // sake.
    if (low > 0 && low < 0.4 * high) {
      low = 0;
    }
    double step = niceStep((high - low) / wanted);
    double first = Math.floor(low / step + 1e-9);
    double last = Math.ceil(high / step - 1e-9);
    Axis axis = new Axis(unit, first * step, last * step, step);
    for (double k = first; k <= last; k++) {
      axis.ticks.add(new Tick(k * step, axis.label(k * step)));
    }
    return axis;
  }

  /** How the axis writes a value at a tick. */
  String label(double value) {
    return switch (unit) {
      case PERCENT -> trimmed(100 * value, 100 * step) + " %";
      case LOGARITHMIC -> power((int) Math.round(Math.log10(value)));
      case NUMBER -> trimmed(value, step);
      case BYTES -> {
        int prefix = 0;
        double scale = 1;
        while (high / scale >= 1000 && prefix + 1 < PREFIXES.length) {
          scale *= 1000;
          prefix++;
        }
        yield value == 0 ? "0" : trimmed(value / scale, step / scale) + " " + PREFIXES[prefix];
      }
    };
  }

  private static String power(int exponent) {
    if (exponent >= 0 && exponent <= 3) {
      return Long.toString(Math.round(Math.pow(10, exponent)));
    }
    StringBuilder text = new StringBuilder("10");
    for (char c : Integer.toString(exponent).toCharArray()) {
      text.append(c == '-' ? '\u207b' : SUPERSCRIPTS.charAt(c - '0'));
    }
    return text.toString();
  }

  private static Axis logarithmic(double low, double high, int wanted) {
    int first = (int) Math.floor(Math.log10(low) + 1e-9);
    int last = Math.max(first + 1, (int) Math.ceil(Math.log10(high) - 1e-9));
    int every = Math.max(1, (last - first + wanted - 1) / wanted);
    Axis axis = new Axis(Plot.Unit.LOGARITHMIC, Math.pow(10, first), Math.pow(10, last), every);
    for (int exponent = first; exponent <= last; exponent += every) {
      axis.ticks.add(new Tick(Math.pow(10, exponent), power(exponent)));
    }
    return axis;
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
  static String exact(Plot.Unit unit, double value) {
    if (!Double.isFinite(value)) {
      return Double.toString(value);
    }
    return switch (unit) {
      case PERCENT -> String.format(Locale.ROOT, "%.1f %%", 100 * value);
      case BYTES -> bytes(value);
      case LOGARITHMIC -> String.format(Locale.ROOT, "%.2e", value);
      case NUMBER -> number(value);
    };
  }

  private static String number(double value) {
    if (value == Math.rint(value) && Math.abs(value) < 1e15) {
      return String.format(Locale.ROOT, "%,d", (long) value);
    }
    double size = Math.abs(value);
    return String.format(Locale.ROOT, size >= 1e-3 && size < 1e4 ? "%.4f" : "%.3e", value);
  }

  /** 1.23 MB. */
  static String bytes(double value) {
    int prefix = 0;
    double scaled = value;
    while (scaled >= 999.5 && prefix + 1 < PREFIXES.length) {
      scaled /= 1000;
      prefix++;
    }
    return prefix == 0
        ? String.format(Locale.ROOT, "%.0f B", scaled)
        : String.format(
            Locale.ROOT,
            scaled < 9.995 ? "%.2f %s" : scaled < 99.95 ? "%.1f %s" : "%.0f %s",
            scaled,
            PREFIXES[prefix]);
  }
}
