package dev.kith.random;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/**
 * Guards docs/randomness.md: the layout, the conversions and the golden values must never drift.
 */
class SharedRandomTest {
  private static final Pattern GOLDEN =
      Pattern.compile(
          "\\| (\\d+) \\| (-?\\d+) \\| `(\\w+)` \\| (\\d+) \\| (\\d+) \\| `(\\w+)\\(([^)]*)\\)` \\| (.+?) \\|");
  private static final Pattern BLOCK =
      Pattern.compile("\\| `([0-9a-f ]{35})` \\| `([0-9a-f ]{17})` \\| `([0-9a-f ]{35})` \\|");

  private static List<String> document() throws IOException {
    for (Path at = Path.of("").toAbsolutePath(); at != null; at = at.getParent()) {
      Path file = at.resolve("docs/randomness.md");
      if (Files.exists(file)) {
        return Files.readAllLines(file);
      }
    }
    throw new IOException(
        "docs/randomness.md is in no folder above " + Path.of("").toAbsolutePath());
  }

  private static List<Matcher> rows(Pattern pattern) throws IOException {
    List<Matcher> rows = new ArrayList<>();
    for (String line : document()) {
      Matcher m = pattern.matcher(line);
      if (m.matches()) {
        rows.add(m);
      }
    }
    return rows;
  }

  private static int[] words(String hex) {
    return Arrays.stream(hex.split(" ", -1))
        .mapToInt(w -> Integer.parseUnsignedInt(w, 16))
        .toArray();
  }

  private static int[] block(int rounds, int... counterAndKey) {
    int[] out = new int[4];
    int[] c = counterAndKey;
    Philox.block(rounds, c[0], c[1], c[2], c[3], c[4], c[5], out);
    return out;
  }

  @Test
  void philoxGivesTheKnownAnswersOfTheDocument() throws IOException {
    List<Matcher> rows = rows(BLOCK);
    assertEquals(6, rows.size());
    for (Matcher row : rows) {
      int[] c = words(row.group(1));
      int[] k = words(row.group(2));
      int[] out = new int[4];
      Philox.block(c[0], c[1], c[2], c[3], k[0], k[1], out);
      assertArrayEquals(words(row.group(3)), out, row.group());
    }
  }

  @Test
  void sevenRoundsGiveTheirKnownAnswer() {
    assertArrayEquals(words("5f6fb709 0d893f64 4f121f81 4f730a48"), block(7, 0, 0, 0, 0, 0, 0));
  }

  @Test
  void goldenValuesOfTheDocumentHold() throws IOException {
    List<Matcher> rows = rows(GOLDEN);
    assertEquals(30, rows.size());
    for (Matcher row : rows) {
      SharedRandom random =
          new SharedRandom(
              Long.parseLong(row.group(2)),
              Stream.valueOf(row.group(3)),
              Integer.parseInt(row.group(4)),
              Long.parseLong(row.group(5)));
      long[] at = Arrays.stream(row.group(7).split(", ", -1)).mapToLong(Long::parseLong).toArray();
      String value = row.group(8).replace("`", "");
      String actual =
          switch (row.group(6)) {
            case "word" -> String.format("0x%08x", random.word(at[0]));
            case "uniformFloat" -> {
              float u = random.uniformFloat(at[0]);
              yield String.format("0x%08x = %.9g", Float.floatToRawIntBits(u), u);
            }
            case "uniform" -> bits(random.uniform(at[0]));
            case "normal" -> bits(random.normal(at[0]));
            case "below" -> Long.toString(random.below(at[0], at[1]));
            case "permutation" ->
                Arrays.toString(random.permutation((int) at[0])).replaceAll("[\\[\\],]", "");
            case "subset" ->
                Arrays.toString(random.subset((int) at[0], (int) at[1]))
                    .replaceAll("[\\[\\],]", "");
            default -> "no such call";
          };
      // The decimal after the bits is there for readers, who may round it differently.
      String[] expected = value.split(" = ", -1);
      assertEquals(expected[0], actual.split(" = ", -1)[0], row.group());
      if (expected.length == 2) {
        assertEquals(
            Double.parseDouble(expected[1]), Double.parseDouble(actual.split(" = ", -1)[1]), 1e-9);
      }
    }
  }

  private static String bits(double d) {
    return String.format("0x%016x = %s", Double.doubleToRawLongBits(d), d);
  }

  @Test
  void streamTagsAreThoseOfTheDocumentAndDiffer() throws IOException {
    Pattern tag = Pattern.compile("\\| (\\d+) \\| `(\\w+)` \\| [^|]+ \\|");
    Set<String> documented = new HashSet<>();
    for (Matcher row : rows(tag)) {
      documented.add(row.group(2) + "=" + row.group(1));
    }
    Set<String> actual = new HashSet<>();
    Set<Integer> tags = new HashSet<>();
    for (Stream s : Stream.values()) {
      actual.add(s + "=" + s.tag());
      assertTrue(s.tag() > 0 && s.tag() < 256 && tags.add(s.tag()), s.toString());
    }
    assertEquals(documented, actual);
  }

  @Test
  void uniformsOfTheZeroBlock() {
    int[] w = block(10, 0, 0, 0, 0, 0, 0);
    int[] expected = words("3ecc4fd1 3f6169c6 3f3c57ac 3f1b00dc");
    for (int i = 0; i < 4; i++) {
      assertEquals(expected[i], Float.floatToRawIntBits(SharedRandom.uniformFloat24(w[i])));
    }
    long first = (long) w[0] << 32 | (w[1] & 0xFFFFFFFFL);
    long second = (long) w[2] << 32 | (w[3] & 0xFFFFFFFFL);
    // The documented 32-bit values agree with the 53-bit ones to 2^-32.
    assertEquals(0.3990464707603678, SharedRandom.uniformDouble53(first), 0x1p-32);
    assertEquals(0.7357127844588831, SharedRandom.uniformDouble53(second), 0x1p-32);
    assertEquals(-0.255815970203516, Normal.fromBits(first >>> 11), 1e-15);
    assertEquals(0.630183656431127, Normal.fromBits(second >>> 11), 1e-15);
  }

  @Test
  void uniformsAreNeverZeroOrOne() {
    assertEquals(0x1p-25f, SharedRandom.uniformFloat24(0));
    assertEquals(Math.nextDown(1f), SharedRandom.uniformFloat24(-1));
    assertEquals(1 - 0x1p-23f, SharedRandom.uniformFloat24(0xFFFFFEFF));
    assertEquals(0x1p-54, SharedRandom.uniformDouble53(0));
    assertEquals(Math.nextDown(1.0), SharedRandom.uniformDouble53(-1L));
  }

  /** Quantiles to 17 digits, made with a 40-digit inverse of the error function. */
  @Test
  void normalQuantilesAreAccurateInEveryBranch() {
    double[][] known = {
      {0.499999999, -2.5066283428845328e-09},
      {0.49, -0.025068908258711057},
      {0.3, -0.5244005127080408},
      {0.2, -0.8416212335729142},
      {0.1, -1.2815515655446004},
      {0.08, -1.4050715603096327},
      {0.075, -1.439531470938456},
      {0.0749999, -1.4395321773759007},
      {0.05, -1.6448536269514726},
      {0.025, -1.9599639845400543},
      {0.01, -2.326347874040841},
      {0.001, -3.0902323061678136},
      {1e-06, -4.753424308822899},
      {1e-10, -6.361340902404057},
      {1.3887943864964021e-11, -6.657904643501103},
      {1.38e-11, -6.658838502850766},
      {1e-12, -7.034483825301132},
      {1e-15, -7.941345326170997},
      {5.551115123125783e-17, -8.292361075813595},
      {1.6653345369377348e-16, -8.160707840858583}
    };
    for (double[] pair : known) {
      // Relative error about 1e-16 in the paper; four more roundings of the evaluation itself.
      double tolerance = Math.abs(pair[1]) * 8 * 0x1p-53;
      assertEquals(pair[1], Normal.lower(pair[0]), tolerance, "quantile of " + pair[0]);
    }
  }

  @Test
  void normalsAreSymmetricAndFinite() {
    long top = (1L << 53) - 1;
    assertEquals(-8.292361075813595, Normal.fromBits(0), 1e-14);
    for (long m : new long[] {0, 1, 12345, 1L << 40, (1L << 52) - 1, 0x123456789ABCDL}) {
      assertEquals(Normal.fromBits(m), -Normal.fromBits(top - m), 0.0);
    }
    assertTrue(Normal.fromBits(1L << 52) > 0);
  }

  @Test
  void everyPartOfTheAddressMatters() {
    Set<Integer> seen = new HashSet<>();
    List<SharedRandom> all = new ArrayList<>();
    for (long seed : new long[] {0, 1, 1L << 32, -1}) {
      for (Stream stream : new Stream[] {Stream.BATCH, Stream.DATA}) {
        for (int node : new int[] {0, 1, 1 << 8, Integer.MAX_VALUE}) {
          for (long round : new long[] {0, 1, 1L << 8, 1L << 32, SharedRandom.MAX_ROUNDS - 1}) {
            all.add(new SharedRandom(seed, stream, node, round));
          }
        }
      }
    }
    int count = 0;
    for (SharedRandom r : all) {
      for (long index : new long[] {0, 1, 3, 4, 1L << 34, 1L << 40, SharedRandom.MAX_WORDS - 1}) {
        seen.add(r.word(index));
        count++;
      }
    }
    assertEquals(1120, count);
    // 1120 of 2^32 words collide with probability below 1.5e-4, and this seed set does not.
    assertEquals(count, seen.size());
  }

  @Test
  void normalsAndBoundedIntegersReadBitsOfTheirOwn() {
    SharedRandom r = new SharedRandom(1, Stream.TEST, 0, 0);
    int sameSide = 0;
    for (int i = 0; i < 64; i++) {
      sameSide += (r.normal(i) > 0) == (r.uniform(i) > 0.5) ? 1 : 0;
    }
    assertNotEquals(64, sameSide);
    long uniform = (long) (r.uniform(5) * (1L << 40));
    assertNotEquals(uniform, r.below(5, 1L << 40));
  }

  @Test
  void everySubsetIsEquallyLikely() {
    int draws = 20_000;
    int[] counts = new int[1 << 6];
    for (int round = 0; round < draws; round++) {
      int bits = 0;
      for (int c : new SharedRandom(3, Stream.SUBSET, 0, round).subset(3, 6)) {
        bits |= 1 << c;
      }
      counts[bits]++;
    }
    double chiSquare = 0;
    for (int bits = 0; bits < counts.length; bits++) {
      if (Integer.bitCount(bits) != 3) {
        assertEquals(0, counts[bits]);
        continue;
      }
      chiSquare += Math.pow(counts[bits] - draws / 20.0, 2) / (draws / 20.0);
    }
    // 20 sets, 19 degrees of freedom: above 50.8 with probability 1e-4.
    assertTrue(chiSquare < 50.8, "chi square " + chiSquare);
    assertArrayEquals(new int[0], new SharedRandom(1, Stream.SUBSET, 0, 0).subset(0, 0));
    assertArrayEquals(
        new int[] {0, 1, 2, 3}, new SharedRandom(1, Stream.SUBSET, 0, 0).subset(4, 4));
  }

  @Test
  void addressesThatDoNotFitAreRefused() {
    SharedRandom r = new SharedRandom(1, Stream.TEST, 0, 0);
    refused("node -1 ", () -> new SharedRandom(1, Stream.TEST, -1, 0));
    refused("round -5 ", () -> new SharedRandom(1, Stream.TEST, 0, -5));
    refused(
        "round 1099511627776 ", () -> new SharedRandom(1, Stream.TEST, 0, SharedRandom.MAX_ROUNDS));
    refused("index -1 ", () -> r.word(-1));
    refused("index 4398046511104 ", () -> r.word(SharedRandom.MAX_WORDS));
    refused("index 4398046511104 ", () -> r.uniformFloat(SharedRandom.MAX_WORDS));
    refused("index 2199023255552 ", () -> r.uniform(SharedRandom.MAX_WORDS / 2));
    refused("index 2199023255552 ", () -> r.normal(SharedRandom.MAX_WORDS / 2));
    refused("index 2199023255552 ", () -> r.below(SharedRandom.MAX_WORDS / 2, 3));
    refused("bound 0 ", () -> r.below(0, 0));
    refused("bound -7 ", () -> r.below(0, -7));
    refused("n -1 ", () -> r.permutation(-1));
    refused("k -1 ", () -> r.subset(-1, 4));
    refused("k 5 is outside [0, 4]", () -> r.subset(5, 4));
    refused("k 0 is outside [0, -1]", () -> r.subset(0, -1));
    refused("holds 3", () -> Philox.block(0, 0, 0, 0, 0, 0, new int[3]));
  }

  private static void refused(String offendingValue, Runnable call) {
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, call::run, offendingValue);
    assertTrue(e.getMessage().contains(offendingValue), e.getMessage());
  }
}
