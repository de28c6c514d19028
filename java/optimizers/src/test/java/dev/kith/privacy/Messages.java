package dev.kith.privacy;

import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.function.Executable;

/** What refusals say. */
final class Messages {
  private Messages() {}

  static String messageOf(Executable refused) {
    return assertThrows(IllegalArgumentException.class, refused).getMessage();
  }
}
