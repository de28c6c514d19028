package dev.kith.compress;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class AdaptiveLowRankTest {
  private static final int ROWS = 24;
  private static final int COLS = 18;
  private static final int D = ROWS * COLS + 3;
  private static final Layout LAYOUT =
      Layout.builder().tensor("w", "", ROWS, COLS).tensor("b", "", 3).build();
  private static final Codec.Sender SENDER = new Codec.Sender(0, 7, 0);

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** A matrix with these singular values between two reflections, then a vector of ones. */
  private static float[] spectrum(double... values) {
    double[] u = unit(1, ROWS);
    double[] v = unit(2, COLS);
    float[] row = new float[D];
    for (int i = 0; i < ROWS; i++) {
      for (int j = 0; j < COLS; j++) {
        double sum = 0;
        for (int k = 0; k < values.length; k++) {
          double left = (i == k ? 1 : 0) - 2 * u[i] * u[k];
          double right = (j == k ? 1 : 0) - 2 * v[j] * v[k];
          sum += left * values[k] * right;
        }
        row[i * COLS + j] = (float) sum;
      }
    }
    for (int c = ROWS * COLS; c < D; c++) {
      row[c] = 1;
    }
    return row;
  }

  private static double[] unit(int k, int length) {
    SharedRandom random = new SharedRandom(k, Stream.TEST, 0, 0);
    double[] v = new double[length];
    double square = 0;
    for (int c = 0; c < length; c++) {
      v[c] = random.normal(c);
      square += v[c] * v[c];
    }
    for (int c = 0; c < length; c++) {
      v[c] /= Math.sqrt(square);
    }
    return v;
  }

  private DeviceMatrix row(float[] values) {
    DeviceMatrix row = DeviceMatrix.allocate(queue, 1, LAYOUT, DType.F32);
    row.upload(values);
    return row;
  }

  private int effective(double share, int largest, double... values) {
    try (DeviceMatrix x = row(spectrum(values));
        AdaptiveLowRank adaptive =
            new AdaptiveLowRank(PowerSgd.ofRank(largest), x, SENDER, share, 5)) {
      return adaptive.observe(x);
    }
  }

  @Test
  void theEffectiveRankHoldsItsShareOfTheSquares() {
    // Squares 100, 25, 1, 0.25 of 126.25: 79.2 %, 99.0 %, 99.8 %.
    assertEquals(1, effective(0.79, 6, 10, 5, 1, 0.5));
    assertEquals(2, effective(0.9, 6, 10, 5, 1, 0.5));
    assertEquals(3, effective(0.995, 6, 10, 5, 1, 0.5));
    assertEquals(4, effective(0.999, 6, 10, 5, 1, 0.5));
    assertEquals(2, effective(0.999, 2, 10, 5, 1, 0.5), "at most the first rank");
    assertEquals(5, effective(0.9, 6, 1, 1, 1, 1, 1));
    assertEquals(1, effective(0.9, 6, 0));
  }

  @Test
  void eigenvaluesAreThoseOfTheMatrix() {
    // (2 1; 1 2) beside 5.
    assertArrayEquals(
        new double[] {5, 3, 1},
        SingularShares.eigenvalues(new double[][] {{2, 1, 0}, {1, 2, 0}, {0, 0, 5}}),
        1e-14);
    assertArrayEquals(new double[2], SingularShares.eigenvalues(new double[2][2]));
  }

  @Test
  void theRankIsTheMeanOfTheLastOnes() {
    RankWindow window = new RankWindow(8, 5);
    int[] seen = {1, 2, 3, 4, 4, 4, 1, 1, 1, 1};
    // Means 2.8, 3.4, 3.2, 2.8, 2.2, 1.6.
    int[] ranks = {8, 8, 8, 8, 3, 3, 3, 3, 2, 2};
    for (int k = 0; k < seen.length; k++) {
      window.observe(seen[k]);
      assertEquals(ranks[k], window.rank(), "after " + (k + 1));
    }
    RankWindow pair = new RankWindow(3, 2);
    pair.observe(2);
    pair.observe(3);
    assertEquals(3, pair.rank(), "halves go up");
  }

  @Test
  void aConstantSpectrumKeepsTheRank() {
    try (DeviceMatrix x = row(spectrum(10, 5, 1, 0.5));
        AdaptiveLowRank adaptive = new AdaptiveLowRank(PowerSgd.ofRank(6), x, SENDER)) {
      for (int k = 0; k < 20; k++) {
        assertEquals(k < 5 ? 6 : 2, adaptive.rank(), "round " + k);
        assertEquals(2, adaptive.observe(x));
      }
    }
  }

  @Test
  void aRankThatMakesNothingShorterLosesNothing() {
    try (DeviceMatrix x = row(spectrum(10, 5, 1, 0.5));
        AdaptiveLowRank adaptive = new AdaptiveLowRank(PowerSgd.ofRank(18), x, SENDER);
        DeviceMatrix decoded = x.like()) {
      Messages messages = adaptive.encode(x, 0);
      messages.codec().decode(messages, decoded);
      assertArrayEquals(x.toFloats(), decoded.toFloats());
      assertArrayEquals(new float[D], adaptive.residual().toFloats());
    }
  }

  @Test
  void messagesShrinkWithTheRankAndNothingIsLostForGood() {
    PowerSgd compressor = (PowerSgd) Compressor.parse("power-sgd:6+int4");
    try (DeviceMatrix x = row(spectrum(10, 5, 1, 0.5));
        AdaptiveLowRank adaptive = new AdaptiveLowRank(compressor, x, SENDER);
        DeviceMatrix decoded = x.like()) {
      double[] sent = new double[D];
      for (int round = 0; round < 12; round++) {
        Messages messages = adaptive.encode(x, round);
        int rank = round < 5 ? 6 : 2;
        assertEquals(
            64 + new PowerSgd(rank, true, compressor.factors()).payloadBytes(LAYOUT),
            messages.messageBytes());
        messages.codec().decode(messages, decoded);
        double[] part = decoded.toDoubles();
        double[] residual = adaptive.residual().toDoubles();
        float[] meant = x.toFloats();
        for (int c = 0; c < D; c++) {
          sent[c] += part[c];
          // A rounding of numbers below 64 a round.
          assertEquals((round + 1.0) * meant[c], sent[c] + residual[c], 12 * 64 * 0x1p-23);
        }
        adaptive.observe(x);
      }
    }
  }

  @Test
  void aSmallerRankGoesOnWithTheFirstDirections() {
    try (DeviceMatrix x = row(spectrum(10, 7, 5, 3));
        AdaptiveLowRank adaptive = new AdaptiveLowRank(PowerSgd.ofRank(4), x, SENDER, 0.5, 1);
        Codec alone = PowerSgd.ofRank(1).bind(x, SENDER);
        Messages own = alone.messages();
        DeviceMatrix residual = x.like()) {
      adaptive.encode(x, 0);
      assertEquals(4, adaptive.rank());
      // 100 of 183 squares.
      assertEquals(1, adaptive.observe(x));
      try (DeviceMatrix kept = adaptive.state().get("directions").columns(0, COLS)) {
        alone.state().get("start").copyFrom(kept);
      }
      residual.copyFrom(adaptive.residual());
      alone.encode(x, Optional.empty(), Optional.of(residual), own, 1);
      Messages messages = adaptive.encode(x, 1);
      assertArrayEquals(own.words().toInts(), messages.words().toInts());
      assertArrayEquals(residual.toFloats(), adaptive.residual().toFloats());
    }
  }

  @Test
  void aRoundCanBeTakenBackAndGoneOnFromASnapshot() {
    try (DeviceMatrix x = row(spectrum(10, 7, 5, 3));
        AdaptiveLowRank first = new AdaptiveLowRank(PowerSgd.ofRank(4), x, SENDER, 0.9, 2);
        AdaptiveLowRank second = new AdaptiveLowRank(PowerSgd.ofRank(4), x, SENDER, 0.9, 2)) {
      for (int round = 0; round < 4; round++) {
        first.encode(x, round);
        first.observe(x);
      }
      int[] expected = first.encode(x, 4).words().toInts();
      first.undo();
      first.undo();
      assertArrayEquals(expected, first.encode(x, 4).words().toInts());
      first.undo();
      first.state().forEach((name, matrix) -> second.state().get(name).copyFrom(matrix));
      second.counters(first.counters());
      assertEquals(3, second.rank());
      assertArrayEquals(expected, second.encode(x, 4).words().toInts());
    }
  }

  @Test
  void whatIsNoRuleIsRefused() {
    try (DeviceMatrix x = row(new float[D]);
        DeviceMatrix f64 = DeviceMatrix.allocate(queue, 1, LAYOUT, DType.F64);
        DeviceMatrix flat = DeviceMatrix.allocate(queue, 1, 9, DType.F32)) {
      PowerSgd four = PowerSgd.ofRank(4);
      refused("share", () -> new AdaptiveLowRank(four, x, SENDER, 0, 5));
      refused("share", () -> new AdaptiveLowRank(four, x, SENDER, Double.NaN, 5));
      refused("window of 0", () -> new AdaptiveLowRank(four, x, SENDER, 0.9, 0));
      refused("F64", () -> new AdaptiveLowRank(four, f64, SENDER));
      refused("two dimensions", () -> new AdaptiveLowRank(four, flat, SENDER));
      refused(
          "cold", () -> new AdaptiveLowRank(new PowerSgd(4, false, Optional.empty()), x, SENDER));
      try (AdaptiveLowRank adaptive = new AdaptiveLowRank(four, x, SENDER)) {
        refused("columns", () -> adaptive.observe(flat));
        refused("no window", () -> adaptive.counters(new long[3]));
        refused("no window", () -> adaptive.counters(new long[] {1, 5, 0, 0, 0, 0}));
        refused("no window", () -> adaptive.counters(new long[] {2, 1, 0, 0, 0, 0}));
        x.set(0, 2, Double.NaN);
        refused("NaN", () -> adaptive.observe(x));
        assertEquals(0, adaptive.counters()[0]);
      }
      refused("effective rank of 0", () -> new RankWindow(4, 5).observe(0));
      refused("effective rank of 5", () -> new RankWindow(4, 5).observe(5));
    }
  }

  private static void refused(String part, Runnable action) {
    String text = assertThrows(IllegalArgumentException.class, action::run).getMessage();
    assertTrue(text.contains(part), text);
  }
}
