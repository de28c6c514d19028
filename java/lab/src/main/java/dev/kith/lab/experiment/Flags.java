package dev.kith.lab.experiment;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/** Values of flags by name, as texts, and how they are read. */
final class Flags {
  private final Map<String, String> values;

  Flags(Map<String, String> values) {
    this.values = Map.copyOf(values);
  }

  String text(String flag) {
    return values.get(flag);
  }

  Optional<String> optional(String flag) {
    return Optional.ofNullable(values.get(flag)).filter(value -> !value.isEmpty());
  }

  long whole(String flag, long least, long most) {
    String value = values.get(flag);
    try {
      long number = Long.parseLong(value);
      if (number >= least && number <= most) {
        return number;
      }
    } catch (NumberFormatException e) {
      // Told below, together with what is out of range.
    }
    throw new UsageException(
        "%s %s is not a whole number from %d to %d".formatted(flag, value, least, most));
  }

  /** A finite number; {@code open} leaves out the least one itself. */
  double number(String flag, double least, boolean open) {
    String value = values.get(flag);
    try {
      double number = Double.parseDouble(value);
      if ((open ? number > least : number >= least) && Double.isFinite(number)) {
        return number;
      }
    } catch (NumberFormatException e) {
      // Told below, together with what is out of range.
    }
    throw new UsageException(
        "%s %s is not a number %s %s"
            .formatted(flag, value, open ? "above" : "from", plain(least) + (open ? "" : " up")));
  }

  /** One of a few values. */
  <T> T choice(String flag, Map<String, T> known) {
    T chosen = known.get(values.get(flag).toLowerCase(Locale.ROOT));
    if (chosen == null) {
      throw new UsageException(
          "%s %s is not known; the known ones are %s"
              .formatted(flag, values.get(flag), String.join(", ", known.keySet())));
    }
    return chosen;
  }

  /** Flags whose other values belong to rooms that this version does not have. */
  void only(String flag, String standing) {
    if (!values.get(flag).equals(standing)) {
      throw new UsageException(
          "%s %s is not in this version of Kith; it has %s"
              .formatted(flag, values.get(flag), standing));
    }
  }

  /** What a library class reads; its complaints are about this flag. */
  <T> T read(String flag, Function<String, T> reader) {
    try {
      return reader.apply(values.get(flag));
    } catch (IllegalArgumentException e) {
      throw new UsageException(flag + ": " + e.getMessage(), e);
    }
  }

  /** All combinations of the comma-separated values, the last flag running fastest. */
  static List<Map<String, String>> combinations(Map<String, String> lists) {
    List<Map<String, String>> all = new ArrayList<>();
    all.add(new LinkedHashMap<>());
    for (Map.Entry<String, String> flag : lists.entrySet()) {
      List<Map<String, String>> next = new ArrayList<>();
      for (Map<String, String> start : all) {
        for (String value : flag.getValue().split(",", -1)) {
          Map<String, String> combination = new LinkedHashMap<>(start);
          combination.put(flag.getKey(), value.strip());
          next.add(combination);
        }
      }
      all = next;
      if (all.size() > 1000) {
        throw new UsageException("these lists make more than 1000 runs; shorten some");
      }
    }
    return all;
  }

  static String plain(double number) {
    return number == Math.rint(number) && Math.abs(number) < 1e15
        ? Long.toString((long) number)
        : Double.toString(number);
  }
}
