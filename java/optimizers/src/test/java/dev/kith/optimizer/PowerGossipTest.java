package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class PowerGossipTest {
  private static final int ROWS = 9;
  private static final int COLS = 7;
  private static final int VECTOR = 5;
  private static final Layout LAYOUT =
      Layout.builder().tensor("w", "", ROWS, COLS).tensor("b", "", VECTOR).build();
  private static final int D = ROWS * COLS + VECTOR;

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static Network network(MixingMatrix w) {
    return Network.builder(MixingSchedule.constant(w)).build();
  }

  /** Node i has M + u_i v_i' summed over {@code rank} terms, the same M at all nodes. */
  private static float[][] start(int nodes, int rank) {
    float[][] x = new float[nodes][D];
    for (int i = 0; i < nodes; i++) {
      for (int c = 0; c < D; c++) {
        x[i][c] = normal(0, 9, c);
      }
      for (int k = 0; k < rank; k++) {
        for (int r = 0; r < ROWS; r++) {
          for (int c = 0; c < COLS; c++) {
            x[i][r * COLS + c] += normal(i, 2L * k, r) * normal(i, 2L * k + 1, c);
          }
        }
      }
      for (int c = ROWS * COLS; c < D; c++) {
        x[i][c] = normal(i, 8, c);
      }
    }
    return x;
  }

  private static float normal(int node, long round, long index) {
    return (float) new SharedRandom(3, Stream.TEST, node, round).normal(index);
  }

  private DeviceMatrix rows(float[][] x) {
    DeviceMatrix m = DeviceMatrix.allocate(queue, x.length, LAYOUT, DType.F32);
    float[] all = new float[x.length * D];
    for (int i = 0; i < x.length; i++) {
      System.arraycopy(x[i], 0, all, i * D, D);
    }
    m.upload(all);
    return m;
  }

  /** The rows after some rounds of gossip. */
  private double[] gossip(MixingMatrix w, int rank, float[][] start, int rounds) {
    try (Network network = network(w);
        DeviceMatrix x = rows(start);
        PowerGossip gossip = PowerGossip.builder(network, x).rank(rank).build()) {
      for (int round = 0; round < rounds; round++) {
        gossip.mix(x, x, round);
      }
      return x.toDoubles();
    }
  }

  /** W X for one round. */
  private double[] mixed(MixingMatrix w, float[][] start) {
    double[][] x = new double[start.length][D];
    for (int i = 0; i < start.length; i++) {
      for (int c = 0; c < D; c++) {
        x[i][c] = start[i][c];
      }
    }
    return Arrays.stream(w.times(x)).flatMapToDouble(Arrays::stream).toArray();
  }

  @Test
  void differencesOfTheRankAreMetAsByPlainGossip() {
    MixingMatrix w = Algorithm.ring(6);
    // Two neighbours with M + u v' differ by a matrix of rank 2.
    float[][] start = start(6, 1);
    // f32: numbers below 16, sums of 9 products, twice.
    assertArrayEquals(mixed(w, start), gossip(w, 2, start, 1), 32 * 0x1p-20);
    double worst = 0;
    double[] plain = mixed(w, start);
    double[] rank1 = gossip(w, 1, start, 1);
    for (int k = 0; k < plain.length; k++) {
      worst = Math.max(worst, Math.abs(plain[k] - rank1[k]));
    }
    assertTrue(worst > 1e-2, "rank 1 misses something: " + worst);
  }

  @Test
  void ranksThatMakeNothingShorterArePlainGossip() {
    // 4 (9 + 7) >= 9 x 7: everything travels whole.
    MixingMatrix w = Algorithm.ring(6);
    float[][] start = start(6, 7);
    assertArrayEquals(mixed(w, start), gossip(w, 4, start, 1), 16 * 0x1p-20);
  }

  @Test
  void twoNodesWithHalfTheWeightMeetInTheMiddle() {
    MixingMatrix w = MixingMatrix.uniform(2);
    float[][] start = start(2, 1);
    double[] x = gossip(w, 2, start, 1);
    for (int c = 0; c < D; c++) {
      double middle = ((double) start[0][c] + start[1][c]) / 2;
      assertEquals(middle, x[c], 32 * 0x1p-20);
      assertEquals(middle, x[D + c], 32 * 0x1p-20);
    }
  }

  @Test
  void theSumOverTheNodesStaysWhateverTheRoundsMiss() {
    for (MixingMatrix w : new MixingMatrix[] {Algorithm.ring(7), MixingMatrix.uniform(5)}) {
      int n = w.nodes();
      float[][] start = start(n, 7);
      double[] x = gossip(w, 1, start, 50);
      for (int c = 0; c < D; c++) {
        double before = 0;
        double after = 0;
        for (int i = 0; i < n; i++) {
          before += start[i][c];
          after += x[i * D + c];
        }
        // Each node rounds n times a round, numbers below 16: 50 n n half-units of 2^-20.
        assertEquals(before, after, 50 * n * n * 0x1p-21);
        assertNotEquals(start[0][c], x[c]);
      }
    }
  }

  @Test
  void rankOneReachesTheMeanOfAnyMatrices() {
    int n = 6;
    float[][] start = start(n, 7);
    double[] x = gossip(Algorithm.ring(n), 1, start, 400);
    for (int c = 0; c < D; c++) {
      double mean = 0;
      for (float[] row : start) {
        mean += row[c] / (double) n;
      }
      for (int i = 0; i < n; i++) {
        // 400 rounds with 3 roundings of numbers below 16, and a limit that is not yet reached.
        assertEquals(mean, x[i * D + c], 1e-3);
      }
    }
  }

  @Test
  void nodesThatAgreeStayAndFindTheirNextDifference() {
    MixingMatrix w = MixingMatrix.uniform(2);
    float[][] start = start(2, 0);
    for (int c = ROWS * COLS; c < D; c++) {
      start[1][c] = start[0][c];
    }
    try (Network network = network(w);
        DeviceMatrix x = rows(start);
        PowerGossip gossip = PowerGossip.builder(network, x).build()) {
      double[] before = x.toDoubles();
      gossip.mix(x, x, 0);
      gossip.mix(x, x, 1);
      assertArrayEquals(before, x.toDoubles());
      for (int r = 0; r < ROWS; r++) {
        for (int c = 0; c < COLS; c++) {
          x.set(0, r * COLS + c, before[r * COLS + c] + 2 * (r + 1) * (c - 3));
        }
      }
      // The directions have become zero: the first round finds a part, the ones after it the rest.
      for (int round = 2; round < 12; round++) {
        gossip.mix(x, x, round);
      }
      for (int c = 0; c < ROWS * COLS; c++) {
        double middle = before[c] + (c / COLS + 1) * (c % COLS - 3);
        assertEquals(middle, x.get(0, c), 64 * 0x1p-18);
        assertEquals(middle, x.get(1, c), 64 * 0x1p-18);
      }
    }
  }

  @Test
  void bothEndsOfAnEdgeKeepTheSameDirection() {
    try (Network network = network(MixingMatrix.uniform(2));
        DeviceMatrix x = rows(start(2, 7));
        DeviceMatrix y = x.like();
        PowerGossip gossip = PowerGossip.builder(network, x).rank(2).build()) {
      double[] drawn = gossip.directions().toDoubles();
      gossip.mix(x, y, 0);
      double[] q = gossip.directions().toDoubles();
      assertArrayEquals(
          Arrays.copyOf(q, 2 * COLS), Arrays.copyOfRange(q, 2 * COLS, 4 * COLS), "bits");
      assertNotEquals(drawn[0], q[0]);
      assertNotEquals(x.get(0, 0), y.get(0, 0));
    }
  }

  @Test
  void theMeterCountsTwoMessagesADirectedEdge() {
    int n = 6;
    try (Network network = network(Algorithm.ring(n));
        DeviceMatrix x = rows(start(n, 3));
        PowerGossip gossip = PowerGossip.builder(network, x).rank(2).build()) {
      gossip.mix(x, x, 0);
      assertEquals(2, network.meter().rounds());
      assertEquals(2 * 2L * n, network.meter().messages());
      assertEquals(
          2 * n * (64 + 4 * (2 * ROWS + VECTOR)) + 2 * n * (64 + 4 * 2 * COLS),
          network.meter().bytes());
    }
  }

  @Test
  void coldStartsAreDrawnByRound() {
    try (Network network = network(Algorithm.ring(4));
        DeviceMatrix x = rows(start(4, 7));
        PowerGossip gossip = PowerGossip.builder(network, x).warmStart(false).build();
        PowerGossip late = PowerGossip.builder(network, x).warmStart(false).channel(9).build()) {
      gossip.mix(x, x, 0);
      double[] first = gossip.directions().toDoubles();
      gossip.mix(x, x, 1);
      double[] second = gossip.directions().toDoubles();
      assertNotEquals(first[0], second[0]);
      late.mix(x, x, 1);
      assertArrayEquals(second, late.directions().toDoubles());
    }
  }

  @Test
  void aNodeThatIsAloneStaysAndIsChecked() {
    try (Network network = network(MixingMatrix.identity(1));
        DeviceMatrix x = rows(start(1, 1));
        DeviceMatrix y = x.like();
        PowerGossip gossip = PowerGossip.builder(network, x).build()) {
      gossip.mix(x, y, 0);
      assertArrayEquals(x.toDoubles(), y.toDoubles());
      x.set(0, 3, Double.NaN);
      assertEquals(0, assertThrows(NonFiniteException.class, () -> gossip.mix(x, y, 1)).node());
    }
  }

  @Test
  void aRowThatIsNotFiniteChangesNothing() {
    try (Network network = network(Algorithm.ring(5));
        DeviceMatrix x = rows(start(5, 2));
        DeviceMatrix y = x.like();
        PowerGossip gossip = PowerGossip.builder(network, x).build()) {
      gossip.mix(x, y, 0);
      double[] before = y.toDoubles();
      double[] directions = gossip.directions().toDoubles();
      for (int column : new int[] {4, D - 1}) {
        double good = x.get(2, column);
        x.set(2, column, Double.POSITIVE_INFINITY);
        assertEquals(2, assertThrows(NonFiniteException.class, () -> gossip.mix(x, y, 1)).node());
        x.set(2, column, good);
      }
      assertArrayEquals(before, y.toDoubles());
      assertArrayEquals(directions, gossip.directions().toDoubles());
      gossip.mix(x, y, 1);
    }
  }

  @Test
  void whereNothingGetsShorterTheAlgorithmIsDecentralizedSgd() {
    double[][] results = new double[2][];
    for (int k = 0; k < 2; k++) {
      try (Problem problem =
              Shaped.of(Quadratic.random(6, 10, 4, 1, 1).build(queue, DType.F32), 3, 3);
          Network network = network(Algorithm.ring(6));
          DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 10, DType.F32);
          Optimizer optimizer =
              k == 0
                  ? DecentralizedSgd.builder(problem, network, zero).stepSize(0.1).build()
                  : PowerGossipSgd.builder(problem, network, zero).stepSize(0.1).rank(2).build()) {
        for (int round = 0; round < 40; round++) {
          optimizer.step();
        }
        results[k] = optimizer.parameters().toDoubles();
      }
    }
    // f32: some 2^-24 of numbers below 4, a few of them a round.
    assertArrayEquals(results[0], results[1], 100 * 0x1p-22);
  }

  @Test
  void whatDoesNotFitIsRefused() {
    try (DeviceMatrix x = rows(start(4, 1));
        Network ring = network(Algorithm.ring(4));
        Network directed = network(Algorithm.pushWeights(4));
        Network changing = Network.builder(MixingSchedule.onePeerExponential(4)).build();
        DeviceMatrix f64 = DeviceMatrix.allocate(queue, 4, LAYOUT, DType.F64)) {
      refused("rank", () -> PowerGossip.builder(ring, x).rank(0).build());
      refused("symmetric", () -> PowerGossip.builder(directed, x).build());
      refused("changes", () -> PowerGossip.builder(changing, x).build());
      refused("type F64", () -> PowerGossip.builder(ring, f64).build());
      refused("channels", () -> PowerGossip.builder(ring, x).channel(0xFFFE).build());
      refused("columns", () -> PowerGossip.builder(ring, x).layout(Layout.flat(3)).build());
      try (DeviceMatrix three = x.rows(0, 3)) {
        refused("rows are 3", () -> PowerGossip.builder(ring, three).build());
      }
    }
  }

  private static void refused(String part, Runnable action) {
    String text = assertThrows(IllegalArgumentException.class, action::run).getMessage();
    assertTrue(text.contains(part), text);
  }

  @Test
  void theResultMayBeTheRowsThemselves() {
    float[][] start = start(5, 7);
    try (Network network = network(Algorithm.ring(5));
        DeviceMatrix x = rows(start);
        DeviceMatrix y = x.like();
        PowerGossip one = PowerGossip.builder(network, x).build();
        PowerGossip two = PowerGossip.builder(network, x).channel(10).build()) {
      one.mix(x, y, 0);
      two.mix(x, x, 0);
      assertArrayEquals(y.toDoubles(), x.toDoubles());
    }
  }
}
