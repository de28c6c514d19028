package dev.kith.lab.data;

import java.util.Arrays;

/** Floats that are appended, then taken as an array. */
final class FloatList {
  private float[] items = new float[1 << 12];
  private int size;

  void add(float item) {
    if (size == items.length) {
      items = Arrays.copyOf(items, (int) Math.min(Integer.MAX_VALUE - 8L, 2L * size));
    }
    items[size++] = item;
  }

  int size() {
    return size;
  }

  float get(int index) {
    return items[index];
  }

  float[] toArray() {
    return Arrays.copyOf(items, size);
  }
}
