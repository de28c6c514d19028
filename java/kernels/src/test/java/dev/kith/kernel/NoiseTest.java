package dev.kith.kernel;

import static dev.kith.kernel.Contract.refused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.NoiseField.Distribution;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The family noise against the oracle, bit for bit, on every tier, thread count and cut; published
 * blocks of ChaCha20; and what noise over a network must do.
 */
class NoiseTest {
  private static final List<Contract.Case> CASES = cases();

  private static List<Contract.Case> cases() {
    List<Contract.Case> cases = new ArrayList<>();
    NoiseCase.Shape[] shapes = NoiseCase.Shape.values();
    long seed = 260_000;
    int turn = 0;
    for (int cols : Contract.SIZES) {
      for (Distribution d : Distribution.values()) {
        for (boolean secret : new boolean[] {false, true}) {
          // 11 sources leave rows of a dense W over; every third case is of f64.
          NoiseCase.Shape shape = shapes[turn % 3];
          DType dtype = turn % 4 == 1 ? DType.F64 : DType.F32;
          int sources = cols < 100 ? 11 : 1 + turn % 5;
          add(cases, new NoiseCase(seed++, secret, d, shape, dtype, sources, cols));
          turn++;
        }
      }
    }
    for (Distribution d : Distribution.values()) {
      for (NoiseCase.Shape shape : shapes) {
        boolean secret = turn++ % 2 == 0;
        DType dtype = turn % 4 < 2 ? DType.F64 : DType.F32;
        // No source: what W writes is 0. Several tiles; one of them too large for a GPU's shared
        // memory, and columns that no row of W has.
        if (shape != NoiseCase.Shape.DENSE) {
          add(cases, new NoiseCase(seed++, secret, d, shape, dtype, 0, 37));
        }
        add(cases, new NoiseCase(seed++, secret, d, shape, dtype, 64, 1500));
        add(cases, new NoiseCase(seed++, !secret, d, shape, dtype, 401, 301));
      }
      add(cases, new NoiseCase(seed++, false, d, NoiseCase.Shape.NONE, DType.F32, 2, 40_009));
    }
    for (boolean secret : new boolean[] {false, true}) {
      Distribution d = Distribution.RADEMACHER;
      // A tile of signs has up to 8192 columns, fewer with many sources.
      for (DType dtype : new DType[] {DType.F32, DType.F64}) {
        add(cases, new NoiseCase(seed++, secret, d, NoiseCase.Shape.DENSE, dtype, 3, 20_011));
        add(cases, new NoiseCase(seed++, secret, d, NoiseCase.Shape.SPARSE, dtype, 300, 9001));
      }
      add(cases, new NoiseCase(seed++, secret, d, NoiseCase.Shape.SPARSE, DType.F32, 16_390, 1100));
      d = Distribution.NORMAL;
      add(cases, new NoiseCase(seed++, secret, d, NoiseCase.Shape.SPARSE, DType.F32, 16_390, 70));
      add(
          cases,
          new NoiseCase(seed++, secret, d, NoiseCase.Shape.NONE, DType.F32, 1, Contract.LARGE));
    }
    return cases;
  }

  private static void add(List<Contract.Case> cases, NoiseCase c) {
    cases.add(new Contract.Case(c.toString(), c::run));
  }

  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void rowsAndSumsFollowTheirFormulas(Rig rig) {
    Contract.run(rig, CASES);
  }

  /** Above 16 MiB y is stored past the caches. */
  @ParameterizedTest
  @MethodSource("dev.kith.kernel.Contract#rigs")
  void largeResultsAreTheSame(Rig rig) {
    int cols = (16 << 20) / 4 + 5;
    try (Rig.Session session = rig.open();
        DeviceMatrix y = DeviceMatrix.allocate(session.queue(), 1, cols, DType.F32);
        DeviceMatrix bits = DeviceMatrix.allocate(session.queue(), 1, cols, DType.I32)) {
      Noise.draw(field(Distribution.UNIFORM, 1), 1, y);
      Noise.draw(field(Distribution.WORDS, 1), 1, bits);
      float[] u = y.toFloats();
      int[] words = bits.toInts();
      for (int c = 0; c < cols; c++) {
        if (c < 1000 || c > cols - 1000 || c % 101 == 0) {
          int word = OracleNoise.publicWord(3, Stream.PERTURBATION, 0, 5, 7, c);
          assertEquals(word, words[c], "word " + c);
        }
        assertEquals(OracleNoise.uniform(words[c]), u[c], "uniform " + c);
      }
    }
  }

  private static NoiseField field(Distribution d, int count) {
    return NoiseField.shared(d, Stream.PERTURBATION, 3, 7, 5, count);
  }

  // ---- published values of ChaCha20

  private static int[] littleEndian(String hex) {
    byte[] bytes = HexFormat.of().parseHex(hex.replaceAll("[: ]", ""));
    int[] words = new int[bytes.length / 4];
    for (int i = 0; i < bytes.length; i++) {
      words[i / 4] |= (bytes[i] & 255) << (8 * (i % 4));
    }
    return words;
  }

  /** RFC 8439, 2.1.1, 2.3.2 and A.1 (1 to 5). */
  @Test
  void theOracleGivesTheBlocksOfTheRfc() {
    int[] x = {0x11111111, 0x01020304, 0x9b8d6f43, 0x01234567};
    OracleNoise.quarterRound(x, 0, 1, 2, 3);
    assertArrayEquals(new int[] {0xea2a92f4, 0xcb1cf8ce, 0x4581472e, 0x5881c4bb}, x);
    String ascending = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    String zero = "00".repeat(32);
    block(
        ascending,
        "01000000 00000009 0000004a 00000000",
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
            + "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e");
    block(
        zero,
        "00".repeat(16),
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
            + "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586");
    block(
        zero,
        "01000000" + "00".repeat(12),
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
            + "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f");
    block(
        "00".repeat(31) + "01",
        "01000000" + "00".repeat(12),
        "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
            + "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0");
    block(
        "00ff" + "00".repeat(30),
        "02000000" + "00".repeat(12),
        "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
            + "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096");
    block(
        zero,
        "00".repeat(15) + "02",
        "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
            + "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d");
  }

  private static void block(String key, String counterAndNonce, String bytes) {
    assertArrayEquals(
        littleEndian(bytes),
        OracleNoise.chachaBlock(littleEndian(key), littleEndian(counterAndNonce)));
  }

  /**
   * Key 0 and a row whose counter words are all 0 but for the tag would be the block of the RFC.
   */
  @Test
  void kernelsGiveTheBlockOfTheRfcForAKey() {
    try (Rig.Session session = Rig.best().open();
        Secret zero = Secret.of(new byte[Secret.BYTES])) {
      DeviceMatrix y = session.matrix(DType.I32, new double[1][16], 16);
      NoiseField rows =
          NoiseField.secret(
              Distribution.WORDS, Stream.PARTITION, List.of(new NoiseField.SecretRow(zero, 0, 0)));
      Noise.draw(rows, 1, y);
      // Tag 2 in the last byte of the nonce: A.1, test vector 5.
      assertArrayEquals(
          littleEndian(
              "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
                  + "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d"),
          y.toInts());
    }
  }

  // ---- noise over a network

  /** Edges of a ring as columns: each row of y has +w of one and -w of the other. */
  private static MixingWeights ring(Rig.Session session, int n, double w) {
    long[] offsets = new long[n + 1];
    int[] columns = new int[2 * n];
    double[] values = new double[2 * n];
    for (int i = 0; i < n; i++) {
      offsets[i + 1] = 2L * (i + 1);
      columns[2 * i] = (i + n - 1) % n;
      values[2 * i] = -w;
      columns[2 * i + 1] = i;
      values[2 * i + 1] = w;
    }
    return MixingWeights.sparse(session.queue(), n, n, offsets, columns, values);
  }

  @Test
  void theEndsOfALoneEdgeDifferInTheSignBitAlone() {
    try (Rig.Session session = Rig.best().open();
        Secret secret = Secret.random();
        MixingWeights edge =
            MixingWeights.sparse(
                session.queue(),
                2,
                1,
                new long[] {0, 1, 2},
                new int[] {0, 0},
                new double[] {0.3, -0.3})) {
      for (Distribution d : List.of(Distribution.NORMAL, Distribution.LAPLACE)) {
        for (DType t : List.of(DType.F32, DType.F64)) {
          DeviceMatrix y = session.matrix(t, new double[2][5000], 5000);
          NoiseField rows =
              NoiseField.secret(
                  d, Stream.EDGE_NOISE, List.of(new NoiseField.SecretRow(secret, 9, 4)));
          Noise.sum(edge, rows, 1.7, false, y);
          double[] both = y.toDoubles();
          for (int c = 0; c < 5000; c++) {
            long one = Double.doubleToRawLongBits(both[c]);
            assertEquals(one ^ Long.MIN_VALUE, Double.doubleToRawLongBits(both[5000 + c]));
          }
        }
      }
    }
  }

  /** Nodes in one process or in two: an edge between them is drawn in both, with the same bits. */
  @Test
  void cutsOfTheNetworkDoNotChangeNoise() {
    int n = 6;
    int cols = 333;
    try (Rig.Session session = Rig.best().open();
        MixingWeights all = ring(session, n, 2.5);
        MixingWeights part =
            MixingWeights.sparse(
                session.queue(),
                2,
                3,
                new long[] {0, 2, 4},
                new int[] {0, 1, 1, 2},
                new double[] {-2.5, 2.5, -2.5, 2.5})) {
      DeviceMatrix whole = session.matrix(DType.F32, new double[n][cols], cols);
      DeviceMatrix own = session.matrix(DType.F32, new double[2][cols], cols);
      Noise.sum(
          all,
          NoiseField.shared(Distribution.NORMAL, Stream.EDGE_NOISE, 8, 1, 0, n),
          1,
          true,
          whole);
      // Nodes 3 and 4, with edges 2, 3 and 4.
      Noise.sum(
          part,
          NoiseField.shared(Distribution.NORMAL, Stream.EDGE_NOISE, 8, 1, 2, 3),
          1,
          true,
          own);
      assertArrayEquals(Arrays.copyOfRange(whole.toDoubles(), 3 * cols, 5 * cols), own.toDoubles());
    }
  }

  /** Columns of a larger matrix have the numbers of their own first columns, rows theirs. */
  @Test
  void distributionsGeneratorsAndAddressesHaveNumbersOfTheirOwn() {
    try (Rig.Session session = Rig.best().open();
        Secret secret = Secret.of(new byte[Secret.BYTES])) {
      List<NoiseField> fields = new ArrayList<>();
      for (Distribution d : List.of(Distribution.UNIFORM, Distribution.NORMAL)) {
        for (long round : new long[] {0, 1, 1L << 32}) {
          for (Stream s : List.of(Stream.NODE_NOISE, Stream.EDGE_NOISE)) {
            fields.add(NoiseField.shared(d, s, 0, round, 0, 1));
            fields.add(NoiseField.shared(d, s, 1, round, 1, 1));
            fields.add(
                NoiseField.secret(d, s, List.of(new NoiseField.SecretRow(secret, round, 0))));
          }
        }
      }
      List<double[]> drawn = new ArrayList<>();
      for (NoiseField field : fields) {
        DeviceMatrix y = session.matrix(DType.F32, new double[1][8], 8);
        Noise.draw(field, 1, y);
        double[] row = y.toDoubles();
        for (double[] other : drawn) {
          for (int c = 0; c < 8; c++) {
            assertNotEquals(other[c], row[c]);
          }
        }
        drawn.add(row);
      }
    }
  }

  // ---- secrets

  @Test
  void secretsAreNotShownAndEndWhenClosed() {
    byte[] bytes = new byte[Secret.BYTES];
    bytes[5] = 77;
    Secret one = Secret.of(bytes);
    Secret same = Secret.of(bytes);
    assertEquals(one, same);
    assertEquals(one.hashCode(), same.hashCode());
    assertNotEquals(one, Secret.random());
    assertNotEquals(Secret.random(), Secret.random());
    assertEquals("Secret", one.toString());
    NoiseField field =
        NoiseField.secret(
            Distribution.NORMAL, Stream.NODE_NOISE, List.of(new NoiseField.SecretRow(one, 0, 0)));
    assertTrue(field.isSecret());
    assertFalse(field(Distribution.NORMAL, 1).isSecret());
    refused("31", () -> Secret.of(new byte[31]));
    try (Rig.Session session = Rig.best().open()) {
      DeviceMatrix y = session.matrix(DType.F32, new double[1][8], 8);
      Noise.draw(field, 1, y);
      one.close();
      one.close();
      assertNotEquals(one, same);
      IllegalStateException e =
          assertThrows(IllegalStateException.class, () -> Noise.draw(field, 1, y));
      assertTrue(e.getMessage().contains("closed"), e.getMessage());
    }
    same.close();
  }

  // ---- what is refused

  @Test
  void argumentsThatDoNotFitAreRefused() {
    try (Rig.Session session = Rig.best().open();
        MixingWeights w =
            MixingWeights.dense(session.queue(), 2, 3, new double[] {1, 2, 3, 4, 5, 6})) {
      DeviceMatrix y = session.matrix(DType.F32, new double[2][9], 9);
      DeviceMatrix half = session.matrix(DType.BF16, new double[2][9], 9);
      DeviceMatrix bits = session.matrix(DType.I32, new double[2][9], 9);
      NoiseField two = field(Distribution.NORMAL, 2);
      NoiseField words = field(Distribution.WORDS, 2);
      refused("3 rows", () -> Noise.draw(field(Distribution.NORMAL, 3), 1, y));
      refused("2 rows", () -> Noise.sum(w, two, 1, false, y));
      refused("NaN", () -> Noise.draw(two, Double.NaN, y));
      refused("Infinity", () -> Noise.add(two, Double.POSITIVE_INFINITY, y));
      refused("BF16", () -> Noise.draw(two, 1, half));
      refused("I32", () -> Noise.draw(two, 1, bits));
      refused("F32", () -> Noise.draw(words, 1, y));
      refused("2.0", () -> Noise.draw(words, 2, bits));
      refused("summed", () -> Noise.add(words, 1, bits));
      refused(
          "3 x 9",
          () ->
              Noise.sum(
                  w,
                  field(Distribution.NORMAL, 3),
                  1,
                  false,
                  session.matrix(DType.I32, new double[3][9], 9)));
      refused(
          "1099511627776",
          () -> NoiseField.shared(Distribution.NORMAL, Stream.TEST, 0, 1L << 40, 0, 1));
      refused("-1", () -> NoiseField.shared(Distribution.NORMAL, Stream.TEST, 0, -1, 0, 1));
      refused(
          "2147483647",
          () -> NoiseField.shared(Distribution.NORMAL, Stream.TEST, 0, 0, Integer.MAX_VALUE, 2));
      refused("-1 rows", () -> NoiseField.shared(Distribution.NORMAL, Stream.TEST, 0, 0, 0, -1));
    }
  }
}
