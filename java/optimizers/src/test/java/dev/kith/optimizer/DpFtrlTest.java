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
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Memory;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.Reduction;
import dev.kith.kernel.Secret;
import dev.kith.network.Network;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;
import dev.kith.privacy.AnalyticGaussian;
import dev.kith.privacy.NoiseOrigin;
import dev.kith.privacy.Participation;
import dev.kith.privacy.ToeplitzFactor;
import dev.kith.problem.Quadratic;
import dev.kith.problem.Regularizer;
import dev.kith.random.Stream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.function.IntFunction;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class DpFtrlTest {
  private static final int N = 4;
  private static final int D = 37;
  private static final byte[] KEY = new byte[Secret.BYTES];

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** Gradients of very different lengths, so that some are clipped. */
  private static FixedGradient gradients(double scale) {
    double[][] g = new double[N][D];
    for (int i = 0; i < N; i++) {
      for (int c = 0; c < D; c++) {
        g[i][c] = scale * (i * i - 1) * Math.sin(1 + c + 7 * i);
      }
    }
    return new FixedGradient(g);
  }

  private static Network network(MixingSchedule schedule) {
    return Network.builder(schedule).build();
  }

  private static Network network() {
    return network(MixingSchedule.constant(MixingMatrix.identity(N)));
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"F32", "F64"})
  void oneBandIsDpSgdBitForBit(DType dtype) {
    IntFunction<NoiseField> field =
        t -> NoiseField.shared(NoiseField.Distribution.NORMAL, Stream.GROUP_NOISE, 9, t, 0, 1);
    dpSgd(dtype, b -> b.simulated(9), field);
    try (Secret secret = Secret.of(KEY)) {
      dpSgd(
          dtype,
          b -> b.secret(secret),
          t ->
              NoiseField.secret(
                  NoiseField.Distribution.NORMAL,
                  Stream.GROUP_NOISE,
                  List.of(new NoiseField.SecretRow(secret, t, 0))));
    }
  }

  /** Clip every row, average, step, and add independent noise. */
  private void dpSgd(
      DType dtype, UnaryOperator<DpFtrl.Builder> origin, IntFunction<NoiseField> field) {
    double step = 0.3;
    double clip = 2;
    double sigma = 0.7;
    FixedGradient problem = gradients(0.25);
    try (Network network = network();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, dtype);
        DeviceMatrix g = start.like(N, D, dtype);
        DeviceMatrix x = start.like();
        DeviceMatrix mean = start.like();
        DpFtrl optimizer =
            origin
                .apply(
                    DpFtrl.builder(problem, network, start, new Participation(10, 10, 1))
                        .stepSize(step)
                        .clip(clip)
                        .noiseMultiplier(sigma))
                .build()) {
      for (int t = 0; t < 10; t++) {
        problem.gradient(g, g, t);
        for (int i = 0; i < N; i++) {
          try (DeviceMatrix row = g.row(i)) {
            double norm = Reduction.norms(row)[0];
            // What RowClipping allows for its own rounding.
            double bound = (1 - 0x1p-17) * clip;
            Mixing.combine(Expression.outer(Math.min(1, bound / norm), row), row);
          }
        }
        network.observeAverage(g, mean);
        Mixing.combine(Expression.outer(x).plusOuter(-step, mean), x);
        Noise.add(field.apply(t), -step * sigma * clip / N, x);
        optimizer.step();
        try (DeviceMatrix row = optimizer.parameters().row(N - 1)) {
          assertArrayEquals(x.toDoubles(), row.toDoubles(), "round " + t);
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 4, 5, 8, 20})
  void multiplyingBackByTheFactorRecoversTheIndependentNoise(int bands) {
    ToeplitzFactor factor = ToeplitzFactor.squareRoot(bands);
    int rounds = 16;
    try (Network network = network();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F32);
        DeviceMatrix z = start.like();
        DpFtrl optimizer =
            DpFtrl.builder(gradients(0), network, start, new Participation(rounds, rounds, 1))
                .factor(factor)
                .simulated(9)
                .build()) {
      double[] c = factor.coefficients();
      List<double[]> w = new ArrayList<>();
      for (int t = 0; t < rounds; t++) {
        optimizer.step();
        w.add(optimizer.lastNoise().toDoubles());
        Noise.draw(
            NoiseField.shared(NoiseField.Distribution.NORMAL, Stream.GROUP_NOISE, 9, t, 0, 1),
            1,
            z);
        double[] expected = z.toDoubles();
        for (int k = 0; k < D; k++) {
          double sum = 0;
          for (int j = 0; j <= Math.min(t, bands - 1); j++) {
            sum += c[j] * w.get(t - j)[k];
          }
          // Up to 15 roundings of numbers below 8.
          assertEquals(expected[k], sum, 15 * 8 * 0x1p-24);
        }
      }
    }
  }

  @Test
  void snapshotsHoldNoNoiseAndRoundsDoneAgainGetTheSame(@TempDir Path folder) {
    try (Network network = network();
        Secret secret = Secret.random();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F32);
        DpFtrl optimizer =
            DpFtrl.builder(gradients(1), network, start, new Participation(20, 20, 1))
                .factor(ToeplitzFactor.squareRoot(6))
                .secret(secret)
                .build()) {
      assertEquals(Set.of("x", "common"), optimizer.state().keySet());
      Path file = folder.resolve("run.snapshot");
      for (int t = 0; t < 9; t++) {
        optimizer.step();
      }
      Snapshot.write(file, optimizer);
      List<double[]> first = new ArrayList<>();
      for (int t = 0; t < 5; t++) {
        optimizer.step();
        first.add(optimizer.parameters().toDoubles());
      }
      Snapshot.read(file, optimizer);
      for (int t = 0; t < 5; t++) {
        optimizer.step();
        assertArrayEquals(first.get(t), optimizer.parameters().toDoubles(), "round " + t);
      }
    }
  }

  @Test
  void aRoundThatFailedGetsTheSameNoiseAgain() {
    boolean[] broken = {false};
    Regularizer half = Regularizer.squaredNorm(1);
    Regularizer breaking =
        new Regularizer() {
          @Override
          public String name() {
            return "breaking";
          }

          @Override
          public void proximal(DeviceMatrix v, double t, DeviceMatrix out) {
            if (broken[0]) {
              throw new IllegalStateException("broken");
            }
            half.proximal(v, t, out);
          }
        };
    List<double[]> ends = new ArrayList<>();
    for (boolean fails : new boolean[] {false, true}) {
      try (Network network = network();
          DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F32);
          DpFtrl optimizer =
              DpFtrl.builder(gradients(1), network, start, new Participation(20, 20, 1))
                  .regularizer(breaking)
                  .factor(ToeplitzFactor.squareRoot(3))
                  .simulated(4)
                  .build()) {
        for (int t = 0; t < 8; t++) {
          if (fails) {
            broken[0] = true;
            assertThrows(IllegalStateException.class, optimizer::step);
            broken[0] = false;
          }
          optimizer.step();
        }
        ends.add(optimizer.parameters().toDoubles());
      }
    }
    assertArrayEquals(ends.get(0), ends.get(1));
  }

  @Test
  void guaranteesAreThoseOfTheMatrixMechanism() {
    Participation once = new Participation(20, 2, 8);
    try (Network network = network();
        Secret secret = Secret.random();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F32)) {
      DpFtrl.Builder builder =
          DpFtrl.builder(gradients(1), network, start, once)
              .factor(ToeplitzFactor.squareRoot(4))
              .noiseMultiplier(3);
      try (DpFtrl optimizer = builder.secret(secret).build()) {
        var g = optimizer.guarantee(1e-5, Adjacency.replaceUser(), Adversary.eavesdropper());
        assertTrue(g.certified());
        double mu = 2 * Math.sqrt(2) * 1.219951 / 3;
        assertEquals(AnalyticGaussian.epsilon(mu, 1e-5), g.epsilon(), 1e-5);
        assertEquals(NoiseOrigin.SECRET, optimizer.origin());
        var half = optimizer.guarantee(1e-5, Adjacency.addRemoveUser(), Adversary.eavesdropper());
        assertTrue(half.epsilon() < g.epsilon());
      }
    }
    try (Network network = network();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F32);
        DpFtrl optimizer = DpFtrl.builder(gradients(1), network, start, once).simulated(1).build();
        DpFtrl quiet =
            DpFtrl.builder(gradients(1), network, start, once)
                .simulated(1)
                .noiseMultiplier(0)
                .build()) {
      var g = optimizer.guarantee(1e-5, Adjacency.replaceUser(), Adversary.eavesdropper());
      assertFalse(g.certified());
      assertTrue(g.remark().contains("SIMULATED"), g.remark());
      var e =
          assertThrows(
              IllegalArgumentException.class,
              () -> quiet.guarantee(1e-5, Adjacency.replaceUser(), Adversary.eavesdropper()));
      assertTrue(e.getMessage().contains("nothing"), e.getMessage());
    }
  }

  /** Node i takes part in rounds from + i, from + i + every, ... */
  private record Taking(int every, int from) implements MixingSchedule {
    Taking(int every) {
      this(every, 0);
    }

    @Override
    public int nodes() {
      return N;
    }

    @Override
    public MixingMatrix at(long round) {
      return MixingMatrix.identity(N);
    }

    @Override
    public long period() {
      return 0;
    }

    @Override
    public boolean isAlive(long round, int node) {
      return round % every == node % every + from;
    }
  }

  @Test
  void whatTheGuaranteeDoesNotCountOnIsRefused() {
    participates(new Participation(12, 3, 4), 4, 12, "done");
    participates(new Participation(12, 2, 4), 4, 8, "at most 2 times");
    participates(new Participation(12, 3, 5), 4, 4, "5 apart");
  }

  private void participates(Participation promised, int every, int rounds, String why) {
    try (Network network = network(new Taking(every));
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F32);
        DpFtrl optimizer =
            DpFtrl.builder(gradients(1), network, start, promised).simulated(1).build()) {
      for (int t = 0; t < rounds; t++) {
        optimizer.step();
      }
      var e = assertThrows(IllegalStateException.class, optimizer::step);
      assertTrue(e.getMessage().contains(why), e.getMessage());
      assertEquals(rounds, optimizer.round());
    }
  }

  @Test
  void theDivisorIsTheNumberOfAllNodes() {
    try (Network network = network(new Taking(N));
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F64);
        DpFtrl optimizer =
            DpFtrl.builder(gradients(1), network, start, new Participation(8, 2, N))
                .clip(Double.POSITIVE_INFINITY)
                .noiseMultiplier(0)
                .stepSize(1)
                .simulated(1)
                .build()) {
      optimizer.step();
      double[] g = gradients(1).gradients()[0];
      try (DeviceMatrix row = optimizer.parameters().row(2)) {
        double[] x = row.toDoubles();
        for (int c = 0; c < D; c++) {
          assertEquals(-g[c] / N, x[c], 1e-15);
        }
      }
    }
  }

  @Test
  void aRoundWithoutNodesIsNoiseAlone() {
    try (Network network = network(new Taking(6, 1));
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F64);
        DpFtrl optimizer =
            DpFtrl.builder(gradients(1), network, start, new Participation(8, 2, 6))
                .stepSize(1)
                .noiseMultiplier(2)
                .simulated(1)
                .build()) {
      optimizer.step();
      double[] w = optimizer.lastNoise().toDoubles();
      double[] x = optimizer.parameters().toDoubles();
      for (int c = 0; c < D; c++) {
        assertEquals(-2 * w[c] / N, x[c], 0x1p-52 * Math.abs(w[c]));
      }
    }
  }

  @Test
  void withoutNoiseAndClippingItIsCentralSgd() {
    Quadratic.Builder objectives = Quadratic.random(N, 5, 3, 1, 2);
    try (Quadratic problem = objectives.build(queue, DType.F64);
        Network network = network();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, 5, DType.F64);
        Optimizer sgd = CentralSgd.builder(problem, network, zero).stepSize(0.1).build();
        Optimizer ftrl =
            DpFtrl.builder(problem, network, zero, new Participation(30, 30, 1))
                .clip(Double.POSITIVE_INFINITY)
                .noiseMultiplier(0)
                .simulated(1)
                .build()) {
      for (int t = 0; t < 30; t++) {
        sgd.step();
        ftrl.step();
      }
      // One averages what was stepped, the other steps by the average.
      assertArrayEquals(
          sgd.parameters().toDoubles(), ftrl.parameters().toDoubles(), 30 * 4 * 0x1p-52);
    }
  }

  @Test
  void secretsMakeOtherNoiseThanSeedsAndNodesHaveOneModel() {
    try (Network network = network();
        Secret secret = Secret.random();
        Secret other = Secret.random();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F32)) {
      List<double[]> ends = new ArrayList<>();
      for (UnaryOperator<DpFtrl.Builder> origin :
          List.<UnaryOperator<DpFtrl.Builder>>of(
              b -> b.secret(secret), b -> b.secret(other), b -> b.simulated(1))) {
        try (DpFtrl optimizer =
            origin
                .apply(DpFtrl.builder(gradients(1), network, start, new Participation(5, 5, 1)))
                .build()) {
          optimizer.step();
          double[] x = optimizer.parameters().toDoubles();
          assertArrayEquals(Arrays.copyOf(x, D), Arrays.copyOfRange(x, D, 2 * D));
          ends.add(x);
        }
      }
      assertNotEquals(ends.get(0)[0], ends.get(1)[0]);
      assertNotEquals(ends.get(0)[0], ends.get(2)[0]);
    }
  }

  @Test
  void badSettingsAreRefusedInOneSentence() {
    try (Network network = network();
        Secret secret = Secret.random();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F32);
        DeviceMatrix rows = DeviceMatrix.allocate(queue, N, D, DType.F32)) {
      Memory.fill(rows, 0);
      Participation once = Participation.once(5);
      var builder = DpFtrl.builder(gradients(1), network, start, once);
      for (double clip : new double[] {0, -1, Double.NaN}) {
        var e = assertThrows(IllegalArgumentException.class, () -> builder.clip(clip));
        assertTrue(e.getMessage().contains("" + clip), e.getMessage());
      }
      for (double sigma : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
        var e = assertThrows(IllegalArgumentException.class, () -> builder.noiseMultiplier(sigma));
        assertTrue(e.getMessage().contains("" + sigma), e.getMessage());
      }
      var e = assertThrows(IllegalArgumentException.class, builder::build);
      assertTrue(e.getMessage().contains("none is given"), e.getMessage());
      builder.simulated(1).secret(secret);
      e = assertThrows(IllegalArgumentException.class, builder::build);
      assertTrue(e.getMessage().contains("both are given"), e.getMessage());
      var infinite =
          DpFtrl.builder(gradients(1), network, start, once)
              .simulated(1)
              .clip(Double.POSITIVE_INFINITY);
      e = assertThrows(IllegalArgumentException.class, infinite::build);
      assertTrue(e.getMessage().contains("infinite"), e.getMessage());
      var many = DpFtrl.builder(gradients(1), network, rows, once).simulated(1);
      e = assertThrows(IllegalArgumentException.class, many::build);
      assertTrue(e.getMessage().contains("4 rows"), e.getMessage());
    }
  }
}
