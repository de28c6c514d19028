package dev.kith.privacy;

import java.util.Locale;

/**
 * Which two inputs a guarantee makes hard to tell apart. No guarantee is given without one: a noise
 * multiplier that certifies (epsilon, delta) when a record may be added certifies much less when it
 * may be replaced.
 *
 * @param change what happens to the unit
 * @param level what the unit is
 */
public record Adjacency(Change change, Level level) {
  /** How the neighbouring input differs. */
  public enum Change {
    /** The unit is there in one input and missing in the other: its clipped part moves by C. */
    ADD_REMOVE(1),
    /** The unit is replaced by any other: its clipped part moves by up to 2 C. */
    REPLACE_ONE(2);

    private final int factor;

    Change(int factor) {
      this.factor = factor;
    }
  }

  /** What is protected. */
  public enum Level {
    /** One training example. */
    RECORD,
    /** All that one user, or one node, holds. */
    USER
  }

  /** Refuses null. */
  public Adjacency {
    if (change == null || level == null) {
      throw new IllegalArgumentException("an adjacency needs a change and a level: name both");
    }
  }

  /** One example is there or not. */
  public static Adjacency addRemoveRecord() {
    return new Adjacency(Change.ADD_REMOVE, Level.RECORD);
  }

  /** One example is replaced. */
  public static Adjacency replaceRecord() {
    return new Adjacency(Change.REPLACE_ONE, Level.RECORD);
  }

  /** All data of one user or node are there or not. */
  public static Adjacency addRemoveUser() {
    return new Adjacency(Change.ADD_REMOVE, Level.USER);
  }

  /** All data of one user or node are replaced. */
  public static Adjacency replaceUser() {
    return new Adjacency(Change.REPLACE_ONE, Level.USER);
  }

  /**
   * How far a sum of parts clipped to norm 1 moves between neighbouring inputs: 1 for {@link
   * Change#ADD_REMOVE}, 2 for {@link Change#REPLACE_ONE}.
   */
  public int sensitivity() {
    return change.factor;
  }

  @Override
  public String toString() {
    return (change.name() + " " + level.name()).toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
