package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.Batch;
import dev.kith.kernel.Factorization;
import dev.kith.network.Network;
import dev.kith.optimizer.DecentralizedRiemannianConjugateGradient;
import dev.kith.optimizer.DecentralizedRiemannianConjugateGradient.Rule;
import dev.kith.optimizer.DecentralizedRiemannianGradient;
import dev.kith.optimizer.Optimizer;
import dev.kith.problem.PrincipalComponents;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import java.util.Optional;

/** Experiments on Stiefel manifolds. */
final class ManifoldClaims {
  private static final int NODES = 16;
  private static final int DIMENSION = 10;
  private static final int COMPONENTS = 5;
  private static final int ROUNDS = 50;
  private static final double STEP = 0.1;
  private static final double[] GRID = {0.1, 0.2, 0.4, 0.8};
  private static final double TARGET = 0.01;
  private static final int MOST_ROUNDS = 600;
  private static final long SEED = 1;

  private ManifoldClaims() {}

  private interface Factory {
    Optimizer create(PrincipalComponents problem, Network network, DeviceMatrix start, double step);
  }

  private static Factory conjugate(Rule rule) {
    return (p, w, x, step) ->
        DecentralizedRiemannianConjugateGradient.builder(p, w, x).rule(rule).stepSize(step).build();
  }

  private static Factory gradient(DecentralizedRiemannianGradient.Form form) {
    return (p, w, x, step) ->
        DecentralizedRiemannianGradient.builder(p, w, x).form(form).stepSize(step).build();
  }

  /** Conjugate gradient with both rules of beta beside both forms of the gradient method. */
  static Measurement conjugateGradient(Setting setting) {
    int starts = setting.pick(10, 40);
    // Sabotaged, nothing caps beta: directions grow with the gradient that they make grow.
    Factory capped = conjugate(setting.sabotaged() ? Rule.FLETCHER_REEVES : Rule.CAPPED);
    Factory projected = gradient(DecentralizedRiemannianGradient.Form.PROJECTED);
    Factory retracted = gradient(DecentralizedRiemannianGradient.Form.RETRACTED);
    PrincipalComponents.Builder data =
        PrincipalComponents.random(NODES, DIMENSION, COMPONENTS, 1000, 0.8, SEED);
    double[] mean = new double[DIMENSION * DIMENSION];
    for (double[] c : data.covariances()) {
      Arrays.setAll(mean, k -> mean[k] + c[k] / NODES);
    }
    double[][] everywhere = new double[NODES][];
    Arrays.fill(everywhere, mean);
    try (PrincipalComponents problem = data.build(setting.queue(), DType.F64);
        PrincipalComponents whole =
            PrincipalComponents.of(everywhere, COMPONENTS).build(setting.queue(), DType.F64)) {
      Runs runs = new Runs(setting, problem, whole, starts);
      double[] dprgd = runs.gap(projected);
      double[] drdgd = runs.gap(retracted);
      double[] drcgd = runs.gap(capped);
      double[] plain = runs.gap(conjugate(Rule.FLETCHER_REEVES));
      Cost[] costs = {
        runs.cost(projected),
        runs.cost(retracted),
        setting.sabotaged() ? Cost.NONE : runs.cost(capped)
      };
      Measurement measurement =
          Measurement.under(
                  ("principal components, ring of 16, d = 10, r = 5, 1000 samples a node of covariance"
                          + " 0.8^(j/2), step 0.1, t = 1, mean over %d random starts and all nodes, f64;"
                          + " cost is that of a mean gap of %s, over three starts, with the best step of"
                          + " 0.1, 0.2, 0.4, 0.8")
                      .formatted(starts, TARGET))
              .with("cappedOverGradient", drcgd[0] / Math.min(dprgd[0], drdgd[0]))
              .with("plainOverGradient", plain[0] / Math.min(dprgd[0], drdgd[0]))
              .with(
                  "departure",
                  Arrays.stream(new double[][] {dprgd, drdgd, drcgd, plain})
                      .mapToDouble(run -> run[1])
                      .max()
                      .orElseThrow())
              .with("dprgdGap", dprgd[0])
              .with("drdgdGap", drdgd[0])
              .with("cappedGap", drcgd[0])
              .with("plainGap", plain[0]);
      measurement = costs[0].addTo(measurement, "dprgd");
      measurement = costs[1].addTo(measurement, "drdgd");
      return costs[2].addTo(measurement, "capped");
    }
  }

  /** Runs of a method from the same random starts. */
  private record Runs(
      Setting setting, PrincipalComponents problem, PrincipalComponents whole, int starts) {

    /** The mean gap after {@link #ROUNDS}, and the largest |X^T X - 1| of all rounds. */
    double[] gap(Factory factory) {
      double gap = 0;
      double departure = 0;
      for (int start = 0; start < starts; start++) {
        try (Network network = network();
            DeviceMatrix x = start(start);
            Optimizer optimizer = factory.create(problem, network, x, STEP)) {
          for (int k = 0; k < ROUNDS; k++) {
            optimizer.step();
            departure = Math.max(departure, departure(optimizer.parameters().toDoubles()));
          }
          gap += gap(optimizer.parameters()) / starts;
        }
      }
      return new double[] {gap, departure};
    }

    /** The mean over some starts, with the best step size. */
    Cost cost(Factory factory) {
      Cost best = Cost.NONE;
      for (double step : GRID) {
        int few = Math.min(starts, 3);
        Cost mean = new Cost(0, 0, 0);
        for (int start = 0; start < few; start++) {
          Cost one = cost(factory, step, start);
          mean =
              new Cost(
                  mean.rounds() + one.rounds() / few,
                  mean.bytes() + one.bytes() / few,
                  mean.seconds() + one.seconds() / few);
        }
        best = best.orBetter(mean);
      }
      return best;
    }

    private Cost cost(Factory factory, double step, int start) {
      try (Network network = network();
          DeviceMatrix x = start(start);
          Optimizer optimizer = factory.create(problem, network, x, step)) {
        return Cost.until(optimizer, this::gap, TARGET, MOST_ROUNDS, 1);
      }
    }

    private static Network network() {
      return Network.builder(
              MixingSchedule.constant(new WeightRule.Metropolis().weights(Topologies.ring(NODES))))
          .build();
    }

    /** A uniformly random point of the manifold. */
    private DeviceMatrix start(int number) {
      SharedRandom random = new SharedRandom(SEED, Stream.INITIALIZATION, number, 0);
      double[] normals = new double[DIMENSION * COMPONENTS];
      Arrays.setAll(normals, random::normal);
      DeviceMatrix x = DeviceMatrix.allocate(setting.queue(), 1, problem.layout(), DType.F64);
      x.upload(normals);
      Batch point = Batch.of(x, 0, DIMENSION, COMPONENTS, COMPONENTS, x.stride());
      Factorization.qr(1, point, point, Optional.empty());
      return x;
    }

    /** The mean over the nodes of the whole objective at their points, over its optimum. */
    private double gap(DeviceMatrix x) {
      try (DeviceMatrix values = x.like(1, NODES, DType.F64)) {
        whole.values(x, values);
        return Arrays.stream(values.toDoubles()).sum() / NODES - whole.optimalValue();
      }
    }

    private static double departure(double[] x) {
      double most = 0;
      for (int node = 0; node < NODES; node++) {
        double square = 0;
        for (int a = 0; a < COMPONENTS; a++) {
          for (int b = 0; b < COMPONENTS; b++) {
            double dot = a == b ? -1 : 0;
            for (int i = 0; i < DIMENSION; i++) {
              int row = (node * DIMENSION + i) * COMPONENTS;
              dot += x[row + a] * x[row + b];
            }
            square += dot * dot;
          }
        }
        most = Math.max(most, Math.sqrt(square));
      }
      return most;
    }
  }
}
