package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.network.Network;
import dev.kith.optimizer.DSquared;
import dev.kith.optimizer.DecentralizedSgd;
import dev.kith.optimizer.Extra;
import dev.kith.optimizer.GradientTracking;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import org.hipparchus.linear.Array2DRowRealMatrix;
import org.hipparchus.linear.ArrayRealVector;
import org.hipparchus.linear.LUDecomposition;
import org.hipparchus.linear.RealMatrix;
import org.hipparchus.linear.RealVector;

/** Experiments on quadratics: where plain decentralized SGD stops, and what removes its bias. */
final class BiasClaims {
  private static final int NODES = 8;
  private static final int DIMENSION = 3;
  private static final double CONDITION = 4;
  private static final int STEPS = 3000;

  /** 0.1 / L; the random quadratics have L = their condition. */
  private static final double STEP_SIZE = 0.1 / CONDITION;

  private static final String CONDITIONS =
      "ring of 8, p = 3, condition 4, eta = 0.1 / L, " + STEPS + " steps, f64";

  private BiasClaims() {}

  /** The limit of D-SGD (CTA) against the solution of its fixed-point system, and its bias. */
  static Measurement fixedPoint(Setting setting) {
    MixingMatrix w = WeightRule.parse("metropolis").weights(Topologies.ring(NODES));
    DecentralizedSgd.Form form =
        setting.sabotaged() ? DecentralizedSgd.Form.ATC : DecentralizedSgd.Form.CTA;
    Quadratic.Builder objectives = objectives();
    double[] limit = sgdLimit(setting, w, form, STEP_SIZE);
    double[] expected = fixedPoint(w, objectives, STEP_SIZE);
    double[] closer = sgdLimit(setting, w, form, STEP_SIZE / 2);
    double[] optimum = objectives.optimum();
    return Measurement.under(CONDITIONS)
        .with("fixedPointError", largestDifference(limit, expected))
        .with(
            "biasRatioHalvedStep",
            largestDifference(limit, optimum) / largestDifference(closer, optimum));
  }

  /** Errors of D-SGD in both forms and of the three corrected methods. */
  static Measurement trackingRemovesBias(Setting setting) {
    MixingMatrix w = WeightRule.parse("metropolis").weights(Topologies.ring(NODES));
    Measurement measurement = Measurement.under(CONDITIONS);
    try (Problem problem = problem(setting);
        Network ring = Network.builder(MixingSchedule.constant(w)).build();
        Network lazy = Network.builder(MixingSchedule.constant(w.lazy())).build();
        DeviceMatrix start = DeviceMatrix.allocate(setting.queue(), 1, DIMENSION, DType.F64)) {
      measurement =
          measurement
              .with(
                  "dsgdError",
                  error(
                      DecentralizedSgd.builder(problem, ring, start)
                          .form(DecentralizedSgd.Form.CTA)
                          .stepSize(STEP_SIZE)
                          .build()))
              .with(
                  "dsgdAtcError",
                  error(DecentralizedSgd.builder(problem, ring, start).stepSize(STEP_SIZE).build()))
              .with(
                  "dsgtError",
                  error(GradientTracking.builder(problem, ring, start).stepSize(STEP_SIZE).build()))
              .with(
                  "extraError",
                  error(Extra.builder(problem, ring, start).stepSize(STEP_SIZE).build()))
              .with(
                  "d2Error",
                  error(DSquared.builder(problem, lazy, start).stepSize(STEP_SIZE).build()));
    }
    return measurement;
  }

  private static Problem problem(Setting setting) {
    Quadratic honest = objectives().build(setting.queue(), DType.F64);
    return setting.sabotaged() ? new DisplacedGradient(honest) : honest;
  }

  private static Quadratic.Builder objectives() {
    return Quadratic.random(NODES, DIMENSION, CONDITION, 1, 1);
  }

  private static double error(Optimizer optimizer) {
    try (optimizer) {
      for (int step = 0; step < STEPS; step++) {
        optimizer.step();
      }
      double[] optimum = objectives().optimum();
      double[] x = optimizer.parameters().toDoubles();
      double worst = 0;
      for (int k = 0; k < x.length; k++) {
        worst = Math.max(worst, Math.abs(x[k] - optimum[k % DIMENSION]));
      }
      return worst;
    }
  }

  private static double[] sgdLimit(
      Setting setting, MixingMatrix w, DecentralizedSgd.Form form, double stepSize) {
    try (Problem problem = objectives().build(setting.queue(), DType.F64);
        Network network = Network.builder(MixingSchedule.constant(w)).build();
        DeviceMatrix start = DeviceMatrix.allocate(setting.queue(), 1, DIMENSION, DType.F64);
        Optimizer optimizer =
            DecentralizedSgd.builder(problem, network, start)
                .form(form)
                .stepSize(stepSize)
                .build()) {
      for (int step = 0; step < STEPS; step++) {
        optimizer.step();
      }
      return optimizer.parameters().toDoubles();
    }
  }

  /** Solves [(I - W) (x) I + eta blkdiag(H_i)] x = eta blkdiag(H_i) b. */
  private static double[] fixedPoint(MixingMatrix w, Quadratic.Builder objectives, double eta) {
    double[][] h = objectives.curvatures();
    double[][] b = objectives.minimisers();
    int size = NODES * DIMENSION;
    RealMatrix system = new Array2DRowRealMatrix(size, size);
    RealVector right = new ArrayRealVector(size);
    for (int i = 0; i < NODES; i++) {
      for (int r = 0; r < DIMENSION; r++) {
        int row = i * DIMENSION + r;
        for (int j = 0; j < NODES; j++) {
          system.addToEntry(row, j * DIMENSION + r, (i == j ? 1 : 0) - w.get(i, j));
        }
        for (int c = 0; c < DIMENSION; c++) {
          double curvature = eta * h[i][r * DIMENSION + c];
          system.addToEntry(row, i * DIMENSION + c, curvature);
          right.addToEntry(row, curvature * b[i][c]);
        }
      }
    }
    return new LUDecomposition(system).getSolver().solve(right).toArray();
  }

  private static double largestDifference(double[] a, double[] b) {
    double worst = 0;
    for (int k = 0; k < a.length; k++) {
      worst = Math.max(worst, Math.abs(a[k] - b[k % b.length]));
    }
    return worst;
  }

  /** The sabotage: node 0 takes its gradient at a point 0.01 beside its own in every coordinate. */
  private static final class DisplacedGradient implements Problem {
    private final Problem honest;

    DisplacedGradient(Problem honest) {
      this.honest = honest;
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
      try (DeviceMatrix displaced = x.like()) {
        double[] values = x.toDoubles();
        for (int c = 0; c < DIMENSION; c++) {
          values[c] += 0.01;
        }
        displaced.upload(values);
        honest.gradient(displaced, g, round);
      }
    }

    @Override
    public void close() {
      honest.close();
    }
  }
}
