package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.graph.Laplacian;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.network.Network;
import dev.kith.optimizer.ConsensusGainSgd;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.Problem;
import dev.kith.problem.SaddleFunction;

/** Experiments on escaping a saddle with diminishing gains. */
final class SaddleClaims {
  private static final int NODES = 10;
  private static final double NOISE = 0.1;

  private SaddleClaims() {}

  /** How many runs from the saddle end at a minimum, and where the noiseless control ends. */
  static Measurement dsgdSaddle(Setting setting) {
    int runs = setting.pick(50, 200);
    int steps = setting.pick(10_000, 200_000);
    double[] tilts = new double[NODES];
    for (int i = 0; i < NODES; i++) {
      // Sum zero: the average keeps its saddle at 0 while no node has a critical point there.
      tilts[i] = 0.2 * (2.0 * i / (NODES - 1) - 1);
    }
    double[] level = new double[NODES];
    double[] ends = finalMeans(setting, tilts, NOISE, runs, steps);
    double arrived = 0;
    for (double end : ends) {
      arrived += Math.abs(Math.abs(end) - 1) < 0.05 ? 1 : 0;
    }
    double[] control = finalMeans(setting, level, 0, 1, steps);
    return Measurement.under(
            runs
                + " runs from the saddle, ring of 10, noise 0.1, "
                + steps
                + " steps, gains 0.5 t^-0.6 and 0.25")
        .with("shareAtMinimum", arrived / runs)
        .with("controlAtSaddle", Math.abs(control[0]));
  }

  private static double[] finalMeans(
      Setting setting, double[] tilts, double noise, int runs, int steps) {
    Laplacian laplacian = Laplacian.of(Topologies.ring(NODES));
    try (Problem honest = new SaddleFunction(setting.queue(), DType.F64, tilts, runs, noise, 1);
        Network network = Network.builder(MixingSchedule.constant(laplacian.matrix())).build();
        DeviceMatrix start = DeviceMatrix.allocate(setting.queue(), 1, 2L * runs, DType.F64);
        DeviceMatrix mean = start.like();
        // 0.25 l_n = 1 on the even ring, the edge of the stable range.
        Optimizer optimizer =
            ConsensusGainSgd.builder(
                    setting.sabotaged() ? new Ascent(honest) : honest, network, start)
                .gradientGain(0.5, 0.6)
                .consensusGain(0.25, 0)
                .build()) {
      for (int step = 0; step < steps; step++) {
        optimizer.step();
      }
      network.average(optimizer.parameters(), mean);
      double[] pairs = mean.toDoubles();
      double[] ends = new double[runs];
      for (int run = 0; run < runs; run++) {
        ends[run] = pairs[2 * run];
      }
      return ends;
    }
  }

  /** The sabotage: the gradient enters with the wrong sign, so that the saddle attracts. */
  private record Ascent(Problem honest) implements Problem {
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
      honest.gradient(x, g, round);
      Mixing.combine(Expression.outer(-1, g), g);
    }

    @Override
    public void close() {
      honest.close();
    }
  }
}
