package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * What the contract suites share: cases that are worked out once by the oracle and then run on
 * every {@link Rig}.
 */
final class Contract {
  /** Below, at and above a vector, a block and a chunk; a prime. */
  static final int[] SIZES = {0, 1, 31, 32, 33, 1023, 1024, 1025, 4095, 4096, 4097, 7919};

  /** Enough for every thread, several blocks, and a tree of blocks: 65 chunks. */
  static final int LARGE = 262_147;

  private Contract() {}

  /** One thing to check, in a session of any rig. */
  interface Check {
    void run(Rig.Session session);
  }

  /** A check with a name that says how to replay it. */
  record Case(String name, Check check) {}

  /** For {@code @MethodSource}. */
  static Stream<Rig> rigs() {
    return Rig.all().stream();
  }

  /** Runs cases on a rig; the first failure names its case. */
  static void run(Rig rig, List<Case> cases) {
    try (Rig.Session session = rig.open()) {
      for (Case c : cases) {
        try {
          c.check().run(session);
          session.release();
        } catch (AssertionError | RuntimeException e) {
          throw new AssertionError(c.name() + " on " + rig + ": " + e.getMessage(), e);
        }
      }
    }
  }

  /** Fails unless the call is refused in a sentence that names the offending value. */
  static void refused(String offendingValue, Runnable call) {
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, call::run, offendingValue);
    assertTrue(
        e.getMessage().contains(offendingValue), e.getMessage() + " lacks " + offendingValue);
  }

  /** A value worked out at its first use: every rig compares with the same one. */
  static <T> Supplier<T> once(Supplier<T> work) {
    List<T> value = new ArrayList<>(1);
    return () -> {
      if (value.isEmpty()) {
        value.add(work.get());
      }
      return value.getFirst();
    };
  }
}
