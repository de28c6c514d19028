package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.Secret;
import dev.kith.network.LocalTransport;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.network.Transport;
import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.Mechanism;
import dev.kith.privacy.NoiseOrigin;
import dev.kith.privacy.Participation;
import dev.kith.problem.LeastSquares;
import dev.kith.problem.Problem;
import dev.kith.problem.Proximal;
import dev.kith.problem.Quadratic;
import dev.kith.problem.Regularizer;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PrivateAdmmTest {
  private static final int D = 8;
  private static final double KAPPA = 0.05;

  private final Queue queue = Device.cpu().newQueue();

  @TempDir Path folder;

  @AfterEach
  void close() {
    queue.close();
  }

  /** Standard normal records, a sparse truth and noise of 0.1. */
  private static LeastSquares.Builder regression(int n) {
    double[][] a = new double[n][D];
    double[] y = new double[n];
    for (int i = 0; i < n; i++) {
      SharedRandom random = new SharedRandom(4, Stream.DATA, i, 0);
      for (int c = 0; c < D; c++) {
        a[i][c] = random.normal(c);
      }
      y[i] = a[i][0] - 0.5 * a[i][3] + 0.1 * random.normal(D);
    }
    return LeastSquares.of(a, y);
  }

  private static MixingSchedule idle(int n) {
    return MixingSchedule.constant(MixingMatrix.identity(n));
  }

  /** What a test does with an optimizer. */
  private interface Body<T> {
    T run(PrivateAdmm optimizer);
  }

  private static <T> T run(
      int n,
      Transport transport,
      Queue queue,
      DType dtype,
      UnaryOperator<PrivateAdmm.Builder> settings,
      Body<T> body) {
    try (LeastSquares problem =
            regression(n)
                .nodes(transport.range().begin(), transport.range().end())
                .build(queue, dtype);
        Network network = Network.builder(idle(n)).transport(transport).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, dtype);
        PrivateAdmm optimizer =
            settings
                .apply(
                    PrivateAdmm.builder(problem, network, start).regularizer(Regularizer.l1(KAPPA)))
                .build()) {
      return body.run(optimizer);
    }
  }

  private <T> T run(int n, UnaryOperator<PrivateAdmm.Builder> settings, Body<T> body) {
    return run(n, LocalTransport.single(n), queue, DType.F64, settings, body);
  }

  private static double[] model(PrivateAdmm optimizer) {
    return Arrays.copyOf(optimizer.parameters().toDoubles(), D);
  }

  private static void steps(Optimizer optimizer, int rounds) {
    for (int k = 0; k < rounds; k++) {
      optimizer.step();
    }
  }

  /** By proximal gradient steps (ISTA) with full gradients. */
  private double[] lasso(int n) {
    try (LeastSquares problem = regression(n).build(queue, DType.F64);
        Network network = Network.builder(idle(n)).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F64);
        Optimizer ista =
            DpFtrl.builder(problem, network, start, new Participation(2000, 2000, 1))
                .clip(Double.POSITIVE_INFINITY)
                .noiseMultiplier(0)
                .simulated(1)
                .regularizer(Regularizer.l1(KAPPA))
                .stepSize(0.3)
                .build()) {
      steps(ista, 2000);
      return Arrays.copyOf(ista.parameters().toDoubles(), D);
    }
  }

  @Test
  void withoutNoiseAllFormsFindTheOptimumOfTheLasso() {
    double[] optimum = lasso(200);
    assertTrue(Arrays.stream(optimum).filter(v -> v == 0).count() >= 3, "sparse");
    // The card: 2e-11 after 400 rounds of all nodes, 3e-12 after 4000 of a tenth of them.
    assertArrayEquals(optimum, run(200, b -> b, o -> end(o, 400)), 1e-9);
    assertArrayEquals(optimum, run(200, b -> b.participants(20), o -> end(o, 4000)), 1e-9);
    // One node a round: 100 passes over the nodes.
    double[] walked = run(40, b -> b.token(), o -> end(o, 12_000));
    assertArrayEquals(lasso(40), walked, 1e-6);
  }

  private static double[] end(PrivateAdmm optimizer, int rounds) {
    steps(optimizer, rounds);
    return model(optimizer);
  }

  @Test
  void allParticipantsAreTheCentralForm() {
    double[] central = run(30, b -> b.noise(0.1).simulated(3), o -> end(o, 30));
    double[] federated = run(30, b -> b.participants(30).noise(0.1).simulated(3), o -> end(o, 30));
    assertArrayEquals(central, federated);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 30})
  void theAverageIsTheMeanOfAllDualsAndIsNotThresholded(int participants) {
    run(
        30,
        b -> b.participants(participants).noise(0.1).simulated(3).clip(2),
        optimizer -> {
          for (int k = 0; k < 60; k++) {
            double[] before = optimizer.duals().toDoubles();
            int[] present = optimizer.participants(k);
            optimizer.step();
            double[] u = optimizer.duals().toDoubles();
            double[] average = optimizer.average().toDoubles();
            for (int c = 0; c < D; c++) {
              double sum = 0;
              for (int i = 0; i < 30; i++) {
                sum += u[i * D + c] / 30;
              }
              assertEquals(sum, average[c], 1e-13);
            }
            for (int i = 0; i < 30; i++) {
              boolean moved = before[i * D] != u[i * D];
              assertEquals(Arrays.binarySearch(present, i) >= 0, moved, "node " + i);
            }
          }
          return null;
        });
  }

  @Test
  void aStepIsClippedAndHasTheNoiseOfItsNode() {
    double clip = 0.05;
    double sigma = 0.3;
    double lambda = 0.7;
    run(
        6,
        b -> b.participants(3).clip(clip).noise(sigma).relaxation(lambda).simulated(8),
        optimizer -> {
          int[] present = optimizer.participants(0);
          optimizer.step();
          double[] u = optimizer.duals().toDoubles();
          try (DeviceMatrix eta = DeviceMatrix.allocate(queue, 6, D, DType.F64)) {
            Noise.draw(
                NoiseField.shared(NoiseField.Distribution.NORMAL, Stream.NODE_NOISE, 8, 0, 0, 6),
                sigma,
                eta);
            double[] noise = eta.toDoubles();
            boolean clipped = false;
            for (int i : present) {
              // u = 0 and z = 0 before, so that 2 lambda (clip(x - z) + eta / 2) is all there is.
              double norm = 0;
              for (int c = 0; c < D; c++) {
                double step = (u[i * D + c] - lambda * noise[i * D + c]) / (2 * lambda);
                norm += step * step;
              }
              assertTrue(Math.sqrt(norm) <= clip * (1 + 1e-12), "node " + i);
              clipped |= Math.sqrt(norm) > clip * (1 - 1e-12);
            }
            assertTrue(clipped, "some step is clipped");
          }
          return null;
        });
  }

  @Test
  void cutsDoNotChangeABit() {
    for (DType dtype : List.of(DType.F32, DType.F64)) {
      for (int participants : new int[] {1, 4, 11}) {
        double[] expected = {};
        for (int processes : new int[] {1, 3, 5}) {
          List<double[]> parts =
              Processes.run(
                  11,
                  processes,
                  (transport, ownQueue) ->
                      run(
                          11,
                          transport,
                          ownQueue,
                          dtype,
                          b -> b.participants(participants).clip(1).noise(0.2).simulated(3),
                          optimizer -> {
                            steps(optimizer, 25);
                            double[] u = optimizer.duals().toDoubles();
                            double[] x = optimizer.parameters().toDoubles();
                            double[] both = Arrays.copyOf(u, u.length + x.length);
                            System.arraycopy(x, 0, both, u.length, x.length);
                            return both;
                          }));
          List<double[]> u = new ArrayList<>();
          List<double[]> x = new ArrayList<>();
          for (double[] part : parts) {
            u.add(Arrays.copyOf(part, part.length / 2));
            x.add(Arrays.copyOfRange(part, part.length / 2, part.length));
          }
          double[] joined =
              java.util.stream.Stream.concat(u.stream(), x.stream())
                  .flatMapToDouble(Arrays::stream)
                  .toArray();
          expected = processes == 1 ? joined : expected;
          assertArrayEquals(expected, joined, dtype + " over " + processes);
        }
      }
    }
  }

  @Test
  void aResumedRunEndsWithTheBitsOfAnUninterruptedOne() {
    List<Secret> secrets = IntStream.range(0, 9).mapToObj(i -> Secret.random()).toList();
    Path file = folder.resolve("run");
    UnaryOperator<PrivateAdmm.Builder> settings =
        b -> b.participants(4).clip(1).noise(0.2).secrets(secrets);
    double[] whole =
        run(
            9,
            settings,
            optimizer -> {
              steps(optimizer, 6);
              Snapshot.write(file, optimizer);
              steps(optimizer, 9);
              return optimizer.duals().toDoubles();
            });
    double[] resumed =
        run(
            9,
            settings,
            optimizer -> {
              Snapshot.read(file, optimizer);
              steps(optimizer, 9);
              return optimizer.duals().toDoubles();
            });
    assertArrayEquals(whole, resumed);
    secrets.forEach(Secret::close);
    var e =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                run(
                    9,
                    b -> b.participants(4).clip(1).noise(0.2).simulated(1),
                    o -> Snapshot.read(file, o)));
    assertTrue(e.getMessage().contains("SECRET"), e.getMessage());
  }

  @Test
  void rowsThatTravelAreCounted() {
    run(
        10,
        b -> b.participants(4),
        optimizer -> {
          optimizer.step();
          assertEquals(6, optimizer.network().meter().messages());
          assertEquals(6 * 8 * D, optimizer.network().meter().bytes());
          return null;
        });
    run(
        10,
        b -> b.token(),
        optimizer -> {
          steps(optimizer, 5);
          assertEquals(5, optimizer.network().meter().messages());
          return null;
        });
  }

  @Test
  void guaranteesCountTheMostFrequentNode() {
    List<Secret> secrets = IntStream.range(0, 20).mapToObj(i -> Secret.random()).toList();
    run(
        20,
        b -> b.participants(5).clip(1.5).noise(12).secrets(secrets),
        optimizer -> {
          long most = optimizer.mostParticipations(40);
          assertTrue(most >= 10 && most <= 40, "" + most);
          var g =
              optimizer.guarantee(
                  40,
                  PrivateAdmm.View.MESSAGES,
                  1e-6,
                  Adjacency.replaceUser(),
                  Adversary.eavesdropper());
          assertTrue(g.certified());
          // Half the noise against a step that moves by 2 c.
          double epsilon =
              Accountant.of(Adjacency.replaceUser(), Adversary.eavesdropper(), NoiseOrigin.SECRET)
                  .plus(new Mechanism.Gaussian(6 / 1.5), most)
                  .epsilon(1e-6)
                  .epsilon();
          assertEquals(epsilon, g.epsilon());
          var sums =
              optimizer.guarantee(
                  40,
                  PrivateAdmm.View.SUMS,
                  1e-6,
                  Adjacency.replaceUser(),
                  Adversary.curiousNeighbours(3));
          assertTrue(sums.epsilon() < g.epsilon());
          assertFalse(sums.certified());
          assertTrue(sums.remark().contains("aggregated"), sums.remark());
          var e =
              assertThrows(
                  IllegalArgumentException.class,
                  () ->
                      optimizer.guarantee(
                          40,
                          PrivateAdmm.View.SUMS,
                          1e-6,
                          Adjacency.replaceUser(),
                          Adversary.curiousNeighbours(5)));
          assertTrue(e.getMessage().contains("more nodes"), e.getMessage());
          return null;
        });
    secrets.forEach(Secret::close);
    run(
        20,
        b -> b.clip(1).noise(1).simulated(1),
        optimizer -> {
          var g =
              optimizer.guarantee(
                  4,
                  PrivateAdmm.View.MESSAGES,
                  1e-6,
                  Adjacency.replaceUser(),
                  Adversary.eavesdropper());
          assertFalse(g.certified());
          assertTrue(g.remark().contains("SIMULATED"), g.remark());
          return null;
        });
  }

  @Test
  void aRecordThatIsNotFiniteNamesItsNodeAndTheStateStays() {
    double[][] a = {{1, 2}, {Double.NaN, 0}, {3, 4}};
    try (Problem problem = LeastSquares.of(a, new double[] {1, 2, 3}).build(queue, DType.F64);
        Network network = Network.builder(idle(3)).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, 2, DType.F64);
        PrivateAdmm optimizer = PrivateAdmm.builder(problem, network, start).clip(1).build()) {
      var e = assertThrows(NonFiniteException.class, optimizer::step);
      assertEquals(1, e.node());
      assertEquals(0, optimizer.round());
      assertArrayEquals(new double[6], optimizer.duals().toDoubles());
      assertArrayEquals(new double[2], optimizer.average().toDoubles());
    }
  }

  @Test
  void badSettingsAreRefusedInOneSentence() {
    try (LeastSquares problem = regression(5).build(queue, DType.F32);
        Network network = Network.builder(idle(5)).build();
        Secret secret = Secret.random();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F32)) {
      var builder = PrivateAdmm.builder(problem, network, start);
      for (double bad : new double[] {0, -1, Double.NaN}) {
        assertThrows(IllegalArgumentException.class, () -> builder.clip(bad));
        assertThrows(IllegalArgumentException.class, () -> builder.proximalStep(bad));
        assertThrows(IllegalArgumentException.class, () -> builder.relaxation(bad));
      }
      assertThrows(IllegalArgumentException.class, () -> builder.relaxation(1.01));
      assertThrows(IllegalArgumentException.class, () -> builder.noise(-1));
      assertThrows(IllegalArgumentException.class, () -> builder.participants(0));
      assertThrows(
          IllegalArgumentException.class,
          () -> PrivateAdmm.builder(problem, network, start).participants(6).build());
      assertThrows(
          IllegalArgumentException.class,
          () -> PrivateAdmm.builder(problem, network, start).participants(2).token().build());
      var e =
          assertThrows(
              IllegalArgumentException.class,
              () -> PrivateAdmm.builder(problem, network, start).noise(1).build());
      assertTrue(e.getMessage().contains("0 secrets"), e.getMessage());
      e =
          assertThrows(
              IllegalArgumentException.class,
              () ->
                  PrivateAdmm.builder(problem, network, start)
                      .secrets(List.of(secret))
                      .simulated(1)
                      .build());
      assertTrue(e.getMessage().contains("both"), e.getMessage());
      var quiet = PrivateAdmm.builder(problem, network, start).build();
      e =
          assertThrows(
              IllegalArgumentException.class,
              () ->
                  quiet.guarantee(
                      1,
                      PrivateAdmm.View.MESSAGES,
                      1e-6,
                      Adjacency.replaceUser(),
                      Adversary.eavesdropper()));
      assertTrue(e.getMessage().contains("nothing"), e.getMessage());
      quiet.close();
      var shaped = PrivateAdmm.builder(Shaped.of(problem, 2, 4), network, start);
      e = assertThrows(IllegalArgumentException.class, shaped::build);
      assertTrue(e.getMessage().contains("Proximal"), e.getMessage());
    }
    assertThrows(
        IllegalArgumentException.class, () -> LeastSquares.of(new double[0][], new double[0]));
    assertThrows(
        IllegalArgumentException.class,
        () -> LeastSquares.of(new double[][] {{1}, {1, 2}}, new double[2]));
  }

  @Test
  void theProximalOperatorsMinimiseWhatTheyShould() {
    try (LeastSquares one = regression(4).build(queue, DType.F64);
        Quadratic two = Quadratic.random(4, D, 3, 1, 1).build(queue, DType.F64);
        DeviceMatrix v = DeviceMatrix.allocate(queue, 2, D, DType.F64);
        DeviceMatrix x = v.like()) {
      v.fill(0.75);
      for (Problem problem : List.of(one, two)) {
        ((Proximal) problem).proximal(new int[] {1, 3}, v, 0.4, x);
        // grad f(x) + (x - v) / t = 0.
        try (DeviceMatrix all = DeviceMatrix.allocate(queue, 4, D, DType.F64);
            DeviceMatrix g = all.like()) {
          for (int k = 0; k < 2; k++) {
            try (DeviceMatrix from = x.row(k);
                DeviceMatrix to = all.row(2 * k + 1)) {
              to.copyFrom(from);
            }
          }
          problem.gradient(all, g, 0);
          double[] gradient = g.toDoubles();
          double[] point = x.toDoubles();
          for (int k = 0; k < 2; k++) {
            for (int c = 0; c < D; c++) {
              assertEquals(
                  0, gradient[(2 * k + 1) * D + c] + (point[k * D + c] - 0.75) / 0.4, 1e-12);
            }
          }
        }
      }
    }
  }
}
