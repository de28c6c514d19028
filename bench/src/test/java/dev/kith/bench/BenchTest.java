package dev.kith.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class BenchTest {
  private static void assertSentence(String fragment, String... arguments) {
    PrintStream systemErr = System.err;
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
    int code;
    try {
      code = Bench.run(arguments);
    } finally {
      System.setErr(systemErr);
    }
    String text = err.toString(StandardCharsets.UTF_8);
    assertEquals(2, code, text);
    assertEquals(1, text.lines().count(), text);
    assertTrue(text.startsWith("kith: ") && text.contains(fragment), text);
  }

  @Test
  void mistakesGetOneSentence() {
    assertSentence("there is no family 'mixture'", "mixture");
    assertSentence("there are no goals 'mixture'", "--goals", "mixture");
    assertSentence("/nowhere does not exist", "--json", "/nowhere/x.json");
    assertSentence("--page goes with --goals", "--page", "x");
    assertSentence("--fast", "--fast");
    assertSentence("abacus", "--device", "abacus");
  }
}
