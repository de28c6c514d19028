package dev.kith.lab.report;

import java.util.List;
import java.util.Locale;

/** Numbers of bytes for people. */
public final class Sizes {
  static final List<String> UNITS = List.of("B", "kB", "MB", "GB", "TB", "PB");

  private Sizes() {}

  /** Three significant digits with a decimal prefix: 1.23 MB. */
  public static String bytes(double value) {
    int unit = 0;
    double scaled = value;
    while (scaled >= 999.5 && unit + 1 < UNITS.size()) {
      scaled /= 1000;
      unit++;
    }
    int decimals = unit == 0 || scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
    return String.format(Locale.ROOT, "%." + decimals + "f %s", scaled, UNITS.get(unit));
  }
}
