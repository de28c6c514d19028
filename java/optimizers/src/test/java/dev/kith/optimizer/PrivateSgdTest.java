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
import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Failures;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.network.Network;
import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.Guarantee;
import dev.kith.privacy.Mechanism;
import dev.kith.privacy.Method;
import dev.kith.privacy.MixingObjective;
import dev.kith.privacy.NodeNoise;
import dev.kith.privacy.NoiseCovariance;
import dev.kith.privacy.NoiseOrigin;
import dev.kith.privacy.NoiseSecrets;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** {@link PrivateDecentralizedSgd} and {@link PrivateCentralSgd}: reductions and guarantees. */
class PrivateSgdTest {
  private static final int N = 6;
  private static final int D = 5;
  private static final Adversary OUTSIDER = Adversary.eavesdropper();

  @TempDir Path folder;

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  private static Network network() {
    return Network.builder(MixingSchedule.constant(Algorithm.ring(N))).build();
  }

  private Quadratic problem() {
    return Quadratic.random(N, D, 4, 1, 3).noise(0.1, 11).build(queue, DType.F32);
  }

  private DeviceMatrix zero() {
    return DeviceMatrix.allocate(queue, 1, D, DType.F32);
  }

  /** Makes an optimizer on the common problem. */
  private interface Factory {
    Optimizer create(Problem problem, Network network, DeviceMatrix zero);
  }

  private double[] after(int rounds, Factory factory) {
    try (Problem problem = problem();
        Network network = network();
        DeviceMatrix zero = zero();
        Optimizer optimizer = factory.create(problem, network, zero)) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      return optimizer.parameters().toDoubles();
    }
  }

  private double[] privately(UnaryOperator<PrivateDecentralizedSgd.Builder> settings) {
    return after(
        12,
        (p, w, x) ->
            settings.apply(PrivateDecentralizedSgd.builder(p, w, x).stepSize(0.05)).build());
  }

  private double[] noisy(NoiseCovariance covariance) {
    return after(
        12,
        (p, w, x) ->
            PrivateDecentralizedSgd.builder(p, w, x)
                .stepSize(0.05)
                .clipNorm(1)
                .noise(NodeNoise.simulated(w, covariance, 7))
                .build());
  }

  @Test
  void withoutClippingAndNoiseItIsDecentralizedSgd() {
    double[] plain =
        after(12, (p, w, x) -> DecentralizedSgd.builder(p, w, x).stepSize(0.05).build());
    assertArrayEquals(plain, privately(b -> b));
    assertArrayEquals(plain, privately(b -> b.clipNorm(1e9)));
    assertFalse(Arrays.equals(plain, privately(b -> b.clipNorm(1))));
    assertFalse(Arrays.equals(plain, privately(b -> b.momentum(0.5))));
    assertFalse(Arrays.equals(plain, privately(b -> b.weightDecay(0.5))));
  }

  @Test
  void withoutClippingAndNoiseTheServerIsCentralSgd() {
    double[] plain = after(12, (p, w, x) -> CentralSgd.builder(p, w, x).stepSize(0.05).build());
    double[] server =
        after(12, (p, w, x) -> PrivateCentralSgd.builder(p, w, x).stepSize(0.05).build());
    // (1/n) sum (x - eta g) and x - eta (1/n) sum g are rounded in another order.
    assertArrayEquals(plain, server, 12 * 8 * 0x1p-24);
  }

  @Test
  void noiseOfAnyKindThatIsIndependentIsLocalPrivacyBitForBit() {
    double[][] r = new double[N][N];
    for (int i = 0; i < N; i++) {
      r[i][i] = 0.25;
    }
    double[] local = noisy(NoiseCovariance.independent(N, 0.25));
    assertArrayEquals(local, noisy(NoiseCovariance.joint(r)));
    assertArrayEquals(local, noisy(NoiseCovariance.pairwise(Topologies.ring(N), 0.25, 0)));
    assertFalse(Arrays.equals(local, privately(b -> b.clipNorm(1))));
    MixingMatrix one = MixingMatrix.identity(N);
    NoiseCovariance alone = NoiseCovariance.optimal(MixingObjective.oneRound(one), 4);
    for (int i = 0; i < N; i++) {
      assertEquals(0.25, alone.covariance()[i][i], 1e-9, "W = I leaves R = I / b");
    }
  }

  @Test
  void aClippedGradientIsNoLongerThanC() {
    double[][] gradients = {{300, -400, 0}, {1e-3, 0, 0}, {0, 0, 0}, {2e19, 2e19, 2e19}};
    double[] lengths = {0.5, 1e-3, 0, 0.5};
    try (Problem problem = new FixedGradient(gradients);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(4))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 3, DType.F32);
        Optimizer optimizer =
            PrivateDecentralizedSgd.builder(problem, network, zero)
                .stepSize(1)
                .clipNorm(0.5)
                .build()) {
      optimizer.step();
      double[] x = optimizer.parameters().toDoubles();
      for (int i = 0; i < 4; i++) {
        double length = Math.hypot(Math.hypot(x[3 * i], x[3 * i + 1]), x[3 * i + 2]);
        assertTrue(length <= lengths[i] * (1 + 1e-7) && length <= 0.5, i + ": " + length);
        assertEquals(lengths[i], length, 1e-5 * lengths[i]);
      }
    }
  }

  @Test
  void momentumAndDecayAreThoseOfTheFormula() {
    try (Problem problem = new FixedGradient(new double[] {3, 4}, new double[] {0.3, 0});
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(2))).build();
        DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{1, -1}});
        Optimizer optimizer =
            PrivateDecentralizedSgd.builder(problem, network, start)
                .stepSize(0.5)
                .clipNorm(1)
                .momentum(0.75)
                .weightDecay(0.25)
                .build()) {
      double[][] g = {{0.6, 0.8}, {0.3, 0}};
      double[][] x = {{1, -1}, {1, -1}};
      double[][] m = new double[2][2];
      for (int round = 0; round < 4; round++) {
        optimizer.step();
        for (int i = 0; i < 2; i++) {
          for (int c = 0; c < 2; c++) {
            m[i][c] = 0.75 * m[i][c] + 0.25 * g[i][c];
            x[i][c] = (1 - 0.5 * 0.25) * x[i][c] - 0.5 * m[i][c];
          }
        }
      }
      double[] found = optimizer.parameters().toDoubles();
      // The clip factor is up to 2^-17 smaller.
      assertArrayEquals(new double[] {x[0][0], x[0][1], x[1][0], x[1][1]}, found, 2e-5);
    }
  }

  /** The mean square of what one round from 0 with gradients 0 and a step of 1 leads to. */
  private double square(int nodes, Factory factory) {
    int cols = 100_000;
    try (Problem problem = new FixedGradient(new double[nodes][cols]);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(nodes))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, cols, DType.F32);
        Optimizer optimizer = factory.create(problem, network, zero)) {
      optimizer.step();
      double[] x = optimizer.parameters().toDoubles();
      return Arrays.stream(x, 0, cols).map(v -> v * v).sum() / cols;
    }
  }

  @Test
  void theNoiseOfTheParametersHasTheStatedVariance() {
    double b = 4;
    // Five standard deviations of a mean of 100,000 squares of normals.
    double spread = 5 * Math.sqrt(2 / 1e5);
    for (double momentum : new double[] {0, 0.5}) {
      double kept = (1 - momentum) * (1 - momentum);
      double server =
          square(
              3,
              (p, w, x) ->
                  PrivateCentralSgd.builder(p, w, x)
                      .stepSize(1)
                      .momentum(momentum)
                      .noise(NodeNoise.simulated(w, NoiseCovariance.central(3, b), 2))
                      .build());
      assertEquals(kept / (9 * b), server, spread * kept / (9 * b));
      double node =
          square(
              3,
              (p, w, x) ->
                  PrivateDecentralizedSgd.builder(p, w, x)
                      .stepSize(1)
                      .momentum(momentum)
                      .noise(NodeNoise.simulated(w, NoiseCovariance.independent(3, 1 / b), 2))
                      .build());
      assertEquals(kept / b, node, spread * kept / b);
    }
  }

  @Test
  void aSnapshotTakenOverByTheSameOptimizerRepeatsItsRounds() {
    Path file = folder.resolve("snapshot.kith");
    for (NoiseCovariance covariance :
        List.of(NoiseCovariance.independent(N, 1), NoiseCovariance.central(N, 1))) {
      after(
          3,
          (p, w, x) -> {
            NodeNoise noise = NodeNoise.simulated(w, covariance, 7);
            Optimizer optimizer =
                covariance.kind() == NoiseCovariance.Kind.CENTRAL
                    ? PrivateCentralSgd.builder(p, w, x).clipNorm(1).noise(noise).build()
                    : PrivateDecentralizedSgd.builder(p, w, x).clipNorm(1).noise(noise).build();
            optimizer.step();
            Snapshot.write(file, optimizer);
            optimizer.step();
            optimizer.step();
            double[] first = optimizer.parameters().toDoubles();
            Snapshot.read(file, optimizer);
            optimizer.step();
            optimizer.step();
            assertArrayEquals(first, optimizer.parameters().toDoubles());
            return optimizer;
          });
    }
  }

  /** Runs some rounds with noise and gives what its accountant says. */
  private Guarantee guarantee(
      NoiseCovariance covariance, boolean secret, Adjacency adjacency, Adversary adversary) {
    try (Problem problem = problem();
        Network network = network();
        DeviceMatrix zero = zero();
        NoiseSecrets secrets = NoiseSecrets.agree(network, covariance);
        PrivateDecentralizedSgd optimizer =
            PrivateDecentralizedSgd.builder(problem, network, zero)
                .clipNorm(0.1)
                .recordNorm(0.01)
                .noise(
                    secret
                        ? NodeNoise.secret(network, covariance, secrets)
                        : NodeNoise.simulated(network, covariance, 1))
                .build()) {
      for (int k = 0; k < 10; k++) {
        optimizer.step();
      }
      return optimizer.accountant(adjacency, adversary).epsilon(1e-5, Method.EXACT);
    }
  }

  @Test
  void theGuaranteeIsThatOfTheCovarianceAfterAllRounds() {
    Adjacency user = Adjacency.replaceUser();
    double b = Accountant.precisionBound(3, 1e-5, Method.EXACT, user, 0.1, 10);
    NoiseCovariance covariance =
        NoiseCovariance.pairwise(Topologies.ring(N), 1, 5).withPrecision(OUTSIDER, b);
    Guarantee secret = guarantee(covariance, true, user, OUTSIDER);
    assertTrue(secret.certified(), secret.toString());
    assertTrue(secret.epsilon() <= 3 && secret.epsilon() > 3 - 1e-6, secret.toString());
    Guarantee simulated = guarantee(covariance, false, user, OUTSIDER);
    assertFalse(simulated.certified());
    assertTrue(simulated.remark().contains("SIMULATED"), simulated.toString());
    Guarantee curious = guarantee(covariance, true, user, Adversary.curiousNeighbour());
    assertTrue(curious.epsilon() > 3.1, "who knows an edge's secret sees more: " + curious);
    Guarantee record = guarantee(covariance, true, Adjacency.addRemoveRecord(), OUTSIDER);
    Accountant expected =
        Accountant.of(Adjacency.addRemoveRecord(), OUTSIDER, NoiseOrigin.SECRET)
            .plus(new Mechanism.NodeGaussian(covariance, 0.01), 10);
    assertEquals(expected.epsilon(1e-5, Method.EXACT).epsilon(), record.epsilon());
  }

  @Test
  void theBoundOfThePapersIsTheirs() {
    double root = Math.sqrt(Math.log(1e5) + 10) - Math.sqrt(Math.log(1e5));
    assertEquals(
        root * root / (2 * 1000 * 0.01),
        Accountant.precisionBound(10, 1e-5, Method.ZCDP, Adjacency.replaceUser(), 0.1, 1000),
        1e-7);
  }

  @Test
  void roundsWithoutALostNodeAreAccountedWithoutItsEdges() {
    NoiseCovariance covariance = NoiseCovariance.pairwise(Topologies.ring(N), 0.1, 1);
    MixingSchedule losing =
        FailingSchedule.of(
            Topologies.ring(N),
            new WeightRule.Metropolis(),
            Failures.builder().removeNodes(4, 2).build());
    try (Problem problem = problem();
        Network network = Network.builder(losing).build();
        DeviceMatrix zero = zero();
        PrivateDecentralizedSgd optimizer =
            PrivateDecentralizedSgd.builder(problem, network, zero)
                .clipNorm(0.1)
                .noise(NodeNoise.simulated(network, covariance, 1))
                .build()) {
      for (int k = 0; k < 10; k++) {
        optimizer.step();
      }
      Accountant found = optimizer.accountant(Adjacency.replaceUser(), OUTSIDER);
      Accountant expected =
          Accountant.of(Adjacency.replaceUser(), OUTSIDER, NoiseOrigin.SIMULATED)
              .plus(new Mechanism.NodeGaussian(covariance, 0.1), 4)
              .plus(new Mechanism.NodeGaussian(covariance.without(2), 0.1), 6);
      assertEquals(expected.mu(), found.mu());
      Accountant whole =
          Accountant.of(Adjacency.replaceUser(), OUTSIDER, NoiseOrigin.SIMULATED)
              .plus(new Mechanism.NodeGaussian(covariance, 0.1), 10);
      assertTrue(found.mu() > whole.mu(), "fewer edges hide less");
    }
  }

  @Test
  void aRunFromSecretsGoesOnWithThemAndWithNoOthers() {
    NoiseCovariance covariance = NoiseCovariance.pairwise(Topologies.ring(N), 0.1, 1);
    Path keys = folder.resolve("secrets.kith");
    Path snapshot = folder.resolve("snapshot.kith");
    double[] whole;
    try (Network network = network();
        NoiseSecrets secrets = NoiseSecrets.agree(network, covariance)) {
      secrets.save(keys);
      whole = run(network, covariance, secrets, Optional.of(snapshot), Optional.empty());
    }
    try (Network network = network();
        NoiseSecrets back = NoiseSecrets.read(keys)) {
      assertArrayEquals(
          whole, run(network, covariance, back, Optional.empty(), Optional.of(snapshot)));
    }
    try (Network network = network();
        NoiseSecrets others = NoiseSecrets.agree(network, covariance)) {
      String message =
          refused(() -> run(network, covariance, others, Optional.empty(), Optional.of(snapshot)));
      assertTrue(message.contains("secrets " + others.id()), message);
    }
  }

  private double[] run(
      Network network,
      NoiseCovariance covariance,
      NoiseSecrets secrets,
      Optional<Path> save,
      Optional<Path> resume) {
    try (Problem problem = problem();
        DeviceMatrix zero = zero();
        PrivateDecentralizedSgd optimizer =
            PrivateDecentralizedSgd.builder(problem, network, zero)
                .clipNorm(0.1)
                .noise(NodeNoise.secret(network, covariance, secrets))
                .build()) {
      resume.ifPresent(file -> Snapshot.read(file, optimizer));
      while (optimizer.round() < 10) {
        if (optimizer.round() == 6) {
          save.ifPresent(file -> Snapshot.write(file, optimizer));
        }
        optimizer.step();
      }
      return optimizer.parameters().toDoubles();
    }
  }

  private static String refused(Executable call) {
    return assertThrows(IllegalArgumentException.class, call).getMessage();
  }

  @Test
  void whatCannotBeGuaranteedOrUsedIsRefusedInOneSentence() {
    try (Problem problem = problem();
        Network network = network();
        Network other = network();
        DeviceMatrix zero = zero()) {
      NoiseCovariance own = NoiseCovariance.independent(N, 1);
      PrivateDecentralizedSgd.Builder builder =
          PrivateDecentralizedSgd.builder(problem, network, zero);
      for (double c : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
        assertTrue(refused(() -> builder.clipNorm(c)).contains("" + c));
        assertTrue(refused(() -> builder.recordNorm(c)).contains("record norm"));
      }
      assertTrue(refused(() -> builder.momentum(1)).contains("[0, 1)"));
      assertTrue(refused(() -> builder.weightDecay(-1)).contains("-1"));
      assertTrue(
          refused(() -> builder.noise(NodeNoise.simulated(other, own, 1)))
              .contains("another network"));
      var central = NodeNoise.simulated(network, NoiseCovariance.central(N, 1), 1);
      assertTrue(
          refused(
                  () ->
                      PrivateDecentralizedSgd.builder(problem, network, zero)
                          .noise(central)
                          .build())
              .contains("noise of a server"));
      var local = NodeNoise.simulated(network, own, 1);
      assertTrue(
          refused(() -> PrivateCentralSgd.builder(problem, network, zero).noise(local).build())
              .contains("added by nodes"));
      for (List<Object> row :
          List.<List<Object>>of(
              List.of(0.0, 1e-5, 0.1, 10L, "epsilon"),
              List.of(Double.NaN, 1e-5, 0.1, 10L, "epsilon"),
              List.of(1.0, 0.0, 0.1, 10L, "delta"),
              List.of(1.0, 1.0, 0.1, 10L, "delta"),
              List.of(1.0, 1e-5, 0.0, 10L, "clip"),
              List.of(1.0, 1e-5, 0.1, 0L, "rounds"))) {
        String message =
            refused(
                () ->
                    Accountant.precisionBound(
                        (double) row.get(0),
                        (double) row.get(1),
                        Method.EXACT,
                        Adjacency.replaceUser(),
                        (double) row.get(2),
                        (long) row.get(3)));
        assertTrue(message.contains((String) row.get(4)), message);
      }
      assertTrue(
          refused(
                  () ->
                      Accountant.precisionBound(1, 1e-5, Method.PLD, Adjacency.replaceUser(), 1, 1))
              .contains("PLD"));
      try (PrivateDecentralizedSgd bare =
          PrivateDecentralizedSgd.builder(problem, network, zero).clipNorm(1).build()) {
        var e =
            assertThrows(
                IllegalStateException.class,
                () -> bare.accountant(Adjacency.replaceUser(), OUTSIDER));
        assertTrue(e.getMessage().contains("without noise"), e.getMessage());
      }
      try (PrivateDecentralizedSgd loose =
          PrivateDecentralizedSgd.builder(problem, network, zero)
              .noise(NodeNoise.simulated(network, own, 1))
              .build()) {
        var e =
            assertThrows(
                IllegalStateException.class,
                () -> loose.accountant(Adjacency.replaceUser(), OUTSIDER));
        assertTrue(e.getMessage().contains("clipping norm"), e.getMessage());
        assertTrue(
            refused(() -> loose.accountant(Adjacency.replaceRecord(), OUTSIDER))
                .contains("was not told"));
      }
    }
  }

  @Test
  void aRoundThatFailsBeforeItsNoiseIsDrawnCanBeRepeated() {
    double[][] gradients = {{1, 0}, {0, 1}};
    try (Problem problem = new FixedGradient(gradients);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(2))).build();
        DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{0, 0}});
        Optimizer optimizer =
            PrivateDecentralizedSgd.builder(problem, network, start)
                .noise(NodeNoise.simulated(network, NoiseCovariance.independent(2, 1), 1))
                .build()) {
      optimizer.step();
      gradients[0][0] = Double.NaN;
      assertThrows(NonFiniteException.class, optimizer::step);
      gradients[0][0] = 1;
      optimizer.step();
      assertEquals(2, optimizer.round(), "nothing was drawn for what failed before");
    }
  }

  @Test
  void aRoundThatFailsAfterItsNoiseIsDrawnIsNotRepeated() {
    try (Problem problem = new FixedGradient(new double[] {3e38, 0}, new double[] {0, 0});
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(2))).build();
        DeviceMatrix start = DeviceMatrix.of(queue, new float[][] {{-3e38f, 0}});
        Optimizer optimizer =
            PrivateDecentralizedSgd.builder(problem, network, start)
                .stepSize(1)
                .noise(NodeNoise.simulated(network, NoiseCovariance.independent(2, 1), 1))
                .build()) {
      assertThrows(NonFiniteException.class, optimizer::step);
      var e = assertThrows(IllegalStateException.class, optimizer::step);
      assertTrue(e.getMessage().contains("has been drawn"), e.getMessage());
      assertEquals(0, optimizer.round());
    }
  }
}
