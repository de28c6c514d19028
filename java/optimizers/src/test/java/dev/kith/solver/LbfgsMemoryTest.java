package dev.kith.solver;

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
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LbfgsMemoryTest {
  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private record Pair(double[] s, double[] y) {}

  /** The recursion as it is usually written, on vectors. */
  private static double[] twoLoop(Deque<Pair> newestFirst, double[] g, double gamma) {
    double[] q = g.clone();
    List<Double> a = new ArrayList<>();
    for (Pair pair : newestFirst) {
      double alpha = dot(pair.s, q) / dot(pair.s, pair.y);
      a.add(alpha);
      add(q, -alpha, pair.y);
    }
    Arrays.setAll(q, i -> gamma * q[i]);
    int k = a.size();
    for (Iterator<Pair> pairs = newestFirst.descendingIterator(); pairs.hasNext(); ) {
      Pair pair = pairs.next();
      add(q, a.get(--k) - dot(pair.y, q) / dot(pair.s, pair.y), pair.s);
    }
    Arrays.setAll(q, i -> -q[i]);
    return q;
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  private static void add(double[] to, double c, double[] from) {
    for (int i = 0; i < to.length; i++) {
      to[i] += c * from[i];
    }
  }

  /**
   * A convex function but along some steps: gradient c x + sin(x), of negative curvature far out.
   */
  private static double[] gradient(double[] x) {
    double[] g = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      g[i] = (0.1 + i % 5) * x[i] + 3 * Math.sin(x[i]) - 1;
    }
    return g;
  }

  private static double[] point(int d, int t, double scale) {
    SharedRandom random = new SharedRandom(7, Stream.TEST, 0, t);
    double[] x = new double[d];
    Arrays.setAll(x, i -> scale * random.normal(i));
    return x;
  }

  /** Steps that go nowhere in particular, some of them against the curvature. */
  @ParameterizedTest
  @CsvSource({"0, 5", "1, 7", "2, 40", "3, 1", "5, 131", "10, 4099"})
  void theDirectionIsThatOfTheTwoLoops(int m, int d) {
    Deque<Pair> pairs = new ArrayDeque<>();
    double gamma = 1;
    int left = 0;
    try (DeviceMatrix x = DeviceMatrix.allocate(queue, 1, d, DType.F64);
        DeviceMatrix before = x.like();
        DeviceMatrix g = x.like();
        DeviceMatrix out = x.like();
        LbfgsMemory memory = new LbfgsMemory(m, x)) {
      double[] at = point(d, 0, 1);
      double[] old = gradient(at);
      g.upload(old);
      memory.start(g);
      memory.direction(out);
      for (int i = 0; i < d; i++) {
        assertEquals(-old[i], out.toDoubles()[i]);
      }
      for (int t = 1; t <= 4 * m + 6; t++) {
        double[] next = point(d, t, 1.5);
        double[] now = gradient(next);
        // Every third pair is turned against its step.
        boolean against = t % 3 == 0;
        double[] s = new double[d];
        double[] y = new double[d];
        for (int i = 0; i < d; i++) {
          s[i] = next[i] - at[i];
          now[i] = against ? old[i] - 2 * s[i] : now[i];
          y[i] = now[i] - old[i];
        }
        before.upload(at);
        x.upload(next);
        g.upload(now);
        boolean kept = memory.advance(x, before, g);
        assertEquals(dot(s, y) > 1e-8 * Math.sqrt(dot(s, s) * dot(y, y)), kept, "step " + t);
        if (kept) {
          pairs.addFirst(new Pair(s, y));
          if (pairs.size() > m) {
            pairs.removeLast();
          }
          gamma = dot(s, y) / dot(y, y);
        } else {
          left++;
          if (pairs.size() >= Math.max(m, 1)) {
            pairs.removeLast();
          }
          gamma =
              pairs.isEmpty()
                  ? 1
                  : dot(pairs.getFirst().s, pairs.getFirst().y)
                      / dot(pairs.getFirst().y, pairs.getFirst().y);
        }
        assertEquals(pairs.size(), memory.pairs(), "step " + t);
        double[] want = twoLoop(pairs, now, gamma);
        double slope = memory.direction(out);
        double scale = Math.sqrt(dot(want, want));
        assertArrayEquals(want, out.toDoubles(), 1e-10 * scale, "step " + t);
        assertEquals(dot(want, now), slope, 1e-10 * scale * Math.sqrt(dot(now, now)));
        assertTrue(slope < 0, "it goes down");
        try (DeviceMatrix newest = memory.gradient()) {
          assertArrayEquals(now, newest.toDoubles());
        }
        assertEquals(dot(now, now), memory.gradientSquares(), 1e-12 * dot(now, now));
        at = next;
        old = now;
      }
    }
    assertTrue(left > 0, "some pairs were left out");
  }

  @Test
  void aCopyGoesOnWithTheSameBits() {
    int d = 33;
    try (DeviceMatrix x = DeviceMatrix.allocate(queue, 1, d, DType.F32);
        DeviceMatrix before = x.like();
        DeviceMatrix g = x.like();
        DeviceMatrix one = x.like();
        DeviceMatrix two = x.like();
        LbfgsMemory memory = new LbfgsMemory(3, x);
        LbfgsMemory copy = new LbfgsMemory(3, x)) {
      x.upload(point(d, 0, 1));
      g.upload(gradient(x.toDoubles()));
      memory.start(g);
      for (int t = 1; t < 12; t++) {
        before.copyFrom(x);
        x.upload(point(d, t, 1));
        g.upload(gradient(x.toDoubles()));
        memory.advance(x, before, g);
        copy.rows().copyFrom(memory.rows());
        copy.restore(memory.counters());
        assertEquals(memory.direction(one), copy.direction(two));
        assertArrayEquals(one.toDoubles(), two.toDoubles());
      }
      assertThrows(IllegalArgumentException.class, () -> copy.restore(new long[] {4, 0, 1}));
    }
  }

  @Test
  void whatIsNotFiniteIsNamedAndForgotten() {
    try (DeviceMatrix x = DeviceMatrix.row(queue, 1.0, 2.0);
        DeviceMatrix before = DeviceMatrix.row(queue, 0.0, 0.0);
        DeviceMatrix g = DeviceMatrix.row(queue, 1.0, 2.0);
        DeviceMatrix bad = DeviceMatrix.row(queue, Double.NaN, 2.0);
        LbfgsMemory memory = new LbfgsMemory(2, x)) {
      assertThrows(IllegalStateException.class, () -> memory.direction(bad));
      assertThrows(IllegalStateException.class, () -> memory.advance(x, before, g));
      memory.start(g);
      var e = assertThrows(ArithmeticException.class, () -> memory.advance(x, before, bad));
      assertTrue(e.getMessage().contains("NaN"), e.getMessage());
      assertFalse(memory.started());
      assertThrows(IllegalArgumentException.class, () -> new LbfgsMemory(-1, x));
      try (DeviceMatrix rows = DeviceMatrix.allocate(queue, 2, 2, DType.F64)) {
        assertThrows(IllegalArgumentException.class, () -> new LbfgsMemory(1, rows));
      }
    }
  }
}
