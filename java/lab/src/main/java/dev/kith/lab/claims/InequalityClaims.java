package dev.kith.lab.claims;

import dev.kith.compress.Codec;
import dev.kith.compress.Compressor;
import dev.kith.compress.Messages;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.Network;
import dev.kith.optimizer.Extragradient;
import dev.kith.optimizer.Masha1;
import dev.kith.optimizer.Masha2;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.AffineOperator;
import dev.kith.problem.Problem;
import dev.kith.problem.RobustRegression;
import org.hipparchus.linear.Array2DRowRealMatrix;
import org.hipparchus.linear.SingularValueDecomposition;

/** Experiments on variational inequalities with compressed messages. */
final class InequalityClaims {
  private static final int NODES = 10;
  private static final long SEED = 1;

  /** Values of 20 that a message of either compressor has. */
  private static final int KEPT = 4;

  private static final int DIMENSION = 20;
  private static final Compressor RANDOM = Compressor.parse("random-k:" + KEPT);
  private static final Compressor TOP = Compressor.parse("top-k:" + KEPT);

  private InequalityClaims() {}

  /** MASHA1 and MASHA2 against extragradient on compressed operators: affine operators. */
  static Measurement mashaBilinear(Setting setting) {
    AffineOperator.Builder operators = AffineOperator.random(NODES, DIMENSION, SEED);
    double lipschitz = 0;
    for (double[] matrix : operators.matrices()) {
      double[][] rows = new double[DIMENSION][DIMENSION];
      for (int k = 0; k < matrix.length; k++) {
        rows[k / DIMENSION][k % DIMENSION] = matrix[k];
      }
      lipschitz =
          Math.max(
              lipschitz, new SingularValueDecomposition(new Array2DRowRealMatrix(rows)).getNorm());
    }
    try (Problem problem = operators.build(setting.queue(), DType.F32)) {
      return compare(
          setting,
          problem,
          operators.solution(),
          lipschitz,
          Measurement.under(
              "10 operators F_m(z) = (S_m + 0.1 I + D_m) z + b_m, d = 20, |S_m| = 1, D_m in [0, 0.3]; %s"
                  .formatted(CONDITIONS)));
    }
  }

  /** Steps of MASHA1, and of extragradient beside it. */
  private static final int STEPS1 = 6000;

  private static final int STEPS2 = 8000;

  private static final String CONDITIONS =
      "MASHA1 with random-k:4, gamma = sqrt(1 / q) / (2 L sqrt(q / M + 1)), q = 5, 6000 steps;"
          + " MASHA2 with top-k:4, gamma = 0.3 delta / L, 8000 steps;"
          + " f32, squared distance to the solution relative to that of the start";

  /** The same with a robust linear regression, whose adversary shifts all samples. */
  static Measurement mashaRobust(Setting setting) {
    // Samples of 10 numbers, so that z = (w, r) has 20.
    RobustRegression.Builder regression =
        RobustRegression.random(NODES, 50, DIMENSION / 2, 0.5, SEED);
    double[] solution;
    try (Problem problem = regression.build();
        Network network = network();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F64);
        Optimizer exact =
            Extragradient.builder(problem, network, start)
                .stepSize(0.5 / ROBUST_LIPSCHITZ)
                .build()) {
      for (int step = 0; step < 4000; step++) {
        exact.step();
      }
      solution = exact.parameters().rows(0, 1).toDoubles();
    }
    try (Problem problem = regression.build()) {
      return compare(
          setting,
          problem,
          solution,
          ROBUST_LIPSCHITZ,
          Measurement.under(
              "robust regression, 10 nodes of 50 samples, 10 + 10 numbers, heterogeneity 0.5, lambda 0.1, beta 10, L taken as 12; %s"
                  .formatted(CONDITIONS)));
    }
  }

  /** Above beta = 10, the curvature in r, and the largest eigenvalue of the samples' covariance. */
  private static final double ROBUST_LIPSCHITZ = 12;

  private static Measurement compare(
      Setting setting,
      Problem problem,
      double[] solution,
      double lipschitz,
      Measurement measurement) {
    double q = 1 + RANDOM.constants(DIMENSION).value();
    double delta = TOP.constants(DIMENSION).value();
    double step1 = Math.sqrt(1 / q) / (2 * lipschitz * Math.sqrt(q / NODES + 1));
    double step2 = 0.3 * delta / lipschitz;
    try (Network network = network();
        DeviceMatrix start =
            DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F32);
        CompressedOperator random = new CompressedOperator(problem, RANDOM, start);
        CompressedOperator top = new CompressedOperator(problem, TOP, start)) {
      // Sabotaged, the operators themselves are compressed, and not what they differ by.
      Problem first = setting.sabotaged() ? random : problem;
      Problem second = setting.sabotaged() ? top : problem;
      Masha1.Builder masha1 =
          Masha1.builder(first, network, start).stepSize(step1).referenceProbability(1 / q);
      Masha2.Builder masha2 =
          Masha2.builder(second, network, start).stepSize(step2).referenceProbability(delta);
      if (!setting.sabotaged()) {
        masha1.compressor(RANDOM).seed(SEED);
        masha2.compressor(TOP).seed(SEED);
      }
      long before = network.meter().bytes();
      double error1 = error(masha1.build(), STEPS1, solution);
      long bytes = network.meter().bytes() - before;
      double error2 = error(masha2.build(), STEPS2, solution);
      double naive =
          error(
              Extragradient.builder(random, network, start).stepSize(step1).build(),
              STEPS1,
              solution);
      return measurement
          .with("masha1Error", error1)
          .with("masha2Error", error2)
          .with("naiveError", naive)
          .with("naiveOverMasha1", naive / error1)
          .with("masha1BytesPerStep", (double) bytes / STEPS1);
    }
  }

  private static Network network() {
    return Network.builder(MixingSchedule.parse("complete", "metropolis", NODES, SEED)).build();
  }

  /** |z - solution|^2 after the steps, relative to that of the start, which is 0. */
  private static double error(Optimizer optimizer, int steps, double[] solution) {
    try (optimizer) {
      for (int step = 0; step < steps; step++) {
        optimizer.step();
      }
      double[] z = optimizer.parameters().toDoubles();
      double error = 0;
      double start = 0;
      for (int c = 0; c < solution.length; c++) {
        error += (z[c] - solution[c]) * (z[c] - solution[c]);
        start += solution[c] * solution[c];
      }
      return error / start;
    }
  }

  /** Operators of which only the compressed values are known, freshly drawn at every evaluation. */
  private static final class CompressedOperator implements Problem {
    private final Problem honest;
    private final DeviceMatrix rows;
    private final Codec codec;
    private final Messages messages;
    private long draws;

    CompressedOperator(Problem honest, Compressor compressor, DeviceMatrix like) {
      this.honest = honest;
      this.rows = like.like(honest.localNodes(), like.cols(), like.dtype());
      this.codec = compressor.bind(rows, new Codec.Sender(0, SEED, 1));
      this.messages = codec.messages();
    }

    @Override
    public Layout layout() {
      return honest.layout();
    }

    @Override
    public int nodes() {
      return honest.nodes();
    }

    @Override
    public int firstNode() {
      return honest.firstNode();
    }

    @Override
    public int localNodes() {
      return honest.localNodes();
    }

    @Override
    public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
      honest.gradient(x, rows, round);
      codec.encode(rows, messages, draws++);
      codec.decode(messages, g);
    }

    @Override
    public void close() {
      messages.close();
      codec.close();
      rows.close();
    }
  }
}
