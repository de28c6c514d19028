package dev.kith.optimizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.compress.TestDevice;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Factorization;
import dev.kith.network.Network;
import dev.kith.network.Processes;
import dev.kith.network.Transport;
import dev.kith.problem.PrincipalComponents;
import dev.kith.problem.Problem;
import dev.kith.problem.Procrustes;
import dev.kith.problem.Quadratic;
import dev.kith.problem.StiefelConstraint;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The methods on Stiefel manifolds: exact reductions, feasibility, cuts, snapshots, bad input. */
class RiemannianTest {
  private static final int D = 6;
  private static final int R = 2;
  private static final int NODES = 8;

  /** Makes an optimizer. */
  interface Factory {
    Optimizer create(Problem problem, Network network, DeviceMatrix start);
  }

  record Method(String label, Factory factory) {
    @Override
    public String toString() {
      return label;
    }
  }

  static List<Method> methods() {
    return List.of(
        new Method(
            "drcgd",
            (p, w, x) ->
                DecentralizedRiemannianConjugateGradient.builder(p, w, x).gossipSteps(3).build()),
        new Method(
            "drcgd, plain",
            (p, w, x) ->
                DecentralizedRiemannianConjugateGradient.builder(p, w, x)
                    .rule(DecentralizedRiemannianConjugateGradient.Rule.FLETCHER_REEVES)
                    .build()),
        new Method(
            "dprgd",
            (p, w, x) -> DecentralizedRiemannianGradient.builder(p, w, x).gossipSteps(2).build()),
        new Method(
            "drdgd",
            (p, w, x) ->
                DecentralizedRiemannianGradient.builder(p, w, x)
                    .form(DecentralizedRiemannianGradient.Form.RETRACTED)
                    .build()),
        new Method(
            "drgta",
            (p, w, x) ->
                DecentralizedRiemannianGradientTracking.builder(p, w, x).gossipSteps(4).build()));
  }

  /** The first columns of the identity turned by a fixed angle in the first and last direction. */
  private static double[] start(int d, int r) {
    double[] x = new double[d * r];
    for (int k = 0; k < r; k++) {
      x[k * r + k] = k == 0 ? 0.6 : 1;
    }
    x[(d - 1) * r] = 0.8;
    return x;
  }

  private static DeviceMatrix start(Queue queue, DType dtype) {
    DeviceMatrix x = DeviceMatrix.allocate(queue, 1, D * R, dtype);
    x.upload(start(D, R));
    return x;
  }

  private static PrincipalComponents.Builder components(int nodes) {
    return PrincipalComponents.random(nodes, D, R, 30, 0.6, 5);
  }

  /** Runs, then looks. */
  private static <T> T run(
      Problem problem, MixingMatrix w, double[] start, Factory factory, int rounds, Look<T> look) {
    try (Queue queue = TestDevice.chosen().newQueue();
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix x = DeviceMatrix.allocate(queue, 1, start.length, DType.F64)) {
      x.upload(start);
      try (Optimizer optimizer = factory.create(problem, network, x)) {
        for (int k = 0; k < rounds; k++) {
          optimizer.step();
        }
        return look.at(optimizer);
      }
    }
  }

  /** What a test wants to know of an optimizer. */
  private interface Look<T> {
    T at(Optimizer optimizer);
  }

  /** |X^T X - 1| of a row of parameters. */
  private static double departure(double[] x, int d, int r) {
    double sum = 0;
    for (int a = 0; a < r; a++) {
      for (int b = 0; b < r; b++) {
        double dot = a == b ? -1 : 0;
        for (int i = 0; i < d; i++) {
          dot += x[i * r + a] * x[i * r + b];
        }
        sum += dot * dot;
      }
    }
    return Math.sqrt(sum);
  }

  @ParameterizedTest
  @MethodSource("methods")
  void pointsStayOnTheManifoldInEveryRound(Method method) {
    try (Queue queue = TestDevice.chosen().newQueue();
        PrincipalComponents problem = components(NODES).build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.constant(Algorithm.ring(NODES))).build();
        DeviceMatrix x = start(queue, DType.F64);
        Optimizer optimizer = method.factory().create(problem, network, x)) {
      for (int k = 0; k < 60; k++) {
        optimizer.step();
        double[] all = optimizer.parameters().toDoubles();
        for (int i = 0; i < NODES; i++) {
          double[] row = Arrays.copyOfRange(all, i * D * R, (i + 1) * D * R);
          assertTrue(departure(row, D, R) < 1e-12, "node " + i + " in round " + k);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("methods")
  void cutsDoNotChangeABit(Method method) {
    for (DType dtype : List.of(DType.F32, DType.F64)) {
      for (Optional<DType> message : List.of(Optional.<DType>empty(), Optional.of(DType.BF16))) {
        double[] whole = parameters(method, 1, dtype, message);
        assertTrue(Arrays.stream(whole).allMatch(Double::isFinite));
        for (int processes : new int[] {2, 3}) {
          assertArrayEquals(
              whole, parameters(method, processes, dtype, message), dtype + " over " + processes);
        }
      }
    }
  }

  private static double[] parameters(
      Method method, int processes, DType dtype, Optional<DType> message) {
    return Processes.run(
            NODES,
            processes,
            (transport, queue) ->
                on(
                    method,
                    transport,
                    queue,
                    dtype,
                    message,
                    optimizer -> {
                      for (int k = 0; k < 12; k++) {
                        optimizer.step();
                      }
                      return optimizer.parameters().toDoubles();
                    }))
        .stream()
        .flatMapToDouble(Arrays::stream)
        .toArray();
  }

  private static <T> T on(
      Method method,
      Transport transport,
      Queue queue,
      DType dtype,
      Optional<DType> message,
      Look<T> look) {
    Network.Builder builder =
        Network.builder(MixingSchedule.constant(Algorithm.ring(NODES))).transport(transport);
    message.ifPresent(builder::messageType);
    try (PrincipalComponents problem =
            components(NODES)
                .nodes(transport.range().begin(), transport.range().end())
                .build(queue, dtype);
        Network network = builder.build();
        DeviceMatrix x = start(queue, dtype);
        Optimizer optimizer = method.factory().create(problem, network, x)) {
      return look.at(optimizer);
    }
  }

  @ParameterizedTest
  @MethodSource("methods")
  void aResumedRunEndsWithTheSameBits(Method method, @TempDir Path folder) {
    Path file = folder.resolve("snapshot");
    try (Queue queue = TestDevice.chosen().newQueue();
        PrincipalComponents problem = components(NODES).build(queue, DType.F64);
        DeviceMatrix x = start(queue, DType.F64)) {
      double[] expected;
      try (Network network =
              Network.builder(MixingSchedule.constant(Algorithm.ring(NODES))).build();
          Optimizer optimizer = method.factory().create(problem, network, x)) {
        for (int k = 0; k < 9; k++) {
          if (k == 4) {
            Snapshot.write(file, optimizer);
          }
          optimizer.step();
        }
        expected = optimizer.parameters().toDoubles();
      }
      try (Network network =
              Network.builder(MixingSchedule.constant(Algorithm.ring(NODES))).build();
          Optimizer optimizer = method.factory().create(problem, network, x)) {
        Snapshot.read(file, optimizer);
        assertEquals(4, optimizer.round());
        for (int k = 4; k < 9; k++) {
          optimizer.step();
        }
        assertArrayEquals(expected, optimizer.parameters().toDoubles());
      }
    }
  }

  /** The oracle: one node, in obvious loops, with the polar factor by Newton's iteration. */
  private static double[] conjugateGradient(double[] c, int rounds, double alpha, boolean capped) {
    double[][] x = square(start(D, R));
    double[][] g = riemannian(c, x);
    double[][] eta = scaled(g, -1);
    for (int k = 0; k < rounds; k++) {
      double[][] next = polar(sum(x, alpha, eta));
      double[][] gradient = riemannian(c, next);
      double beta = square(gradient) / square(g);
      eta = sum(scaled(gradient, -1), capped ? Math.min(beta, 1) : beta, tangent(next, eta));
      x = next;
      g = gradient;
    }
    return Arrays.stream(x).flatMapToDouble(Arrays::stream).toArray();
  }

  private static double[][] square(double[] x) {
    double[][] m = new double[D][];
    Arrays.setAll(m, i -> Arrays.copyOfRange(x, i * R, (i + 1) * R));
    return m;
  }

  private static double square(double[][] m) {
    return Arrays.stream(m).flatMapToDouble(Arrays::stream).map(v -> v * v).sum();
  }

  private static double[][] scaled(double[][] m, double by) {
    return sum(new double[m.length][m[0].length], by, m);
  }

  private static double[][] sum(double[][] a, double by, double[][] b) {
    double[][] c = new double[a.length][a[0].length];
    for (int i = 0; i < a.length; i++) {
      for (int j = 0; j < a[0].length; j++) {
        c[i][j] = a[i][j] + by * b[i][j];
      }
    }
    return c;
  }

  private static double[][] product(double[][] a, boolean turned, double[][] b) {
    int rows = turned ? a[0].length : a.length;
    double[][] c = new double[rows][b[0].length];
    for (int i = 0; i < rows; i++) {
      for (int j = 0; j < b[0].length; j++) {
        for (int k = 0; k < b.length; k++) {
          c[i][j] += (turned ? a[k][i] : a[i][k]) * b[k][j];
        }
      }
    }
    return c;
  }

  private static double[][] tangent(double[][] x, double[][] z) {
    double[][] s = product(x, true, z);
    double[][] even = new double[R][R];
    for (int a = 0; a < R; a++) {
      for (int b = 0; b < R; b++) {
        even[a][b] = (s[a][b] + s[b][a]) / 2;
      }
    }
    return sum(z, -1, product(x, false, even));
  }

  /** Of -1/2 tr(x' c x). */
  private static double[][] riemannian(double[] c, double[][] x) {
    double[][] h = new double[D][];
    Arrays.setAll(h, i -> Arrays.copyOfRange(c, i * D, (i + 1) * D));
    return tangent(x, scaled(product(h, false, x), -1));
  }

  /** X (3 - X'X) / 2, repeated from near the manifold, where it converges quadratically. */
  private static double[][] polar(double[][] y) {
    double[][] x = y;
    for (int k = 0; k < 30; k++) {
      double[][] gram = product(x, true, x);
      x = sum(scaled(x, 1.5), -0.5, product(x, false, gram));
    }
    return x;
  }

  private static double[] covariance(int node, int nodes) {
    double[] c = new double[D * D];
    for (int a = 0; a < D; a++) {
      for (int b = 0; b < D; b++) {
        c[a * D + b] = (a == b ? D - a : 0.1) + 0.05 * node / nodes * (a + b);
      }
    }
    return c;
  }

  @Test
  void oneNodeIsRiemannianConjugateGradient() {
    for (boolean capped : new boolean[] {true, false}) {
      double[] expected = conjugateGradient(covariance(0, 1), 15, 0.05, capped);
      try (Queue queue = TestDevice.chosen().newQueue();
          PrincipalComponents problem =
              PrincipalComponents.of(new double[][] {covariance(0, 1)}, R)
                  .build(queue, DType.F64)) {
        double[] actual =
            run(
                problem,
                MixingMatrix.uniform(1),
                start(D, R),
                (p, w, x) ->
                    DecentralizedRiemannianConjugateGradient.builder(p, w, x)
                        .rule(
                            capped
                                ? DecentralizedRiemannianConjugateGradient.Rule.CAPPED
                                : DecentralizedRiemannianConjugateGradient.Rule.FLETCHER_REEVES)
                        .stepSize(0.05)
                        .build(),
                15,
                o -> o.parameters().toDoubles());
        // 15 rounds, each of some dozens of roundings that the next ones do not amplify.
        assertArrayEquals(expected, actual, 15 * 1000 * 0x1p-52, "capped: " + capped);
      }
    }
  }

  @Test
  void withoutMomentumItIsTheProjectedGradientMethod() {
    try (Queue queue = TestDevice.chosen().newQueue();
        PrincipalComponents problem = components(NODES).build(queue, DType.F64)) {
      double[] projected =
          run(
              problem,
              Algorithm.ring(NODES),
              start(D, R),
              (p, w, x) -> DecentralizedRiemannianGradient.builder(p, w, x).build(),
              20,
              o -> o.parameters().toDoubles());
      double[] none =
          run(
              problem,
              Algorithm.ring(NODES),
              start(D, R),
              (p, w, x) ->
                  DecentralizedRiemannianConjugateGradient.builder(p, w, x)
                      .rule(DecentralizedRiemannianConjugateGradient.Rule.NONE)
                      .build(),
              20,
              o -> o.parameters().toDoubles());
      assertArrayEquals(projected, none);
    }
  }

  @ParameterizedTest
  @MethodSource("methods")
  void fullAveragesOfEqualObjectivesAreOneNode(Method method) {
    double[][] same = new double[NODES][];
    Arrays.fill(same, covariance(0, 1));
    try (Queue queue = TestDevice.chosen().newQueue();
        PrincipalComponents many = PrincipalComponents.of(same, R).build(queue, DType.F64);
        PrincipalComponents one =
            PrincipalComponents.of(new double[][] {covariance(0, 1)}, R).build(queue, DType.F64)) {
      double[] all =
          run(
              many,
              MixingMatrix.uniform(NODES),
              start(D, R),
              method.factory(),
              10,
              o -> o.parameters().toDoubles());
      double[] alone =
          run(
              one,
              MixingMatrix.uniform(1),
              start(D, R),
              method.factory(),
              10,
              o -> o.parameters().toDoubles());
      for (int k = 0; k < all.length; k++) {
        assertEquals(alone[k % alone.length], all[k], 1e-11);
      }
    }
  }

  @Test
  void trackingReachesTheOptimumWhereTheGradientMethodStops() {
    double[][] covariances = new double[NODES][];
    Arrays.setAll(covariances, i -> covariance(4 * i, NODES));
    try (Queue queue = TestDevice.chosen().newQueue();
        PrincipalComponents problem =
            PrincipalComponents.of(covariances, R).build(queue, DType.F64)) {
      double tracked =
          gap(
              problem,
              (p, w, x) ->
                  DecentralizedRiemannianGradientTracking.builder(p, w, x)
                      .stepSize(0.05)
                      .gossipSteps(3)
                      .build());
      double plain =
          gap(
              problem,
              (p, w, x) ->
                  DecentralizedRiemannianGradient.builder(p, w, x)
                      .stepSize(0.05)
                      .gossipSteps(3)
                      .build());
      assertTrue(tracked < 1e-12, "tracking is " + tracked + " above");
      assertTrue(plain > 1e-9, "the gradient method is " + plain + " above");
    }
  }

  /** Mean objective over the optimum, of the worst node. */
  private static double gap(PrincipalComponents problem, Factory factory) {
    double[] mean = new double[D * D];
    for (int i = 0; i < NODES; i++) {
      double[] c = covariance(4 * i, NODES);
      for (int k = 0; k < mean.length; k++) {
        mean[k] += c[k] / NODES;
      }
    }
    double[] all =
        run(
            problem,
            Algorithm.ring(NODES),
            start(D, R),
            factory,
            1500,
            o -> o.parameters().toDoubles());
    double worst = 0;
    for (int i = 0; i < NODES; i++) {
      double[][] x = square(Arrays.copyOfRange(all, i * D * R, (i + 1) * D * R));
      double[][] h = new double[D][];
      Arrays.setAll(h, r -> Arrays.copyOfRange(mean, r * D, (r + 1) * D));
      double[][] moved = product(h, false, x);
      double value = 0;
      for (int r = 0; r < D; r++) {
        for (int c = 0; c < R; c++) {
          value -= x[r][c] * moved[r][c] / 2;
        }
      }
      worst = Math.max(worst, value - problem.optimalValue());
    }
    return worst;
  }

  /**
   * With one column the manifold is the sphere, and the optimum of |x - b|^2 is b over its length.
   */
  @Test
  void onTheSphereTheNearestPointIsFound() {
    double[][][] identity = new double[4][3][3];
    double[][][] targets = new double[4][3][1];
    for (int i = 0; i < 4; i++) {
      for (int k = 0; k < 3; k++) {
        identity[i][k][k] = 1;
        targets[i][k][0] = k + 0.25 * i;
      }
    }
    double[] mean = {0.375, 1.375, 2.375};
    double length = Math.sqrt(Arrays.stream(mean).map(v -> v * v).sum());
    try (Queue queue = TestDevice.chosen().newQueue();
        Procrustes problem = Procrustes.of(identity, targets).build(queue, DType.F64)) {
      double[] all =
          run(
              problem,
              Algorithm.ring(4),
              new double[] {1, 0, 0},
              (p, w, x) ->
                  DecentralizedRiemannianGradientTracking.builder(p, w, x).gossipSteps(2).build(),
              600,
              o -> o.parameters().toDoubles());
      for (int k = 0; k < all.length; k++) {
        assertEquals(mean[k % 3] / length, all[k], 1e-12);
      }
    }
  }

  /** A problem with a free tensor behind the constrained one. */
  private record HalfFree(Problem problem, Layout layout) implements Problem, StiefelConstraint {
    @Override
    public List<Layout.Tensor> orthonormal() {
      return List.of(layout.tensors().getFirst());
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
    public void close() {
      problem.close();
    }
  }

  @Test
  void tensorsThatAreNotConstrainedTakePlainSteps() {
    Layout layout = Layout.builder().tensor("point", "", 2, 1).tensor("bias", "", 3).build();
    double[] b = {3, 4, 7, -1, 2};
    double[] curvature = new double[25];
    for (int k = 0; k < 5; k++) {
      curvature[k * 5 + k] = 1;
    }
    try (Queue queue = TestDevice.chosen().newQueue();
        HalfFree problem =
            new HalfFree(
                Quadratic.of(new double[][] {curvature}, new double[][] {b})
                    .build(queue, DType.F64),
                layout)) {
      for (Method method : methods()) {
        // Plain Fletcher-Reeves with a fixed step grows its directions, which nothing bounds here.
        if (method.label().equals("drcgd, plain")) {
          continue;
        }
        double[] x =
            run(
                problem,
                MixingMatrix.uniform(1),
                new double[] {1, 0, 0, 0, 0},
                method.factory(),
                900,
                o -> o.parameters().toDoubles());
        assertArrayEquals(new double[] {0.6, 0.8, 7, -1, 2}, x, 1e-12, method.label());
      }
    }
  }

  @Test
  void aGradientThatIsNotFiniteNamesTheNodeAndLeavesTheState() {
    for (Method method : methods()) {
      try (Queue queue = TestDevice.chosen().newQueue();
          PrincipalComponents good = components(3).build(queue, DType.F64);
          Poisoned problem = new Poisoned(good, 4, 1);
          Network network = Network.builder(MixingSchedule.constant(Algorithm.ring(3))).build();
          DeviceMatrix x = start(queue, DType.F64);
          Optimizer optimizer = method.factory().create(problem, network, x)) {
        NonFiniteException e = null;
        double[] before = optimizer.parameters().toDoubles();
        for (int k = 0; k < 8 && e == null; k++) {
          before = optimizer.parameters().toDoubles();
          try {
            optimizer.step();
          } catch (NonFiniteException caught) {
            e = caught;
          }
        }
        assertTrue(e != null && e.node() == 1, method.label());
        assertArrayEquals(before, optimizer.parameters().toDoubles(), method.label());
      }
    }
  }

  /** NaN in the gradient of one row from a draw on. */
  private record Poisoned(PrincipalComponents problem, long from, int row)
      implements Problem, StiefelConstraint {
    @Override
    public Layout layout() {
      return problem.layout();
    }

    @Override
    public List<Layout.Tensor> orthonormal() {
      return problem.orthonormal();
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
      if (round >= from) {
        g.set(row, 3, Double.NaN);
      }
    }

    @Override
    public void close() {}
  }

  @Test
  void whatDoesNotFitIsRefused() {
    try (Queue queue = TestDevice.chosen().newQueue();
        PrincipalComponents problem = components(4).build(queue, DType.F64);
        Quadratic plain = Quadratic.random(4, D * R, 2, 1, 1).build(queue, DType.F64);
        Network network = Network.builder(MixingSchedule.constant(Algorithm.ring(4))).build();
        Network directed =
            Network.builder(MixingSchedule.constant(Algorithm.pushWeights(4))).build();
        DeviceMatrix x = start(queue, DType.F64);
        DeviceMatrix far = start(queue, DType.F64)) {
      far.set(0, 0, 1.6);
      for (Method method : methods()) {
        refused("0.788854", () -> method.factory().create(problem, network, far));
        refused("Quadratic", () -> method.factory().create(plain, network, x));
        refused("COLUMN_STOCHASTIC", () -> method.factory().create(problem, directed, x));
      }
      refused(
          "0 gossip steps",
          () -> DecentralizedRiemannianGradient.builder(problem, network, x).gossipSteps(0));
      // How far is what the kernel says: the length of the first column is sqrt(1.6^2 + 0.8^2).
      try (DeviceMatrix distance = DeviceMatrix.allocate(queue, 1, 1, DType.F64)) {
        Factorization.distance(1, Batch.of(far, 0, D, R, R, far.stride()), distance);
        assertEquals(Math.sqrt(1.6 * 1.6 + 0.8 * 0.8) - 1, distance.get(0, 0), 1e-14);
      }
    }
  }

  private static void refused(String part, Runnable call) {
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call::run);
    assertTrue(e.getMessage().contains(part), e.getMessage());
  }
}
