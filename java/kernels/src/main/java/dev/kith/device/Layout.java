package dev.kith.device;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * What the columns of a row mean: an ordered list of tensors that lie one after the other without
 * gaps. A row of a matrix with a layout is a model. Immutable and thread-safe.
 */
public final class Layout {
  private final List<Tensor> tensors;
  private final Map<String, Tensor> byName;
  private final List<String> groups;
  private final long size;

  private Layout(List<Tensor> tensors) {
    this.tensors = List.copyOf(tensors);
    Map<String, Tensor> names = new LinkedHashMap<>();
    LinkedHashSet<String> seen = new LinkedHashSet<>();
    for (Tensor tensor : tensors) {
      names.put(tensor.name(), tensor);
      seen.add(tensor.group());
    }
    byName = Collections.unmodifiableMap(names);
    groups = List.copyOf(seen);
    size = tensors.isEmpty() ? 0 : tensors.getLast().offset() + tensors.getLast().size();
  }

  /**
   * Starts a layout.
   *
   * @return a builder without tensors
   */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * A layout of one tensor {@code "x"} in the group {@code "default"}.
   *
   * @param size its elements, at least 0
   * @return the layout
   */
  public static Layout flat(long size) {
    return builder().tensor("x", "default", size).build();
  }

  /**
   * How many columns a row has.
   *
   * @return the sum of the sizes of the tensors
   */
  public long size() {
    return size;
  }

  /**
   * The tensors in the order of their columns.
   *
   * @return an immutable list
   */
  public List<Tensor> tensors() {
    return tensors;
  }

  /**
   * Finds a tensor.
   *
   * @param name its name
   * @return the tensor
   * @throws IllegalArgumentException if there is none of this name; lists those there are
   */
  public Tensor tensor(String name) {
    Tensor tensor = byName.get(Objects.requireNonNull(name, "name"));
    if (tensor == null) {
      throw new IllegalArgumentException(
          "the layout has no tensor \"" + name + "\"; it has " + byName.keySet());
    }
    return tensor;
  }

  /**
   * The groups in order of first appearance.
   *
   * @return an immutable list of distinct names
   */
  public List<String> groups() {
    return groups;
  }

  /**
   * The columns of a group, neighbouring tensors joined.
   *
   * @param group a name out of {@link #groups()}
   * @return ranges {@code [begin, end)}, ascending and not empty
   * @throws IllegalArgumentException if there is no such group; lists those there are
   */
  public List<long[]> ranges(String group) {
    if (!groups.contains(group)) {
      throw new IllegalArgumentException(
          "the layout has no group \"" + group + "\"; it has " + groups);
    }
    List<long[]> ranges = new ArrayList<>();
    for (Tensor tensor : tensors) {
      if (!tensor.group().equals(group) || tensor.size() == 0) {
        continue;
      }
      long end = tensor.offset() + tensor.size();
      if (!ranges.isEmpty() && ranges.getLast()[1] == tensor.offset()) {
        ranges.getLast()[1] = end;
      } else {
        ranges.add(new long[] {tensor.offset(), end});
      }
    }
    return ranges;
  }

  /**
   * The layout of some columns.
   *
   * @param from the first of them
   * @param to the one behind the last of them
   * @return the tensors that lie there, the first at column 0; empty when a border cuts a tensor
   */
  Optional<Layout> between(long from, long to) {
    List<Tensor> inside = new ArrayList<>();
    for (Tensor tensor : tensors) {
      long end = tensor.offset() + tensor.size();
      if (tensor.offset() >= from && end <= to) {
        inside.add(
            new Tensor(tensor.name(), tensor.shape(), tensor.group(), tensor.offset() - from));
      } else if (tensor.offset() < to && end > from) {
        return Optional.empty();
      }
    }
    return Optional.of(new Layout(inside));
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof Layout that && tensors.equals(that.tensors);
  }

  @Override
  public int hashCode() {
    return tensors.hashCode();
  }

  @Override
  public String toString() {
    return "Layout" + tensors;
  }

  /**
   * A tensor inside a row.
   *
   * @param name unique in its layout
   * @param shape its dimensions, row-major, at least one
   * @param group the name of its group, for step sizes and weight decay
   * @param offset the column of its first element
   */
  @SuppressWarnings("ArrayRecordComponent") // Copied on the way in and out, and compared by value.
  public record Tensor(String name, long[] shape, String group, long offset) {
    /** Checks and copies. */
    public Tensor {
      Objects.requireNonNull(name, "name");
      Objects.requireNonNull(group, "group");
      shape = shape.clone();
      if (shape.length == 0) {
        throw new IllegalArgumentException(
            "tensor \"" + name + "\" has no dimension; a scalar has the shape [1]");
      }
      long product = 1;
      for (long extent : shape) {
        if (extent < 0) {
          throw new IllegalArgumentException(
              "tensor \"" + name + "\" has a negative dimension in " + Arrays.toString(shape));
        }
        try {
          product = Math.multiplyExact(product, extent);
        } catch (ArithmeticException e) {
          throw new IllegalArgumentException(
              "tensor \"" + name + "\" has too many elements: " + Arrays.toString(shape), e);
        }
      }
    }

    /** The dimensions, in a fresh array. */
    @Override
    public long[] shape() {
      return shape.clone();
    }

    /**
     * Its elements.
     *
     * @return the product of the dimensions
     */
    public long size() {
      long product = 1;
      for (long extent : shape) {
        product *= extent;
      }
      return product;
    }

    /**
     * Its rows as a matrix.
     *
     * @return the first dimension; 1 for a vector
     */
    public long rows() {
      return shape.length == 1 ? 1 : shape[0];
    }

    /**
     * Its columns as a matrix.
     *
     * @return the product of all dimensions but the first; the length of a vector
     */
    public long cols() {
      if (shape.length == 1) {
        return shape[0];
      }
      long product = 1;
      for (int i = 1; i < shape.length; i++) {
        product *= shape[i];
      }
      return product;
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Tensor that
          && name.equals(that.name)
          && group.equals(that.group)
          && offset == that.offset
          && Arrays.equals(shape, that.shape);
    }

    @Override
    public int hashCode() {
      return Objects.hash(name, group, offset, Arrays.hashCode(shape));
    }

    @Override
    public String toString() {
      return name + Arrays.toString(shape) + "@" + offset + ":" + group;
    }
  }

  /** Collects tensors in the order of their columns. Not thread-safe. */
  public static final class Builder {
    private final List<Tensor> tensors = new ArrayList<>();
    private long offset;

    private Builder() {}

    /**
     * Appends a tensor.
     *
     * @param name a name that the layout does not have yet
     * @param group the group it belongs to
     * @param shape its dimensions, row-major, at least one
     * @return this
     * @throws IllegalArgumentException if the name is taken or the shape impossible
     */
    public Builder tensor(String name, String group, long... shape) {
      Tensor tensor = new Tensor(name, shape, group, offset);
      for (Tensor known : tensors) {
        if (known.name().equals(name)) {
          throw new IllegalArgumentException(
              "the layout has a tensor \"" + name + "\" already; names must differ");
        }
      }
      tensors.add(tensor);
      offset = Math.addExact(offset, tensor.size());
      return this;
    }

    /**
     * The layout.
     *
     * @return a layout of the tensors appended so far
     */
    public Layout build() {
      return new Layout(tensors);
    }
  }
}
