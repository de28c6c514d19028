package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
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
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.Reduction;
import dev.kith.network.LocalTransport;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.network.Transport;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import dev.kith.problem.Value;
import dev.kith.random.Stream;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class SharedRandomnessSpsaTest {
  private static final int N = 5;
  private static final int D = 6;

  private final Queue queue = Device.cpu().newQueue();

  @TempDir Path folder;

  @AfterEach
  void close() {
    queue.close();
  }

  /** Node 3 is away from round 4 to 9, node 0 from round 12 to 13. */
  private record Coming(int nodes) implements MixingSchedule {
    @Override
    public MixingMatrix at(long round) {
      return MixingMatrix.identity(nodes);
    }

    @Override
    public long period() {
      return 0;
    }

    @Override
    public boolean isAlive(long round, int node) {
      return node == 3 ? round < 4 || round > 9 : node != 0 || round < 12 || round > 13;
    }
  }

  private static Quadratic problem(Transport transport, Queue queue, DType dtype) {
    return Quadratic.random(transport.nodes(), D, 4, 1, 3)
        .nodes(transport.range().begin(), transport.range().end())
        .build(queue, dtype);
  }

  /** What a test does with an optimizer. */
  private interface Body<T> {
    T run(SharedRandomnessSpsa optimizer);
  }

  private static <T> T run(
      MixingSchedule schedule,
      Transport transport,
      Queue queue,
      DType dtype,
      UnaryOperator<SharedRandomnessSpsa.Builder> settings,
      Body<T> body) {
    try (Quadratic problem = problem(transport, queue, dtype);
        Network network = Network.builder(schedule).transport(transport).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, dtype);
        SharedRandomnessSpsa optimizer =
            settings
                .apply(SharedRandomnessSpsa.builder(problem, network, start).stepSize(0.02))
                .build()) {
      return body.run(optimizer);
    }
  }

  private <T> T run(
      MixingSchedule schedule, UnaryOperator<SharedRandomnessSpsa.Builder> settings, Body<T> body) {
    return run(schedule, LocalTransport.single(schedule.nodes()), queue, DType.F32, settings, body);
  }

  private static double[] row(DeviceMatrix m, int r) {
    int cols = Math.toIntExact(m.cols());
    return Arrays.copyOfRange(m.toDoubles(), r * cols, (r + 1) * cols);
  }

  private static void steps(Optimizer optimizer, int rounds) {
    for (int k = 0; k < rounds; k++) {
      optimizer.step();
    }
  }

  @Test
  void cutsAndComingAndGoingDoNotChangeABit() {
    for (DType dtype : List.of(DType.F32, DType.F64)) {
      for (ScalarCode code : ScalarCode.values()) {
        double[] expected = {};
        for (int processes : new int[] {1, 2, 5}) {
          double[] joined =
              Processes.run(
                      N,
                      processes,
                      (transport, ownQueue) ->
                          run(
                              new Coming(N),
                              transport,
                              ownQueue,
                              dtype,
                              b -> b.samples(2).code(code),
                              optimizer -> {
                                for (int k = 0; k < 40; k++) {
                                  optimizer.step();
                                  assertTrue(optimizer.replicasAgree(), "after " + k);
                                }
                                return optimizer.parameters().toDoubles();
                              }))
                  .stream()
                  .flatMapToDouble(Arrays::stream)
                  .toArray();
          expected = processes == 1 ? joined : expected;
          assertArrayEquals(expected, joined, code + " " + dtype + " over " + processes);
        }
      }
    }
  }

  @Test
  void whoIsAwayStaysWhereHeWasAndFetchesTheParametersOnce() {
    run(
        new Coming(N),
        b -> b,
        optimizer -> {
          steps(optimizer, 4);
          double[] left = row(optimizer.parameters(), 3);
          steps(optimizer, 6);
          assertArrayEquals(left, row(optimizer.parameters(), 3));
          assertNotEquals(left[0], row(optimizer.parameters(), 0)[0]);
          long before = optimizer.network().meter().bytes();
          long messages = optimizer.network().meter().messages();
          steps(optimizer, 1);
          assertArrayEquals(row(optimizer.parameters(), 0), row(optimizer.parameters(), 3));
          // One row of f32, and a byte from each of five nodes to four others.
          assertEquals(4 * D + 20, optimizer.network().meter().bytes() - before);
          assertEquals(21, optimizer.network().meter().messages() - messages);
          before = optimizer.network().meter().bytes();
          steps(optimizer, 1);
          assertEquals(20, optimizer.network().meter().bytes() - before);
          return null;
        });
  }

  @Test
  void manyNodesAreOneNodeWithManySamples() {
    double[][] h = {{2, 0.5, 0.5, 1}};
    double[][] b = {{1, -2}};
    double[][] many = new double[4][];
    double[][] manyB = new double[4][];
    Arrays.fill(many, h[0]);
    Arrays.fill(manyB, b[0]);
    try (Quadratic one = Quadratic.of(h, b).build(queue, DType.F32);
        Quadratic four = Quadratic.of(many, manyB).build(queue, DType.F32);
        Network alone = Network.builder(MixingSchedule.constant(MixingMatrix.identity(1))).build();
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(4))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 2, DType.F32);
        Optimizer single = SharedRandomnessSpsa.builder(one, alone, zero).samples(4).build();
        Optimizer spread = SharedRandomnessSpsa.builder(four, network, zero).build()) {
      steps(single, 20);
      steps(spread, 20);
      for (int i = 0; i < 4; i++) {
        assertArrayEquals(row(single.parameters(), 0), row(spread.parameters(), i));
      }
    }
  }

  /** f(x) = a^T x. */
  private record Linear(DeviceMatrix a) implements Problem, Value {
    @Override
    public Layout layout() {
      return Layout.flat(a.cols());
    }

    @Override
    public int nodes() {
      return 1;
    }

    @Override
    public int firstNode() {
      return 0;
    }

    @Override
    public int localNodes() {
      return 1;
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      g.copyFrom(a);
    }

    @Override
    public void values(DeviceMatrix x, DeviceMatrix out) {
      Reduction.rows(Reduction.Kind.DOT, x, a, out);
    }

    @Override
    public void close() {}
  }

  @ParameterizedTest
  @ValueSource(doubles = {1e-3, 0.5, 100})
  void aLinearLossGivesItsDerivativeAlongTheDirection(double epsilon) {
    try (DeviceMatrix a = DeviceMatrix.row(queue, 1.0, -2, 0.5, 3);
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 4, DType.F64);
        DeviceMatrix z = zero.like();
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(1))).build();
        Optimizer optimizer =
            SharedRandomnessSpsa.builder(new Linear(a), network, zero)
                .epsilon(epsilon)
                .code(ScalarCode.FLOAT)
                .seed(5)
                .stepSize(0.25)
                .build()) {
      Noise.draw(
          NoiseField.shared(NoiseField.Distribution.NORMAL, Stream.PERTURBATION, 5, 0, 0, 1), 1, z);
      double g = Reduction.dots(z, a)[0];
      optimizer.step();
      double[] x = optimizer.parameters().toDoubles();
      double[] direction = z.toDoubles();
      for (int c = 0; c < 4; c++) {
        // The scalar travels as f32.
        assertEquals(-0.25 * g * direction[c], x[c], 1e-6 * Math.abs(g));
      }
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = NoiseField.Distribution.class,
      names = {"NORMAL", "RADEMACHER"})
  void theMeanOverDirectionsIsTheGradient(NoiseField.Distribution directions) {
    int samples = 20_000;
    double[][] h = {{2, 0.5, 0.5, 1}};
    double[][] b = {{1, -2}};
    try (Quadratic problem = Quadratic.of(h, b).build(queue, DType.F64);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(1))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 2, DType.F64);
        DeviceMatrix gradient = zero.like();
        Optimizer optimizer =
            SharedRandomnessSpsa.builder(problem, network, zero)
                .samples(samples)
                .code(ScalarCode.FLOAT)
                .directions(directions)
                .stepSize(1 / Math.sqrt(samples))
                .build()) {
      problem.gradient(zero, gradient, 0);
      double[] g = gradient.toDoubles();
      optimizer.step();
      double[] x = optimizer.parameters().toDoubles();
      // Variance of one estimate at most 2 |g|^2: four standard errors.
      double tolerance = 4 * Math.hypot(g[0], g[1]) * Math.sqrt(2.0 / samples);
      assertEquals(-g[0], x[0], tolerance);
      assertEquals(-g[1], x[1], tolerance);
    }
  }

  @Test
  void aReplayGivesBackEveryBit() {
    run(
        new Coming(N),
        b -> b.samples(3),
        optimizer -> {
          for (int k = 0; k < 40; k++) {
            optimizer.step();
            double[] before = optimizer.parameters().toDoubles();
            optimizer.parameters().fill(Double.NaN);
            optimizer.replay();
            assertArrayEquals(before, optimizer.parameters().toDoubles(), "after " + k);
          }
          return null;
        });
  }

  @Test
  void aResumedRunEndsWithTheBitsOfAnUninterruptedOne() {
    Path file = folder.resolve("run");
    double[] whole =
        run(
            new Coming(N),
            b -> b.code(ScalarCode.FLOAT),
            optimizer -> {
              steps(optimizer, 7);
              Snapshot.write(file, optimizer);
              steps(optimizer, 20);
              return optimizer.parameters().toDoubles();
            });
    double[] resumed =
        run(
            new Coming(N),
            b -> b.code(ScalarCode.FLOAT),
            optimizer -> {
              Snapshot.read(file, optimizer);
              optimizer.replay();
              steps(optimizer, 20);
              optimizer.replay();
              return optimizer.parameters().toDoubles();
            });
    assertArrayEquals(whole, resumed);
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () -> run(new Coming(N), b -> b.seed(2), o -> Snapshot.read(file, o)));
    assertTrue(e.getMessage().contains("seed"), e.getMessage());
  }

  @Test
  void anotherSeedAtOneNodeIsNoticed() {
    List<Boolean> agree =
        Processes.run(
            4,
            2,
            (transport, ownQueue) ->
                run(
                    MixingSchedule.constant(MixingMatrix.identity(4)),
                    transport,
                    ownQueue,
                    DType.F32,
                    b -> b.seed(transport.process()),
                    optimizer -> {
                      optimizer.step();
                      return optimizer.replicasAgree();
                    }));
    assertEquals(List.of(false, false), agree);
  }

  @ParameterizedTest
  @EnumSource(ScalarCode.class)
  void aLossThatIsNotFiniteNamesItsNodeInEveryProcess(ScalarCode code) {
    List<Integer> named =
        Processes.run(
            4,
            4,
            (transport, ownQueue) -> {
              try (Quadratic good = problem(transport, ownQueue, DType.F32);
                  Network network =
                      Network.builder(MixingSchedule.constant(MixingMatrix.identity(4)))
                          .transport(transport)
                          .build();
                  DeviceMatrix start = DeviceMatrix.allocate(ownQueue, 1, D, DType.F32);
                  SharedRandomnessSpsa optimizer =
                      SharedRandomnessSpsa.builder(
                              new Spoiled(good, transport.process() == 2), network, start)
                          .code(code)
                          .build()) {
                optimizer.step();
                double[] before = optimizer.parameters().toDoubles();
                var e = assertThrows(NonFiniteException.class, optimizer::step);
                assertEquals(1, e.round());
                assertEquals(1, optimizer.round());
                assertArrayEquals(before, optimizer.parameters().toDoubles());
                return e.node();
              }
            });
    assertEquals(List.of(2, 2, 2, 2), named);
  }

  /** Losses that are infinite from the second round on, where it is so marked. */
  private static final class Spoiled implements Problem, Value {
    private final Quadratic good;
    private final boolean bad;
    private int calls;

    Spoiled(Quadratic good, boolean bad) {
      this.good = good;
      this.bad = bad;
    }

    @Override
    public Layout layout() {
      return good.layout();
    }

    @Override
    public int nodes() {
      return good.nodes();
    }

    @Override
    public int firstNode() {
      return good.firstNode();
    }

    @Override
    public int localNodes() {
      return good.localNodes();
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      good.gradient(x, g, round);
    }

    @Override
    public void values(DeviceMatrix x, DeviceMatrix out) {
      good.values(x, out);
      if (bad && calls++ >= 2) {
        out.set(0, 0, Double.POSITIVE_INFINITY);
      }
    }

    @Override
    public void close() {}
  }

  @Test
  void oneByteKeepsSignAndSizeWithinItsError() {
    ScalarCode code = ScalarCode.ONE_BYTE;
    assertEquals(0, code.restored(0));
    assertEquals(0, code.restored(-0.0));
    double bound = Math.exp(1.0 / 16) * (1 + 1e-12);
    double last = 0;
    for (double g = 4e-4; g < 2600; g *= 1.01) {
      double restored = code.restored(g);
      assertTrue(restored / g <= bound && g / restored <= bound, g + " became " + restored);
      assertTrue(restored >= last);
      last = restored;
      assertEquals(-restored, code.restored(-g));
    }
    assertEquals(Math.exp(-63 / 8.0), code.restored(1e-300), 1e-18);
    assertEquals(Math.exp(63 / 8.0), code.restored(1e300), 1e-9);
    for (double g : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
      assertFalse(Double.isFinite(code.restored(g)));
    }
    for (int byteValue = 0; byteValue < 256; byteValue++) {
      double g = code.decode(byteValue);
      assertEquals(byteValue, code.encode(g), "every byte comes back");
    }
  }

  @Test
  void badSettingsAreRefusedInOneSentence() {
    try (Quadratic problem = problem(LocalTransport.single(N), queue, DType.F32);
        Network network = Network.builder(new Coming(N)).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F32);
        DeviceMatrix rows = DeviceMatrix.allocate(queue, N, D, DType.F32)) {
      var builder = SharedRandomnessSpsa.builder(problem, network, zero);
      for (double epsilon : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
        var e = assertThrows(IllegalArgumentException.class, () -> builder.epsilon(epsilon));
        assertTrue(e.getMessage().contains("" + epsilon), e.getMessage());
      }
      assertThrows(IllegalArgumentException.class, () -> builder.samples(0));
      assertThrows(IllegalArgumentException.class, () -> builder.backupRounds(0));
      assertThrows(
          IllegalArgumentException.class,
          () -> builder.directions(NoiseField.Distribution.UNIFORM));
      var many = SharedRandomnessSpsa.builder(problem, network, zero).samples(1 << 20);
      var e = assertThrows(IllegalArgumentException.class, many::build);
      assertTrue(e.getMessage().contains("back up more often"), e.getMessage());
      var each = SharedRandomnessSpsa.builder(problem, network, rows);
      e = assertThrows(IllegalArgumentException.class, each::build);
      assertTrue(e.getMessage().contains("5 rows"), e.getMessage());
      var blind = SharedRandomnessSpsa.builder(Shaped.of(problem, 2, 3), network, zero);
      e = assertThrows(IllegalArgumentException.class, blind::build);
      assertTrue(e.getMessage().contains("Value"), e.getMessage());
    }
  }

  @Test
  void nobodyLeftWithTheParametersIsSaid() {
    MixingSchedule swap =
        new MixingSchedule() {
          @Override
          public int nodes() {
            return 2;
          }

          @Override
          public MixingMatrix at(long round) {
            return MixingMatrix.identity(2);
          }

          @Override
          public long period() {
            return 0;
          }

          @Override
          public boolean isAlive(long round, int node) {
            return round < 3 == (node == 0);
          }
        };
    run(
        swap,
        b -> b,
        optimizer -> {
          steps(optimizer, 3);
          var e = assertThrows(IllegalStateException.class, optimizer::step);
          assertTrue(e.getMessage().contains("round 3"), e.getMessage());
          return null;
        });
  }
}
