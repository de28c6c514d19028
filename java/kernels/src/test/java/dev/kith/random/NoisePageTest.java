package dev.kith.random;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.NoiseField.Distribution;
import dev.kith.kernel.OracleNoise;
import dev.kith.kernel.Secret;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/**
 * Guards what docs/randomness.md says of secret numbers and of the numbers of the noise kernels.
 */
class NoisePageTest {
  private static final Pattern GOLDEN =
      Pattern.compile(
          "\\| N\\d+ \\| (\\S+) \\| `(\\w+)` \\| (\\d+) \\| (\\d+) \\| `(\\w+)\\((\\d+)\\)` \\| `?(\\S+?)`?( = .*)? \\|");

  /** What a kernel is asked for directly; beyond, the oracle answers alone. */
  private static final long NEAR = 100_000;

  private static String page() throws IOException {
    for (Path at = Path.of("").toAbsolutePath(); at != null; at = at.getParent()) {
      Path file = at.resolve("docs/randomness.md");
      if (Files.exists(file)) {
        return Files.readString(file);
      }
    }
    throw new IOException("docs/randomness.md is in no folder above here");
  }

  private static byte[] ascending() {
    byte[] bytes = new byte[Secret.BYTES];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) i;
    }
    return bytes;
  }

  private static String text(Distribution d, double z) {
    return d == Distribution.WORDS
        ? String.format("0x%08x", (int) z)
        : String.format("0x%08x", Float.floatToRawIntBits((float) z));
  }

  private static double oracle(
      boolean secret, Distribution d, Matcher row, Stream stream, int node, long round, long c) {
    long at = d == Distribution.RADEMACHER ? c / 32 : c;
    int form = OracleNoise.form(d);
    int word =
        secret
            ? OracleNoise.secretWord(ascending(), stream, form, node, round, at)
            : OracleNoise.publicWord(Long.parseLong(row.group(1)), stream, form, node, round, at);
    return switch (d) {
      case WORDS -> word;
      case UNIFORM -> OracleNoise.uniform(word);
      case NORMAL -> OracleNoise.normal(word);
      case RADEMACHER -> (word >>> (c % 32) & 1) == 0 ? 1 : -1;
      case LAPLACE -> OracleNoise.laplace(word);
    };
  }

  private static double kernel(
      Queue queue,
      boolean secret,
      Distribution d,
      Matcher row,
      Stream stream,
      int node,
      long round,
      int c) {
    DType type = d == Distribution.WORDS ? DType.I32 : DType.F32;
    try (DeviceMatrix y = DeviceMatrix.allocate(queue, 1, c + 1, type);
        Secret key = Secret.of(ascending())) {
      NoiseField field =
          secret
              ? NoiseField.secret(d, stream, List.of(new NoiseField.SecretRow(key, round, node)))
              : NoiseField.shared(d, stream, Long.parseLong(row.group(1)), round, node, 1);
      Noise.draw(field, 1, y);
      return type == DType.I32 ? y.toInts()[c] : y.toFloats()[c];
    }
  }

  @Test
  void goldenValuesOfThePageHold() throws IOException {
    int rows = 0;
    try (Queue queue = Device.named("cpu").newQueue()) {
      Matcher row = GOLDEN.matcher(page());
      while (row.find()) {
        rows++;
        boolean secret = row.group(1).equals("`00..1f`");
        Stream stream = Stream.valueOf(row.group(2));
        int node = Integer.parseInt(row.group(3));
        long round = Long.parseLong(row.group(4));
        Distribution d =
            switch (row.group(5)) {
              case "word" -> Distribution.WORDS;
              case "sign" -> Distribution.RADEMACHER;
              default -> Distribution.valueOf(row.group(5).toUpperCase(Locale.ROOT));
            };
        long c = Long.parseLong(row.group(6));
        assertEquals(
            row.group(7), text(d, oracle(secret, d, row, stream, node, round, c)), row.group());
        if (c < NEAR) {
          double z = kernel(queue, secret, d, row, stream, node, round, (int) c);
          assertEquals(row.group(7), text(d, z), row.group());
        }
      }
    }
    assertEquals(18, rows);
  }

  @Test
  void coefficientsArePrintedAsTheyAreUsed() throws IOException {
    String page = page();
    for (String name : List.of("CENTRAL", "LOG", "TAIL")) {
      assertArrayEquals(OracleNoise.coefficients(name), coefficients(page, name), name);
    }
  }

  private static double[] coefficients(String page, String name) {
    int from = page.indexOf("```\n", page.indexOf("\n" + name)) + 4;
    return Arrays.stream(page.substring(from, page.indexOf("```", from)).trim().split("\\s+"))
        .mapToDouble(Double::parseDouble)
        .toArray();
  }
}
