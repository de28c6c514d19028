package dev.kith.network;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;

/** Keeps the values used last, and releases the one unused for longest when there are too many. */
final class Lru<K, V> implements AutoCloseable {
  private final int capacity;
  private final Consumer<V> release;
  private final Map<K, V> values = new LinkedHashMap<>(16, 0.75f, true);

  Lru(int capacity, Consumer<V> release) {
    this.capacity = capacity;
    this.release = release;
  }

  V get(K key, Function<? super K, ? extends V> create) {
    V value = values.get(key);
    if (value == null) {
      value = create.apply(key);
      values.put(key, value);
      if (values.size() > capacity) {
        var oldest = values.entrySet().iterator();
        release.accept(oldest.next().getValue());
        oldest.remove();
      }
    }
    return value;
  }

  int size() {
    return values.size();
  }

  @Override
  public void close() {
    values.values().forEach(release);
    values.clear();
  }
}
