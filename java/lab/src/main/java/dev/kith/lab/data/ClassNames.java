package dev.kith.lab.data;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Numbers the labels of a text file: classes are the distinct labels in ascending order, as numbers
 * where all of them are numbers, else as text.
 */
final class ClassNames {
  /** Above this many distinct labels a column is a quantity, not a class. */
  static final int MOST = 1 << 16;

  private final List<String> firstSeen = new ArrayList<>();
  private final Map<String, Integer> known = new HashMap<>();
  private final List<Integer> rows = new ArrayList<>();

  /** Notes the label of the next row. False when there are now too many different ones. */
  boolean add(String label) {
    Integer code = known.get(label);
    if (code == null) {
      code = firstSeen.size();
      known.put(label, code);
      firstSeen.add(label);
    }
    rows.add(code);
    return firstSeen.size() <= MOST;
  }

  List<String> sorted() {
    List<String> names = new ArrayList<>(firstSeen);
    boolean numbers = names.stream().allMatch(ClassNames::isNumber);
    names.sort(
        numbers ? Comparator.comparingDouble(Double::parseDouble) : Comparator.naturalOrder());
    return names;
  }

  /** The class of every row, as a position in {@link #sorted}. */
  int[] labels() {
    Map<String, Integer> position = new HashMap<>();
    for (String name : sorted()) {
      position.put(name, position.size());
    }
    return rows.stream().mapToInt(code -> position.get(firstSeen.get(code))).toArray();
  }

  /** 1, 1.0 and +1 are one label. */
  static String canonical(String label) {
    if (!isNumber(label)) {
      return label;
    }
    double value = Double.parseDouble(label);
    return value == Math.rint(value) && Math.abs(value) < 1e15
        ? Long.toString((long) value)
        : Double.toString(value);
  }

  private static boolean isNumber(String text) {
    return text.matches("[+-]?(\\d{1,300}(\\.\\d{0,300})?|\\.\\d{1,300})([eE][+-]?\\d{1,3})?");
  }
}
