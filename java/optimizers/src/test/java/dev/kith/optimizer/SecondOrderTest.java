package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.CurvatureRule;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.Noise;
import dev.kith.kernel.NoiseField;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.HessianVector;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import dev.kith.problem.SampledLabelGradient;
import dev.kith.problem.SoftmaxRegression;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What must hold exactly of rules that scale steps by the diagonal of a Hessian. */
class SecondOrderTest {
  private static final int N = 6;
  private static final int D = 4;
  private static final double[] CURVATURES = {1e-3, 0.5, 2, 100};

  private final Queue queue = Device.cpu().newQueue();

  @AfterEach
  void close() {
    queue.close();
  }

  /** Makes an optimizer. */
  private interface Factory {
    Optimizer create(Problem problem, Network network, DeviceMatrix initial);
  }

  /** Diagonal quadratics, alike at all nodes, with the minimiser 0. */
  private static Quadratic.Builder diagonal(int nodes, double... curvatures) {
    double[][] h = new double[nodes][D * D];
    for (double[] of : h) {
      for (int k = 0; k < D; k++) {
        of[k * D + k] = curvatures[k];
      }
    }
    return Quadratic.of(h, new double[nodes][D]);
  }

  /** Another problem that has a multiple of the identity as its Hessian, or NaN in a product. */
  private record Bent(Problem problem, double product) implements Problem, HessianVector {
    @Override
    public Layout layout() {
      return problem.layout();
    }

    @Override
    public int nodes() {
      return problem.nodes();
    }

    @Override
    public int firstNode() {
      return problem.firstNode();
    }

    @Override
    public int localNodes() {
      return problem.localNodes();
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      problem.gradient(x, g, round);
    }

    @Override
    public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
      Mixing.combine(Expression.outer(Double.isNaN(product) ? 1 : product, v), out);
      if (Double.isNaN(product)) {
        out.set(out.rows() - 1, 2, product);
      }
    }

    @Override
    public void close() {
      problem.close();
    }
  }

  /** The parameters of node 0 after some rounds from (1, 2, -1, 0.5). */
  private double[] run(Problem problem, int rounds, Factory factory) {
    int nodes = problem.nodes();
    try (Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(nodes))).build();
        DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{1, 2, -1, 0.5}});
        Optimizer optimizer = factory.create(problem, network, start)) {
      for (int k = 0; k < rounds; k++) {
        optimizer.step();
      }
      return Arrays.copyOf(optimizer.parameters().toDoubles(), D);
    }
  }

  private double[] run(double[] curvatures, int rounds, Factory factory) {
    try (Quadratic problem = diagonal(N, curvatures).build(queue, DType.F64)) {
      return run(problem, rounds, factory);
    }
  }

  @Test
  void adaHessianDoesNotSeeTheScaleOfADiagonal() {
    Factory factory =
        (p, w, x) ->
            DecentralizedSgd.builder(p, w, x)
                .rule(LocalCurvature.of(new CurvatureRule.AdaHessian(0.1, 0.9, 0.999, 0)))
                .build();
    // m / sqrt(v) is free of the curvature up to rounding, 30 steps of which add up.
    assertArrayEquals(
        run(new double[] {1, 1, 1, 1}, 30, factory), run(CURVATURES, 30, factory), 1e-13);
  }

  @Test
  void sophiaWithoutClippingIsDampedNewton() {
    Factory factory =
        (p, w, x) ->
            DecentralizedSgd.builder(p, w, x)
                .rule(new LocalCurvature(new CurvatureRule.SophiaH(0.25, 0, 4, 1e-300), 1, 3, 0))
                .build();
    double[] start = {1, 2, -1, 0.5};
    // x - 0.25 (h x / 4 h) = 15/16 x: nothing is longer than 4, and h is exact for a diagonal.
    double[] expected = Arrays.stream(start).map(c -> c * Math.pow(15 / 16.0, 5)).toArray();
    assertArrayEquals(expected, run(CURVATURES, 5, factory), 1e-14);
  }

  @Test
  void sophiaStepsBySignsWhereTheCurvatureIsNegative() {
    Factory factory =
        (p, w, x) ->
            DecentralizedSgd.builder(p, w, x)
                .rule(LocalCurvature.of(new CurvatureRule.SophiaH(0.25, 0, 1, 1e-12)))
                .build();
    try (Problem problem = new Bent(diagonal(N, CURVATURES).build(queue, DType.F64), -3)) {
      // The average over six nodes rounds.
      assertArrayEquals(new double[] {0.75, 1.75, -0.75, 0.25}, run(problem, 1, factory), 1e-15);
    }
  }

  @Test
  void theEstimateOfSophiaIsRefreshedEveryPeriod() {
    double[][] ends = new double[2][];
    for (int period : new int[] {1, 2}) {
      try (Quadratic problem = Quadratic.random(1, D, 5, 1, 3).build(queue, DType.F64)) {
        ends[period - 1] =
            run(
                problem,
                2,
                (p, w, x) ->
                    DecentralizedSgd.builder(p, w, x)
                        .rule(
                            new LocalCurvature(
                                new CurvatureRule.SophiaH(0.1, 0, 4, 1e-12), 1, period, 0))
                        .build());
      }
    }
    assertTrue(!Arrays.equals(ends[0], ends[1]), "another probe in the second step");
  }

  /**
   * A diagonal Hessian, gradients and label gradients that change from round to round; keeps what
   * it was asked for.
   */
  private record Moving(int nodes, List<double[]> gradientsAt, List<double[]> productsAt)
      implements Problem, HessianVector, SampledLabelGradient {
    static double curvature(int k, double x, long round) {
      return 1 + 0.3 * k + 0.2 * round + 0.5 * x * x;
    }

    static double labelled(int k, long round) {
      return 1.2 + Math.cos(k + 1.3 * round);
    }

    @Override
    public Layout layout() {
      return Layout.builder().tensor("x", "", D).build();
    }

    @Override
    public int firstNode() {
      return 0;
    }

    @Override
    public int localNodes() {
      return nodes;
    }

    /** Parameters, and the round behind them. */
    private static double[] asked(double[] x, long round) {
      double[] all = Arrays.copyOf(x, x.length + 1);
      all[x.length] = round;
      return all;
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      double[] at = x.toDoubles();
      gradientsAt.add(asked(at, round));
      double[] out = new double[at.length];
      Arrays.setAll(out, k -> MovingGradient.gradient(k / D, k % D, at[k], round));
      g.upload(out);
    }

    @Override
    public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
      hessianVector(x, v, out, 0);
    }

    @Override
    public void hessianVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out, long round) {
      double[] at = x.toDoubles();
      productsAt.add(asked(at, round));
      double[] along = v.toDoubles();
      Arrays.setAll(along, k -> along[k] * curvature(k % D, at[k], round));
      out.upload(along);
    }

    @Override
    public void sampledLabelGradient(DeviceMatrix x, DeviceMatrix g, long round) {
      double[] out = new double[x.toDoubles().length];
      Arrays.setAll(out, k -> labelled(k % D, round));
      g.upload(out);
    }

    @Override
    public void close() {}
  }

  private static Moving moving(int nodes) {
    return new Moving(nodes, new ArrayList<>(), new ArrayList<>());
  }

  /** Estimates of the second order that are averaged, and refreshed in rounds 0, 2 and 4 alone. */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void stepsOfSophiaAreThoseOfTheFormula(boolean labels) {
    double[] x = {1, 2, -1, 0.5};
    double[] m = new double[D];
    double[] h = new double[D];
    for (int t = 0; t < 6; t++) {
      for (int k = 0; k < D; k++) {
        double g = MovingGradient.gradient(0, k, x[k], t);
        if (t % 2 == 0) {
          double label = Moving.labelled(k, t);
          h[k] = 0.7 * h[k] + 0.3 * (labels ? label * label : Moving.curvature(k, x[k], t));
        }
        m[k] = 0.4 * m[k] + 0.6 * g;
        double eta = labels ? 0.2 : 0.2 / (1 - Math.pow(0.4, t + 1));
        double divisor = labels ? Math.max(0.25 * 8 * h[k], 1e-12) : 1.5 * h[k] + 1e-12;
        x[k] -= eta * Math.clamp(m[k] / divisor, -1, 1);
      }
    }
    CurvatureRule rule =
        labels
            ? new CurvatureRule.SophiaG(0.2, 0.4, 0.25, 8, 1e-12)
            : new CurvatureRule.SophiaH(0.2, 0.4, 1.5, 1e-12);
    double[] actual =
        run(
            moving(1),
            6,
            (p, w, start) ->
                DecentralizedSgd.builder(p, w, start)
                    .rule(new LocalCurvature(rule, 1, 2, 0.7))
                    .build());
    assertArrayEquals(x, actual, 1e-12);
  }

  /** Where mixing comes first, the parameters that are moved are not those of the gradient. */
  @ParameterizedTest
  @EnumSource(DecentralizedSgd.Form.class)
  void productsAreTakenWhereTheGradientIs(DecentralizedSgd.Form form) {
    Moving problem = moving(3);
    try (Network network = Network.builder(MixingSchedule.constant(Algorithm.ring(3))).build();
        DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{1, 2, -1, 0.5}});
        Optimizer optimizer =
            DecentralizedSgd.builder(problem, network, start)
                .form(form)
                .rule(LocalCurvature.of(CurvatureRule.AdaHessian.withDefaults()))
                .localSteps(2)
                .build()) {
      for (int k = 0; k < 3; k++) {
        optimizer.step();
      }
    }
    assertEquals(6, problem.gradientsAt().size());
    for (int k = 0; k < 6; k++) {
      assertArrayEquals(problem.gradientsAt().get(k), problem.productsAt().get(k), "step " + k);
    }
  }

  @Test
  void sophiaWithDrawnLabelsTrainsAClassifier() {
    float[] values = {1, 0, 0, 1, -1, 0, 0, -1};
    ClassificationData data = ClassificationData.of("t", 2, 2, values, new int[] {0, 0, 1, 1});
    try (SoftmaxRegression problem =
            SoftmaxRegression.builder(queue, data, new int[][] {{0, 1, 2, 3}})
                .dtype(DType.F64)
                .batch(0)
                .build();
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.identity(1))).build();
        DeviceMatrix start = problem.initial(1);
        DeviceMatrix out = start.like(1, 1, DType.F64);
        Optimizer optimizer =
            DecentralizedSgd.builder(problem, network, start)
                .rule(LocalCurvature.of(new CurvatureRule.SophiaG(0.05, 0.9, 0.5, 4, 1e-12)))
                .build()) {
      for (int k = 0; k < 200; k++) {
        optimizer.step();
      }
      problem.values(optimizer.parameters(), out);
      assertTrue(out.get(0, 0) < 0.1, "the loss falls from 0.69 to " + out.get(0, 0));
    }
  }

  @ParameterizedTest
  @EnumSource(DecentralizedSgd.Form.class)
  void trackingWithCurvatureStillFindsTheExactOptimum(DecentralizedSgd.Form form) {
    Quadratic.Builder objectives = Quadratic.random(N, D, 4, 1, 1);
    LocalCurvature rule = LocalCurvature.of(new CurvatureRule.AdaHessian(0.02, 0, 0.999, 1e-4));
    MixingSchedule ring = MixingSchedule.constant(Algorithm.ring(N));
    double[] errors = new double[2];
    for (int k = 0; k < 2; k++) {
      boolean tracks = k == 0;
      try (Quadratic problem = objectives.build(queue, DType.F64);
          Network network = Network.builder(ring).build();
          DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F64);
          Optimizer optimizer =
              tracks
                  ? GradientTracking.builder(problem, network, start).form(form).rule(rule).build()
                  : DecentralizedSgd.builder(problem, network, start)
                      .form(form)
                      .rule(rule)
                      .build()) {
        for (int round = 0; round < 4000; round++) {
          optimizer.step();
        }
        double[] x = optimizer.parameters().toDoubles();
        for (int i = 0; i < x.length; i++) {
          errors[k] = Math.max(errors[k], Math.abs(x[i] - problem.optimum()[i % D]));
        }
      }
    }
    assertTrue(errors[0] < 1e-9, "tracking ends " + errors[0] + " away");
    assertTrue(errors[1] > 1e-3, "D-SGD keeps its bias, and ends " + errors[1] + " away");
  }

  // ---- OASIS

  /** The common diagonal is an average over the meetings, and stays between them. */
  @ParameterizedTest
  @EnumSource(names = {"OASIS", "ADAHESSIAN"})
  void stepsOfSavicAreThoseOfTheFormula(ScaledLocalSgd.Scaling scaling) {
    boolean squared = scaling == ScaledLocalSgd.Scaling.ADAHESSIAN;
    double[] x = {1, 2, -1, 0.5};
    double[] diagonal = new double[D];
    for (int t = 0; t < 5; t++) {
      double power = Math.pow(0.8, t + 1);
      double b = (0.8 - power) / (1 - power);
      for (int k = 0; k < D; k++) {
        double seen = Moving.curvature(k, x[k], 2L * t);
        diagonal[k] = b * diagonal[k] + (1 - b) * (squared ? seen * seen : seen);
        double scale = Math.max(squared ? Math.sqrt(diagonal[k]) : diagonal[k], 1.9);
        for (int s = 0; s < 2; s++) {
          x[k] -= 0.1 * MovingGradient.gradient(0, k, x[k], 2L * t + s) / scale;
        }
      }
    }
    double[] actual =
        run(
            moving(1),
            5,
            (p, w, start) ->
                ScaledLocalSgd.builder(p, w, start)
                    .scaling(scaling)
                    .beta(0.8)
                    .alpha(1.9)
                    .localSteps(2)
                    .stepSize(0.1)
                    .build());
    assertArrayEquals(x, actual, 1e-12);
  }

  /**
   * Of a Hessian that is no diagonal the estimate depends on the probe: another at each meeting.
   */
  @Test
  void savicDrawsAProbeAtEachMeeting() {
    long seed = 5;
    Quadratic.Builder objective = Quadratic.random(1, D, 4, 1, 1);
    double[] h = objective.curvatures()[0];
    try (Quadratic problem = objective.build(queue, DType.F64);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
        DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{1, 2, -1, 0.5}});
        DeviceMatrix probe = start.like();
        ScaledLocalSgd optimizer =
            ScaledLocalSgd.builder(problem, network, start)
                .scaling(ScaledLocalSgd.Scaling.OASIS)
                .beta(0.8)
                .localSteps(1)
                .seed(seed)
                .build()) {
      double[] diagonal = new double[D];
      for (int t = 0; t < 4; t++) {
        optimizer.step();
        NoiseField.PublicRow row = new NoiseField.PublicRow(seed, t, 0);
        Noise.draw(
            NoiseField.shared(NoiseField.Distribution.RADEMACHER, Stream.PROBE, List.of(row)),
            1,
            probe);
        double[] z = probe.toDoubles();
        double power = Math.pow(0.8, t + 1);
        double b = (0.8 - power) / (1 - power);
        for (int k = 0; k < D; k++) {
          double product = 0;
          for (int j = 0; j < D; j++) {
            product += h[k * D + j] * z[j];
          }
          diagonal[k] = b * diagonal[k] + (1 - b) * z[k] * product;
        }
        assertArrayEquals(diagonal, optimizer.diagonal().toDoubles(), 1e-12, "meeting " + t);
      }
    }
  }

  /**
   * The average of a diagonal that moves, and the step that it measures: between gradients of two
   * rounds, or of the same mini-batch at two points.
   */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void stepsOfOasisAreThoseOfTheFormula(boolean full) {
    double[] x = {1, 2, -1, 0.5};
    double[] diagonal = new double[D];
    double[] before = x.clone();
    double[] gradient = new double[D];
    double eta = 0.01;
    double theta = Double.POSITIVE_INFINITY;
    for (int t = 0; t < 6; t++) {
      double moved = 0;
      double turned = 0;
      double[] next = new double[D];
      for (int k = 0; k < D; k++) {
        next[k] = MovingGradient.gradient(0, k, x[k], t);
        double seen = Moving.curvature(k, x[k], t);
        diagonal[k] = t == 0 ? seen : 0.7 * diagonal[k] + 0.3 * seen;
        // Two of the four curvatures are below 1.9 at first.
        double floor = Math.max(diagonal[k], 1.9);
        moved += floor * (x[k] - before[k]) * (x[k] - before[k]);
        double past = full ? gradient[k] : MovingGradient.gradient(0, k, before[k], t);
        turned += (next[k] - past) * (next[k] - past) / floor;
      }
      if (t > 0) {
        double size = Math.min(Math.sqrt(1 + theta) * eta, Math.sqrt(moved / turned) / 2);
        theta = size / eta;
        eta = size;
      }
      before = x.clone();
      gradient = next;
      for (int k = 0; k < D; k++) {
        x[k] -= eta * next[k] / Math.max(diagonal[k], 1.9);
      }
    }
    double[] actual =
        run(
            moving(1),
            6,
            (p, w, start) -> {
              Oasis.Builder settings =
                  Oasis.builder(p, w, start).beta(0.7).alpha(1.9).stepSize(0.01);
              return (full ? settings.fullGradients() : settings).build();
            });
    assertArrayEquals(x, actual, 1e-12);
  }

  @Test
  void onADiagonalOasisTakesHalfNewtonSteps() {
    try (Quadratic problem = diagonal(N, CURVATURES).build(queue, DType.F64);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(N))).build();
        DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{1, 2, -1, 0.5}});
        Oasis optimizer = Oasis.builder(problem, network, start).beta(0).build()) {
      optimizer.step();
      for (int k = 0; k < 20; k++) {
        double[] before = optimizer.parameters().toDoubles();
        optimizer.step();
        // The step before moves in the norm of the Hessian by what the gradient turns.
        assertEquals(0.5, optimizer.stepSize(), 1e-12);
        double[] after = optimizer.parameters().toDoubles();
        for (int c = 0; c < D; c++) {
          assertEquals(before[c] / 2, after[c], 1e-12 * Math.abs(before[c]));
        }
        assertArrayEquals(CURVATURES, optimizer.diagonal().toDoubles(), 1e-12);
      }
    }
  }

  @Test
  void withoutCurvatureOasisIsAdaptiveGradientDescent() {
    double[] h = {0.1, 0.5, 2, 10};
    double[] x = {1, 2, -1, 0.5};
    double[] before = x;
    double eta = 1e-3;
    double theta = Double.POSITIVE_INFINITY;
    for (int k = 0; k < 40; k++) {
      if (k > 0) {
        double moved = 0;
        double turned = 0;
        for (int c = 0; c < D; c++) {
          moved += Math.pow(x[c] - before[c], 2);
          turned += Math.pow(h[c] * (x[c] - before[c]), 2);
        }
        double next = Math.min(Math.sqrt(1 + theta) * eta, Math.sqrt(moved / turned) / 2);
        theta = next / eta;
        eta = next;
      }
      double[] after = new double[D];
      for (int c = 0; c < D; c++) {
        after[c] = x[c] - eta * h[c] * x[c];
      }
      before = x;
      x = after;
    }
    for (boolean full : new boolean[] {false, true}) {
      try (Problem problem = new Bent(diagonal(3, h).build(queue, DType.F64), 1)) {
        double[] actual =
            run(
                problem,
                40,
                (p, w, z) ->
                    full
                        ? Oasis.builder(p, w, z).fullGradients().build()
                        : Oasis.builder(p, w, z).build());
        // Roundings of 40 steps, which a step size that depends on differences enlarges.
        assertArrayEquals(x, actual, 1e-9);
      }
    }
  }

  @Test
  void atTheMinimumOasisStays() {
    try (Quadratic problem = diagonal(2, CURVATURES).build(queue, DType.F64);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(2))).build();
        DeviceMatrix start = DeviceMatrix.allocate(queue, 1, D, DType.F64);
        Oasis optimizer = Oasis.builder(problem, network, start).build()) {
      for (int k = 0; k < 5; k++) {
        optimizer.step();
      }
      assertArrayEquals(new double[2 * D], optimizer.parameters().toDoubles());
      assertTrue(Double.isFinite(optimizer.stepSize()));
    }
  }

  @Test
  void oasisSendsAsManyRowsAsItSays() {
    for (boolean full : new boolean[] {false, true}) {
      try (Quadratic problem = diagonal(N, CURVATURES).build(queue, DType.F64);
          Network network =
              Network.builder(MixingSchedule.constant(MixingMatrix.uniform(N))).build();
          DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{1, 2, -1, 0.5}})) {
        Oasis.Builder builder = Oasis.builder(problem, network, start);
        try (Oasis optimizer = full ? builder.fullGradients().build() : builder.build()) {
          optimizer.step();
          long first = network.meter().bytes();
          optimizer.step();
          long row = 2L * (N - 1) * D * 8;
          assertEquals(2 * row, first, "gradient and diagonal");
          assertEquals((full ? 2 : 3) * row, network.meter().bytes() - first);
        }
      }
    }
  }

  // ---- SAVIC

  @Test
  void scaledByTheExactDiagonalOneStepSolvesAQuadratic() {
    double[] end =
        run(
            CURVATURES,
            1,
            (p, w, x) ->
                ScaledLocalSgd.builder(p, w, x)
                    .scaling(ScaledLocalSgd.Scaling.OASIS)
                    .beta(0)
                    .alpha(1e-8)
                    .stepSize(1)
                    .build());
    assertArrayEquals(new double[D], end);
  }

  @ParameterizedTest
  @EnumSource(ScaledLocalSgd.Scaling.class)
  void withoutScaleItIsLocalSgd(ScaledLocalSgd.Scaling scaling) {
    // A floor above every statistic leaves x - (gamma / alpha) g.
    double[] h = {0.25, 0.5, 1, 2};
    double[] expected =
        run(h, 5, (p, w, x) -> CentralSgd.builder(p, w, x).stepSize(0.125).localSteps(3).build());
    double[] actual =
        run(
            h,
            5,
            (p, w, x) ->
                ScaledLocalSgd.builder(p, w, x)
                    .scaling(scaling)
                    .alpha(1024)
                    .stepSize(128)
                    .localSteps(3)
                    .build());
    // Both round each of 15 steps.
    assertArrayEquals(expected, actual, 1e-14);
  }

  @Test
  void aloneWithOneStepItIsRmsProp() {
    double[] h = {0.25, 0.5, 1, 2};
    try (Quadratic one = diagonal(1, h).build(queue, DType.F64)) {
      double[] expected =
          run(
              one,
              20,
              (p, w, x) ->
                  DecentralizedSgd.builder(p, w, x)
                      .rule(new StepRule.RmsProp(0.01, 0.9, 1e-3))
                      .build());
      double[] actual =
          run(
              one,
              20,
              (p, w, x) ->
                  ScaledLocalSgd.builder(p, w, x)
                      .scaling(ScaledLocalSgd.Scaling.RMSPROP)
                      .beta(0.9)
                      .alpha(1e-3)
                      .addAlpha()
                      .stepSize(0.01)
                      .build());
      assertArrayEquals(expected, actual);
    }
  }

  @Test
  void theFirstScaleOfAdamIsTheGradientItself() {
    double[] end =
        run(
            CURVATURES,
            1,
            (p, w, x) -> ScaledLocalSgd.builder(p, w, x).alpha(1e-8).stepSize(0.25).build());
    assertArrayEquals(new double[] {0.75, 1.75, -0.75, 0.25}, end, 1e-14);
  }

  @Test
  void theSecondScaleOfAdamIsTheRootOfTheWeightedMeanOfSquares() {
    double beta = 0.5;
    double weight = (beta - beta * beta) / (1 - beta * beta);
    double[] h = {0.25, 0.5, 1, 2};
    double[] x = {1, 2, -1, 0.5};
    double[] squares = new double[D];
    for (int c = 0; c < D; c++) {
      squares[c] = Math.pow(h[c] * x[c], 2);
      x[c] -= 0.25 * h[c] * x[c] / Math.sqrt(squares[c]);
      squares[c] = weight * squares[c] + (1 - weight) * Math.pow(h[c] * x[c], 2);
      x[c] -= 0.25 * h[c] * x[c] / Math.sqrt(squares[c]);
    }
    double[] end =
        run(
            h,
            2,
            (p, w, z) ->
                ScaledLocalSgd.builder(p, w, z).beta(beta).alpha(1e-8).stepSize(0.25).build());
    assertArrayEquals(x, end, 1e-14);
  }

  // ---- bad input

  @Test
  void aProductThatIsNotFiniteNamesItsNode() {
    for (Factory factory :
        new Factory[] {
          (p, w, x) ->
              DecentralizedSgd.builder(p, w, x)
                  .rule(LocalCurvature.of(CurvatureRule.AdaHessian.withDefaults()))
                  .build(),
          (p, w, x) ->
              GradientTracking.builder(p, w, x)
                  .rule(LocalCurvature.of(CurvatureRule.SophiaH.withDefaults()))
                  .build(),
          (p, w, x) -> Oasis.builder(p, w, x).build(),
          (p, w, x) -> ScaledLocalSgd.builder(p, w, x).scaling(ScaledLocalSgd.Scaling.OASIS).build()
        }) {
      try (Problem problem = new Bent(diagonal(N, CURVATURES).build(queue, DType.F64), Double.NaN);
          Network network =
              Network.builder(MixingSchedule.constant(MixingMatrix.uniform(N))).build();
          DeviceMatrix start = DeviceMatrix.of(queue, new double[][] {{1, 2, -1, 0.5}});
          Optimizer optimizer = factory.create(problem, network, start)) {
        var e = assertThrows(NonFiniteException.class, optimizer::step, optimizer.name());
        assertEquals(N - 1, e.node(), optimizer.name());
        assertEquals(0, optimizer.round());
        assertArrayEquals(
            new double[] {1, 2, -1, 0.5}, Arrays.copyOf(optimizer.parameters().toDoubles(), D));
      }
    }
  }

  @Test
  void aProblemWithoutWhatARuleNeedsIsNamed() {
    try (Problem blunt = new FixedGradient(new double[] {1, 2, 3, 4});
        Quadratic smooth = diagonal(1, CURVATURES).build(queue, DType.F64);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F64)) {
      LocalCurvature hessian = LocalCurvature.of(CurvatureRule.AdaHessian.withDefaults());
      refused(
          "adahessian multiplies vectors by the Hessian, and FixedGradient cannot",
          () -> DecentralizedSgd.builder(blunt, network, zero).rule(hessian).build());
      refused(
          "adahessian multiplies",
          () -> GradientTracking.builder(blunt, network, zero).rule(hessian).build());
      refused(
          "sophia-g draws labels from the model, and Quadratic cannot",
          () ->
              DecentralizedSgd.builder(smooth, network, zero)
                  .rule(LocalCurvature.of(new CurvatureRule.SophiaG(1, 0.9, 1, 1, 1e-8)))
                  .build());
      refused("oasis multiplies vectors", () -> Oasis.builder(blunt, network, zero).build());
      refused(
          "the scaling ADAHESSIAN multiplies",
          () ->
              ScaledLocalSgd.builder(blunt, network, zero)
                  .scaling(ScaledLocalSgd.Scaling.ADAHESSIAN)
                  .build());
      refused(
          "natural-gradient multiplies vectors by the Fisher",
          () -> NaturalGradient.builder(smooth, network, zero).build());
      refused(
          "trpo compares policies", () -> TrustRegionPolicy.builder(smooth, network, zero).build());
    }
  }

  @Test
  void numbersOutOfRangeAreNamed() {
    CurvatureRule hessian = CurvatureRule.AdaHessian.withDefaults();
    CurvatureRule sophia = CurvatureRule.SophiaH.withDefaults();
    refused("every 0 steps", () -> new LocalCurvature(sophia, 1, 0, 0.9));
    refused("every 2 steps", () -> new LocalCurvature(hessian, 1, 2, 0.9));
    refused("decay of 1", () -> new LocalCurvature(sophia, 1, 1, 1));
    refused("decay of NaN", () -> new LocalCurvature(sophia, 1, 1, Double.NaN));
    try (Quadratic problem = diagonal(1, CURVATURES).build(queue, DType.F64);
        Network network =
            Network.builder(MixingSchedule.constant(MixingMatrix.uniform(1))).build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, D, DType.F64);
        DeviceMatrix two = DeviceMatrix.allocate(queue, 2, D, DType.F64)) {
      Oasis.Builder oasis = Oasis.builder(problem, network, zero);
      refused("decay of 1", () -> oasis.beta(1));
      refused("alpha of 0", () -> oasis.alpha(0));
      refused("0 products", () -> oasis.warmUp(0));
      ScaledLocalSgd.Builder savic = ScaledLocalSgd.builder(problem, network, zero);
      refused("decay of -0.1", () -> savic.beta(-0.1));
      refused("alpha of Infinity", () -> savic.alpha(Double.POSITIVE_INFINITY));
      refused("0 local steps", () -> savic.localSteps(0));
      refused("2 rows", () -> ScaledLocalSgd.builder(problem, network, two).build());
      NaturalGradient.Builder natural = NaturalGradient.builder(problem, network, zero);
      refused("damping of 0", () -> natural.damping(0));
      refused("0 iterations", () -> natural.iterations(0));
      refused(
          "trust region of NaN",
          () -> TrustRegionPolicy.builder(problem, network, zero).radius(Double.NaN));
    }
  }

  private static void refused(String part, Executable call) {
    String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(part), message);
  }
}
