package dev.kith.optimizer;

import dev.kith.compress.Compressor;
import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.FailingSchedule;
import dev.kith.graph.Failures;
import dev.kith.graph.Laplacian;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import dev.kith.kernel.CurvatureRule;
import dev.kith.kernel.StepOptions;
import dev.kith.kernel.StepRule;
import dev.kith.network.Network;
import dev.kith.network.Transport;
import dev.kith.privacy.MixingObjective;
import dev.kith.privacy.NodeNoise;
import dev.kith.privacy.NoiseCovariance;
import dev.kith.privacy.Participation;
import dev.kith.privacy.ToeplitzFactor;
import dev.kith.problem.Problem;
import dev.kith.problem.Quadratic;
import dev.kith.problem.Regularizer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.BiFunction;
import java.util.function.IntFunction;

/**
 * Every optimizer of this package with the settings under which the tests run it.
 *
 * @param draws gradients that a node takes in a round
 */
record Algorithm(String label, int draws, IntFunction<MixingSchedule> schedule, Factory factory) {
  /** Makes an optimizer. */
  interface Factory {
    Optimizer create(Problem problem, Network network, DeviceMatrix initial);
  }

  static List<Algorithm> all() {
    IntFunction<MixingSchedule> ring = n -> MixingSchedule.constant(ring(n));
    IntFunction<MixingSchedule> lazyRing = n -> MixingSchedule.constant(ring(n).lazy());
    IntFunction<MixingSchedule> peers = MixingSchedule::onePeerExponential;
    IntFunction<MixingSchedule> directed = n -> MixingSchedule.constant(pushWeights(n));
    IntFunction<MixingSchedule> gossip = n -> MixingSchedule.sparseGossip(n, 0.2, 5);
    List<Algorithm> all = new ArrayList<>();
    all.add(new Algorithm("dsgd", 1, ring, (p, w, x) -> DecentralizedSgd.builder(p, w, x).build()));
    all.add(
        new Algorithm(
            "dsgd, one peer, 3 local steps of Adam",
            3,
            peers,
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .rule(StepRule.Adam.withDefaults())
                    .localSteps(3)
                    .build()));
    all.add(
        new Algorithm(
            "dsgd, weight decay and clipping",
            1,
            ring,
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .stepSize(0.05)
                    .options(StepOptions.builder().weightDecay(0.01).clipNorm(1).build())
                    .build()));
    all.add(
        new Algorithm(
            "fedavg",
            4,
            n -> MixingSchedule.constant(MixingMatrix.uniform(n)),
            (p, w, x) -> DecentralizedSgd.builder(p, w, x).localSteps(4).build()));
    all.add(
        new Algorithm(
            "dsgd-cta",
            1,
            ring,
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x).form(DecentralizedSgd.Form.CTA).build()));
    all.add(
        new Algorithm(
            "dsgd-cta, 2 local steps of heavy ball",
            2,
            ring,
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .form(DecentralizedSgd.Form.CTA)
                    .rule(new StepRule.HeavyBall(0.05, 0.9))
                    .localSteps(2)
                    .build()));
    all.add(
        new Algorithm(
            "d2", 1, lazyRing, (p, w, x) -> DSquared.builder(p, w, x).stepSize(0.05).build()));
    all.add(
        new Algorithm(
            "extra", 1, ring, (p, w, x) -> Extra.builder(p, w, x).stepSize(0.05).build()));
    all.add(
        new Algorithm(
            "dsgt",
            1,
            ring,
            (p, w, x) -> GradientTracking.builder(p, w, x).stepSize(0.05).build()));
    all.add(
        new Algorithm(
            "dsgt-cta, one peer",
            1,
            peers,
            (p, w, x) ->
                GradientTracking.builder(p, w, x)
                    .form(DecentralizedSgd.Form.CTA)
                    .stepSize(0.02)
                    .build()));
    all.add(
        new Algorithm(
            "complex-momentum",
            1,
            ring,
            (p, w, x) ->
                ComplexMomentum.builder(p, w, x).stepSize(0.02).momentum(0.8, 0.5).build()));
    all.add(
        new Algorithm(
            "chebyshev",
            1,
            ring,
            (p, w, x) -> ChebyshevSgd.builder(p, w, x).gossipRounds(4).stepSize(0.05).build()));
    all.add(
        new Algorithm(
            "push-sum", 1, directed, (p, w, x) -> PushSum.builder(p, w, x).stepSize(0.05).build()));
    all.add(
        new Algorithm(
            "push-sum, 2 local steps of Nesterov",
            2,
            directed,
            (p, w, x) ->
                PushSum.builder(p, w, x)
                    .rule(new StepRule.Nesterov(0.02, 0.9))
                    .localSteps(2)
                    .build()));
    all.add(
        new Algorithm(
            "single-merge",
            2,
            gossip,
            (p, w, x) ->
                SingleMerge.builder(p, w, x)
                    .localSteps(2)
                    .denseWindow(5, 7)
                    .mergeAfter(18)
                    .build()));
    all.add(new Algorithm("central", 1, ring, (p, w, x) -> CentralSgd.builder(p, w, x).build()));
    all.add(
        new Algorithm(
            "central, 2 local steps of RMSProp",
            2,
            ring,
            (p, w, x) ->
                CentralSgd.builder(p, w, x)
                    .rule(StepRule.RmsProp.withDefaults())
                    .localSteps(2)
                    .build()));
    all.add(
        new Algorithm(
            "gains",
            1,
            n -> MixingSchedule.constant(Laplacian.of(Topologies.ring(n)).matrix()),
            (p, w, x) ->
                ConsensusGainSgd.builder(p, w, x)
                    .gradientGain(0.2, 0.8)
                    .consensusGain(0.2, 0.1)
                    .build()));
    all.add(
        new Algorithm(
            "central extragradient",
            2,
            ring,
            (p, w, x) -> Extragradient.builder(p, w, x).stepSize(0.05).build()));
    all.add(
        new Algorithm(
            "vra-dgt",
            1,
            ring,
            (p, w, x) -> VraGradientTracking.builder(p, w, x).stepSize(0.05).build()));
    all.add(
        new Algorithm(
            "vra-dsgt",
            1,
            ring,
            (p, w, x) ->
                VraGradientTracking.builder(p, w, x)
                    .hybrid(true)
                    .dampingRounds(5)
                    .stepSize(0.05)
                    .build()));
    all.add(
        new Algorithm(
            "central dp-ftrl, 3 bands",
            1,
            ring,
            (p, w, x) ->
                DpFtrl.builder(p, w, x, new Participation(100, 100, 1))
                    .factor(ToeplitzFactor.squareRoot(3))
                    .noiseMultiplier(0.5)
                    .simulated(3)
                    .build()));
    all.add(new Algorithm("central lbfgs", 1, ring, (p, w, x) -> Lbfgs.builder(p, w, x).build()));
    all.add(new Algorithm("central giant", 1, ring, (p, w, x) -> Giant.builder(p, w, x).build()));
    all.add(
        new Algorithm(
            "central giant, one candidate after the other",
            1,
            ring,
            (p, w, x) -> Giant.builder(p, w, x).sequential(true).build()));
    all.add(new Algorithm("central dingo", 1, ring, (p, w, x) -> Dingo.builder(p, w, x).build()));
    all.add(
        new Algorithm(
            "central dingo, case 3",
            1,
            ring,
            (p, w, x) -> Dingo.builder(p, w, x).descent(100).candidates(6).batched(true).build()));
    all.add(
        new Algorithm(
            "nn",
            1,
            lazyRing,
            (p, w, x) ->
                NetworkNewton.builder(p, w, x).terms(2).penalty(0.1).shrink(0.5, 0.05).build()));
    all.add(
        new Algorithm("esom", 1, lazyRing, (p, w, x) -> Esom.builder(p, w, x).terms(1).build()));
    all.add(
        new Algorithm(
            "blocks of dbfgs",
            1,
            lazyRing,
            (p, w, x) -> DecentralizedBfgs.builder(p, w, x).decay(50).build()));
    all.add(
        new Algorithm(
            "dsgd, 2 local steps of AdaHessian",
            2,
            ring,
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .rule(LocalCurvature.of(CurvatureRule.AdaHessian.withDefaults()))
                    .localSteps(2)
                    .build()));
    all.add(
        new Algorithm(
            "dsgd-cta, Sophia-H",
            1,
            ring,
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .form(DecentralizedSgd.Form.CTA)
                    .rule(
                        new LocalCurvature(
                            new CurvatureRule.SophiaH(0.05, 0.9, 1, 1e-12), 3, 2, 0.5))
                    .build()));
    all.add(
        new Algorithm(
            "dsgt, AdaHessian",
            1,
            ring,
            (p, w, x) ->
                GradientTracking.builder(p, w, x)
                    .rule(LocalCurvature.of(new CurvatureRule.AdaHessian(0.05, 0.9, 0.999, 1e-4)))
                    .build()));
    all.add(new Algorithm("central oasis", 1, ring, (p, w, x) -> Oasis.builder(p, w, x).build()));
    all.add(
        new Algorithm(
            "central savic, 2 local steps of Adam's scaling",
            2,
            ring,
            (p, w, x) -> ScaledLocalSgd.builder(p, w, x).stepSize(0.05).localSteps(2).build()));
    all.add(
        new Algorithm(
            "central savic, scaling of OASIS",
            1,
            ring,
            (p, w, x) ->
                ScaledLocalSgd.builder(p, w, x)
                    .scaling(ScaledLocalSgd.Scaling.OASIS)
                    .stepSize(0.3)
                    .build()));
    IntFunction<MixingSchedule> failing =
        n ->
            FailingSchedule.of(
                Topologies.ring(n),
                new WeightRule.Metropolis(),
                Failures.builder().removeNodes(4, 2, n - 1).linkFailure(0.2, 9).build());
    all.add(
        new Algorithm(
            "dsgd, failures, Adam",
            1,
            failing,
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x).rule(StepRule.Adam.withDefaults()).build()));
    all.add(
        new Algorithm(
            "dsgd, failures, AdaHessian",
            1,
            failing,
            (p, w, x) ->
                DecentralizedSgd.builder(p, w, x)
                    .rule(LocalCurvature.of(CurvatureRule.AdaHessian.withDefaults()))
                    .build()));
    all.add(
        new Algorithm(
            "central, failures",
            2,
            failing,
            (p, w, x) -> CentralSgd.builder(p, w, x).localSteps(2).build()));
    all.add(
        new Algorithm(
            "dsgd, failures, 2 local steps of Muon",
            2,
            failing,
            (p, w, x) ->
                DecentralizedSgd.builder(Shaped.of(p, 2, 2), w, x)
                    .rule(Muon.withDefaults())
                    .localSteps(2)
                    .build()));
    all.add(
        new Algorithm(
            "dsgd, failures, Shampoo",
            1,
            failing,
            (p, w, x) ->
                DecentralizedSgd.builder(Shaped.of(p, 2, 2), w, x)
                    .rule(Shampoo.builder().rootPeriod(3).longestSide(2).build())
                    .build()));
    all.add(
        new Algorithm(
            "dsgd, failures, SOAP",
            1,
            failing,
            (p, w, x) ->
                DecentralizedSgd.builder(Shaped.of(p, 2, 2), w, x)
                    .rule(Soap.builder().refreshPeriod(3).build())
                    .build()));
    all.add(
        new Algorithm(
            "dmuon",
            1,
            ring,
            (p, w, x) -> DecentralizedMuon.builder(Shaped.of(p, 2, 2), w, x).build()));
    all.add(
        new Algorithm(
            "dmuon, failures, 3 x 1",
            1,
            failing,
            (p, w, x) ->
                DecentralizedMuon.builder(Shaped.of(p, 3, 1), w, x)
                    .rule(Muon.builder().nesterov(false).weightDecay(0.1).build())
                    .build()));
    all.add(
        new Algorithm(
            "private-dsgd, joint noise and momentum",
            1,
            ring,
            (p, w, x) ->
                PrivateDecentralizedSgd.builder(p, w, x)
                    .clipNorm(2)
                    .momentum(0.5)
                    .weightDecay(0.1)
                    .noise(
                        NodeNoise.simulated(
                            w,
                            NoiseCovariance.optimal(
                                MixingObjective.horizonAware(ring(w.nodes()), 0.9), 4),
                            5))
                    .build()));
    all.add(
        new Algorithm(
            "private-dsgd, pairwise noise and failures",
            1,
            failing,
            (p, w, x) ->
                PrivateDecentralizedSgd.builder(p, w, x)
                    .clipNorm(2)
                    .stepSize(0.05)
                    .noise(
                        NodeNoise.simulated(
                            w, NoiseCovariance.pairwise(Topologies.ring(w.nodes()), 0.1, 1), 5))
                    .build()));
    all.add(
        new Algorithm(
            "central, private",
            1,
            ring,
            (p, w, x) ->
                PrivateCentralSgd.builder(p, w, x)
                    .clipNorm(2)
                    .momentum(0.5)
                    .noise(NodeNoise.simulated(w, NoiseCovariance.central(w.nodes(), 4), 5))
                    .build()));
    return all;
  }

  /** Those that send encoded rows, of F32 alone and whatever the message type is. */
  static List<Algorithm> compressed() {
    IntFunction<MixingSchedule> ring = n -> MixingSchedule.constant(ring(n));
    List<Algorithm> all = new ArrayList<>();
    all.add(
        new Algorithm(
            "choco, 2 local steps of heavy ball",
            2,
            ring,
            (p, w, x) ->
                ChocoSgd.builder(p, w, x)
                    .compressor(Compressor.parse("top-k:2"))
                    .rule(new StepRule.HeavyBall(0.05, 0.9))
                    .localSteps(2)
                    .consensusStepSize(0.5)
                    .build()));
    all.add(
        new Algorithm(
            "masha1",
            1,
            ring,
            (p, w, x) ->
                Masha1.builder(p, w, x)
                    .compressor(Compressor.parse("random-k:2"))
                    .stepSize(0.05)
                    .referenceProbability(0.5)
                    .build()));
    all.add(
        new Algorithm(
            "deepsqueeze, one peer",
            1,
            MixingSchedule::onePeerExponential,
            (p, w, x) ->
                DeepSqueeze.builder(p, w, x)
                    .compressor(Compressor.parse("top-k:3"))
                    .stepSize(0.05)
                    .consensusStepSize(0.5)
                    .build()));
    all.add(
        new Algorithm(
            "dsgt, compressed",
            1,
            ring,
            (p, w, x) ->
                CompressedGradientTracking.builder(p, w, x)
                    .compressor(Compressor.parse("random-k:2"))
                    .stepSize(0.02)
                    .consensusStepSize(0.5)
                    .alpha(0.4)
                    .build()));
    all.add(
        new Algorithm(
            "vra-dsgt, quantised",
            1,
            ring,
            (p, w, x) ->
                VraGradientTracking.builder(p, w, x)
                    .hybrid(true)
                    .compressor(Compressor.parse("qsgd:8"))
                    .stepSize(0.05)
                    .build()));
    all.add(
        new Algorithm(
            "ef-sgd",
            1,
            ring,
            (p, w, x) ->
                EfSgd.builder(p, w, x)
                    .compressor(Compressor.parse("top-k:2"))
                    .stepSize(0.05)
                    .momentum(0.5)
                    .build()));
    all.add(
        new Algorithm(
            "ef21",
            1,
            ring,
            (p, w, x) ->
                Ef21Sgd.builder(p, w, x)
                    .compressor(Compressor.parse("random-k:2:unscaled"))
                    .stepSize(0.05)
                    .build()));
    all.add(
        new Algorithm(
            "diana",
            1,
            ring,
            (p, w, x) ->
                DianaSgd.builder(p, w, x)
                    .compressor(Compressor.parse("random-k:2:common"))
                    .stepSize(0.05)
                    .build()));
    all.add(
        new Algorithm(
            "masha2",
            1,
            ring,
            (p, w, x) ->
                Masha2.builder(p, w, x)
                    .compressor(Compressor.parse("top-k:2"))
                    .stepSize(0.05)
                    .referenceProbability(0.5)
                    .build()));
    all.add(
        new Algorithm(
            "dgc",
            1,
            ring,
            (p, w, x) ->
                DeepGradientCompression.builder(p, w, x)
                    .stepSize(0.02)
                    .momentum(0.5)
                    .compressor(Compressor.parse("top-k:2"))
                    .build()));
    all.add(
        new Algorithm(
            "dgc, sampled, clipping and warm-up",
            1,
            ring,
            (p, w, x) ->
                DeepGradientCompression.builder(p, w, x)
                    .stepSize(0.02)
                    .compressor(Compressor.parse("sampled-top-k:1:sample=3"))
                    .clipNorm(4)
                    .warmUpRounds(3)
                    .build()));
    all.add(
        new Algorithm(
            "masha1 with a server and l1, one peer",
            1,
            MixingSchedule::onePeerExponential,
            (p, w, x) ->
                Masha1.builder(p, w, x)
                    .compressor(Compressor.parse("random-k:2"))
                    .serverCompressor(Compressor.parse("qsgd:4"))
                    .regularizer(Regularizer.l1(0.1))
                    .stepSize(0.05)
                    .build()));
    all.add(
        new Algorithm(
            "masha2 with a server",
            1,
            ring,
            (p, w, x) ->
                Masha2.builder(p, w, x)
                    .compressor(Compressor.parse("top-k:2"))
                    .serverCompressor(Compressor.parse("int8:block=row"))
                    .stepSize(0.05)
                    .build()));
    all.add(
        new Algorithm(
            "power-sgd",
            1,
            ring,
            (p, w, x) ->
                DataParallelPowerSgd.builder(Shaped.of(p, 2, 2), w, x)
                    .rank(1)
                    .momentum(0.5)
                    .stepSize(0.02)
                    .build()));
    all.add(
        new Algorithm(
            "power-sgd, alternating",
            1,
            ring,
            (p, w, x) ->
                shaped(
                    p,
                    x,
                    (q, zero) ->
                        DataParallelPowerSgd.builder(q, w, zero)
                            .form(DataParallelPowerSgd.Form.ALTERNATING)
                            .uncompressedRounds(1)
                            .rank(1)
                            .momentum(0.5)
                            .stepSize(0.02)
                            .build())));
    all.add(
        new Algorithm(
            "sign-sgd",
            1,
            ring,
            (p, w, x) -> SignSgd.builder(p, w, x).momentum(0.5).stepSize(0.02).build()));
    all.add(
        new Algorithm(
            "choco, low rank",
            1,
            ring,
            (p, w, x) ->
                shaped(
                    p,
                    x,
                    (q, zero) ->
                        ChocoSgd.builder(q, w, zero)
                            .compressor(Compressor.parse("power-sgd:1"))
                            .consensusStepSize(0.3)
                            .stepSize(0.05)
                            .build())));
    all.add(
        new Algorithm(
            "ef-sgd, low rank and int4",
            1,
            ring,
            (p, w, x) ->
                shaped(
                    p,
                    x,
                    (q, zero) ->
                        EfSgd.builder(q, w, zero)
                            .compressor(Compressor.parse("power-sgd:1+int4"))
                            .stepSize(0.02)
                            .build())));
    all.add(
        new Algorithm(
            "ef-sgd, adaptive rank and int4",
            1,
            ring,
            (p, w, x) ->
                shaped(
                    p,
                    x,
                    (q, zero) ->
                        EfSgd.builder(q, w, zero)
                            .compressor(Compressor.parse("power-sgd:2+int4"))
                            .adaptiveRank(0.8, 2)
                            .momentum(0.5)
                            .stepSize(0.02)
                            .build())));
    all.add(
        new Algorithm(
            "powergossip, 2 local steps of heavy ball",
            2,
            ring,
            (p, w, x) ->
                shaped(
                    p,
                    x,
                    (q, zero) ->
                        PowerGossipSgd.builder(q, w, zero)
                            .rule(new StepRule.HeavyBall(0.05, 0.9))
                            .localSteps(2)
                            .build())));
    return all;
  }

  /** Starts from zeros of a matrix of 3 x 3, which gets shorter with rank 1, and one number. */
  private static Optimizer shaped(
      Problem problem, DeviceMatrix x, BiFunction<Problem, DeviceMatrix, Optimizer> factory) {
    Problem shaped = Shaped.of(new Repeated(problem, 2), 3, 3);
    try (DeviceMatrix zero = DeviceMatrix.allocate(x.queue(), 1, shaped.layout(), x.dtype())) {
      return factory.apply(shaped, zero);
    }
  }

  static MixingMatrix ring(int n) {
    return new WeightRule.Metropolis().weights(Topologies.ring(n));
  }

  /** Column-stochastic: node j keeps a half, sends a quarter to j + 1, and a quarter to j + 3. */
  static MixingMatrix pushWeights(int n) {
    double[][] p = new double[n][n];
    for (int j = 0; j < n; j++) {
      p[j][j] += 0.5;
      p[(j + 1) % n][j] += j % 2 == 0 ? 0.25 : 0.5;
      p[(j + 3) % n][j] += j % 2 == 0 ? 0.25 : 0;
    }
    return MixingMatrix.ofDense(MixingMatrix.Kind.COLUMN_STOCHASTIC, p);
  }

  /** The local part of a noisy problem on which all nodes differ. */
  static Quadratic problem(int nodes, Transport transport, Queue queue, DType dtype) {
    return Quadratic.random(nodes, 5, 4, 1, 3)
        .noise(0.1, 11)
        .nodes(transport.range().begin(), transport.range().end())
        .build(queue, dtype);
  }

  /** What a test does with an optimizer. */
  interface Body<T> {
    T run(Optimizer optimizer);
  }

  /** Runs on the local part of {@link #problem}, from zero. */
  <T> T run(
      int nodes,
      Transport transport,
      Queue queue,
      DType dtype,
      Optional<DType> message,
      Body<T> body) {
    Network.Builder builder = Network.builder(schedule.apply(nodes)).transport(transport);
    message.ifPresent(builder::messageType);
    try (Quadratic problem = problem(nodes, transport, queue, dtype);
        Network network = builder.build();
        DeviceMatrix zero = DeviceMatrix.allocate(queue, 1, problem.layout(), dtype);
        Optimizer optimizer = factory.create(problem, network, zero)) {
      return body.run(optimizer);
    }
  }

  @Override
  public String toString() {
    return label;
  }
}
