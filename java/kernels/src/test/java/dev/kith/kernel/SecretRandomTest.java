package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import javax.crypto.Cipher;
import javax.crypto.spec.ChaCha20ParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.Test;

/** Addressed numbers of a secret, beside the ChaCha20 of the JDK. */
class SecretRandomTest {
  private static final int NODE = 5;
  private static final long ROUND = (3L << 32) + 9;

  private static byte[] ascending() {
    byte[] bytes = new byte[Secret.BYTES];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) i;
    }
    return bytes;
  }

  private static SecretRandom random(Stream stream, int node, long round) {
    try (Secret secret = Secret.of(ascending())) {
      return new SecretRandom(secret, stream, node, round);
    }
  }

  /** Word of a form by the JDK's cipher: the keystream is what it makes of zeros. */
  private static int cipherWord(Stream stream, int form, int node, long round, long index) {
    long block = index / 16;
    int last = stream.tag() << 24 | form << 16 | (int) (round >>> 32) << 8 | (int) (block >>> 32);
    ByteBuffer nonce = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN);
    nonce.putInt(node).putInt((int) round).putInt(last);
    try {
      Cipher cipher = Cipher.getInstance("ChaCha20");
      cipher.init(
          Cipher.ENCRYPT_MODE,
          new SecretKeySpec(ascending(), "ChaCha20"),
          new ChaCha20ParameterSpec(nonce.array(), (int) block));
      ByteBuffer words = ByteBuffer.wrap(cipher.doFinal(new byte[64]));
      return words.order(ByteOrder.LITTLE_ENDIAN).getInt((int) (index % 16) * 4);
    } catch (java.security.GeneralSecurityException e) {
      throw new AssertionError(e);
    }
  }

  private static long below(Stream stream, int node, long round, long index, long bound) {
    for (int attempt = 0; ; attempt++) {
      long bits =
          (long) cipherWord(stream, 128 + attempt, node, round, 2 * index) << 32
              | (cipherWord(stream, 128 + attempt, node, round, 2 * index + 1) & 0xFFFFFFFFL);
      if (Long.compareUnsigned(bits * bound, Long.remainderUnsigned(-bound, bound)) >= 0) {
        return Math.unsignedMultiplyHigh(bits, bound);
      }
    }
  }

  /** Floyd's set, from the cipher's numbers. */
  private static int[] subset(Stream stream, int node, long round, int k, int n) {
    TreeSet<Integer> set = new TreeSet<>();
    for (int i = 0; i < k; i++) {
      int j = n - k + i;
      int t = (int) below(stream, node, round, i, j + 1L);
      if (!set.add(t)) {
        set.add(j);
      }
    }
    return set.stream().mapToInt(Integer::intValue).toArray();
  }

  /** Also where the index of the block passes 32 bits, and at the last word of a row. */
  @Test
  void wordsAreThoseOfTheCipher() {
    try (SecretRandom random = random(Stream.NODE_NOISE, NODE, ROUND)) {
      long carry = 1L << 36;
      for (long start : new long[] {0, 17, carry - 20, carry, 3 * carry - 1, (1L << 42) - 5}) {
        for (long i = start; i < Math.min(start + 40, 1L << 42); i++) {
          assertEquals(
              cipherWord(Stream.NODE_NOISE, 0, NODE, ROUND, i), random.word(i), "word " + i);
        }
      }
    }
  }

  @Test
  void wordsAreThoseOfTheKernels() {
    try (Queue queue = Device.cpu().newQueue();
        Secret secret = Secret.of(ascending());
        SecretRandom random = random(Stream.EDGE_NOISE, NODE, ROUND);
        DeviceMatrix y = DeviceMatrix.allocate(queue, 1, 300, DType.I32)) {
      Noise.draw(
          NoiseField.secret(
              NoiseField.Distribution.WORDS,
              Stream.EDGE_NOISE,
              List.of(new NoiseField.SecretRow(secret, ROUND, NODE))),
          1,
          y);
      int[] words = y.toInts();
      for (int c = 0; c < 300; c++) {
        assertEquals(words[c], random.word(c));
      }
      // The conversions are those of the public numbers.
      assertEquals(((words[7] >>> 8) + 0.5f) * 0x1p-24f, random.uniformFloat(7));
      long bits = (long) words[8] << 32 | (words[9] & 0xFFFFFFFFL);
      assertEquals((bits >>> 11) * 0x1p-53 + 0x1p-54, random.uniform(4));
    }
  }

  @Test
  void setsOfColumnsAreThoseOfTheCipher() {
    int[][] cases = {{0, 9}, {9, 9}, {3, 8}, {40, 100}, {12, 2_000_000}};
    for (int[] kn : cases) {
      for (long round : new long[] {0, ROUND, SharedRandom.MAX_ROUNDS - 1}) {
        try (SecretRandom random = random(Stream.SUBSET, NODE, round)) {
          int[] expected = subset(Stream.SUBSET, NODE, round, kn[0], kn[1]);
          assertArrayEquals(expected, random.subset(kn[0], kn[1]), Arrays.toString(kn));
        }
      }
    }
  }

  /** Ten sets of 2 of 5 over 4,000 rounds: chi-square with 9 degrees, above 33.7 once in 10^4. */
  @Test
  void allSetsAreEquallyProbable() {
    Map<String, Integer> counts = new HashMap<>();
    int rounds = 4000;
    for (int t = 0; t < rounds; t++) {
      try (SecretRandom random = random(Stream.SUBSET, 1, t)) {
        counts.merge(Arrays.toString(random.subset(2, 5)), 1, Integer::sum);
      }
    }
    assertEquals(10, counts.size());
    double expected = rounds / 10.0;
    double chi =
        counts.values().stream().mapToDouble(n -> (n - expected) * (n - expected) / expected).sum();
    assertTrue(chi < 33.7, "chi-square " + chi);
  }

  @Test
  void goldenSetsOfThePageHold() throws IOException {
    Pattern golden =
        Pattern.compile(
            "\\| N\\d+ \\| `00\\.\\.1f` \\| `(\\w+)` \\| (\\d+) \\| (\\d+) \\| `subset\\((\\d+), (\\d+)\\)` \\| ([\\d ]+) \\|");
    int rows = 0;
    Matcher row = golden.matcher(page());
    while (row.find()) {
      rows++;
      Stream stream = Stream.valueOf(row.group(1));
      int node = Integer.parseInt(row.group(2));
      long round = Long.parseLong(row.group(3));
      try (SecretRandom random = random(stream, node, round)) {
        int[] set = random.subset(Integer.parseInt(row.group(4)), Integer.parseInt(row.group(5)));
        String text =
            Arrays.stream(set).mapToObj(Integer::toString).collect(Collectors.joining(" "));
        assertEquals(row.group(6), text, row.group());
      }
    }
    assertEquals(2, rows);
  }

  private static String page() throws IOException {
    for (Path at = Path.of("").toAbsolutePath(); at != null; at = at.getParent()) {
      Path file = at.resolve("docs/randomness.md");
      if (Files.exists(file)) {
        return Files.readString(file);
      }
    }
    throw new IOException("docs/randomness.md is in no folder above here");
  }

  @Test
  void otherKeysAndAddressesGiveOtherNumbers() {
    byte[] other = ascending();
    other[31] ^= 1;
    try (Secret secret = Secret.of(other);
        SecretRandom one = random(Stream.SUBSET, 0, 0);
        SecretRandom two = new SecretRandom(secret, Stream.SUBSET, 0, 0);
        SecretRandom round = random(Stream.SUBSET, 0, 1)) {
      assertFalse(Arrays.equals(one.subset(20, 1000), two.subset(20, 1000)));
      assertFalse(Arrays.equals(one.subset(20, 1000), round.subset(20, 1000)));
    }
  }

  @Test
  void addressesAreCheckedAndClosedOnesDrawNothing() {
    Secret secret = Secret.of(ascending());
    assertEquals(
        "node -1 is negative: nodes count from 0",
        assertThrows(
                IllegalArgumentException.class,
                () -> new SecretRandom(secret, Stream.SUBSET, -1, 0))
            .getMessage());
    assertEquals(
        "round 1099511627776 is outside [0, 2^40): larger ones would repeat numbers",
        assertThrows(
                IllegalArgumentException.class,
                () -> new SecretRandom(secret, Stream.SUBSET, 0, 1L << 40))
            .getMessage());
    SecretRandom random = new SecretRandom(secret, Stream.SUBSET, 0, 0);
    assertEquals(
        "index 4398046511104 is outside [0, 2^42): larger ones would repeat numbers",
        assertThrows(IllegalArgumentException.class, () -> random.word(1L << 42)).getMessage());
    secret.close();
    int[] set = random.subset(3, 8);
    assertEquals(3, set.length);
    random.close();
    random.close();
    assertThrows(IllegalStateException.class, () -> random.word(0));
    assertThrows(IllegalStateException.class, () -> new SecretRandom(secret, Stream.SUBSET, 0, 0));
  }
}
