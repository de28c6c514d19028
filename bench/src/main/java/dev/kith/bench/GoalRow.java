package dev.kith.bench;

import static dev.kith.bench.Goal.atLeast;
import static dev.kith.bench.Goal.below;
import static dev.kith.bench.Goal.faster;
import static dev.kith.bench.Goal.twin;

import java.util.List;
import java.util.Optional;

/**
 * The goal table as data. Names are operation-size-dtype with M = 10^6 and never change. Measures:
 * {@code twin} (share), the names of peers (their time over Kith's), {@code whole} (products whose
 * symmetry is not used, over those where it is), {@code apart} (mix and step called one after the
 * other, over the fused form; for correlated noise normals, product and sum), {@code cycles} (a
 * word of Philox on one core), {@code overPhilox} (ChaCha20 over Philox there), {@code overNormals}
 * (a perturbation over drawing its normals alone), {@code overParts} (a step with noise over the
 * step without it and then the normals), {@code loop} (a perturbation seed by seed over all at
 * once), {@code nsPerElement}, {@code overAlone} (top-k with error feedback over top-k alone),
 * {@code mix} (the mix of the uncompressed rows over the compressed round), {@code received} (that
 * mix over the half of the round that sums the messages), {@code ns}, {@code ms}, {@code
 * buildSeconds}, {@code memoryOverState}, {@code seconds}, {@code residual} (of the covariance that
 * was solved for), {@code testAccuracy}, {@code meanModelAccuracy}.
 *
 * @param name the row's name
 * @param family family of kernels; {@code privacy} for its solver, {@code train} for whole runs
 * @param workload what is run; empty for the solver and for whole runs of the command line
 * @param goals figures to reach on two cores, the first is the main one
 */
record GoalRow(String name, String family, Optional<Workload> workload, List<Goal> goals) {
  static final List<GoalRow> ALL =
      List.of(
          kernel("mix-ring-16x4000000-f32", "mix-ring-16x4000000", twin(0.95), mm(), nd4j()),
          kernel("mix-ring-16x4194304-f32", "mix-ring-16x4194304", twin(0.95), mm(), nd4j()),
          kernel(
              "atc-ring-16x4000000-f32",
              "atc-ring-16x4000000",
              twin(0.95),
              atLeast("apart", 1.4, "1.4x mix and step called apart")),
          kernel("mix-er8-64x1000000-f32", "mix-er8-64x1000000", twin(0.7)),
          kernel("mix-dense-16x4000000-f32", "mix-dense-16x4000000", twin(0.7)),
          kernel("adamw-64M-f32", "adamw-1x64000000", twin(0.95), inPlace(), adamUpdate()),
          kernel("adamw-64M-f32-bf16grad", "adamw-bf16grad-1x64000000", twin(0.95), inPlace()),
          kernel("dsgt-ring-16x4000000-f32", "dsgt-ring-16x4000000", twin(0.9)),
          kernel("rownorm-16x4000000-f32", "rownorm-16x4000000", twin(0.95)),
          kernel("consensus-16x4000000-f32", "consensus-16x4000000", twin(0.95)),
          kernel("call-64", "call-1x64", below("ns", 150, "under 150 ns")),
          kernel(
              "mix-regular4-100000x64-f32", "mix-regular4-100000x64", below("ms", 5, "under 5 ms")),
          kernel(
              "mix-regular4-1000000x64-f32",
              "mix-regular4-1000000x64",
              below("ms", 110, "under 110 ms"),
              below("buildSeconds", 2, "graph and weights under 2 s"),
              below("memoryOverState", 4, "memory under 4x the state")),
          kernel(
              "topk-25M-1pct-f32",
              "topk-1x25000000",
              twin(0.25),
              faster(30, Peers.TORCH, "libtorch topk(out=)")),
          kernel(
              "topk-ef-25M-1pct-f32",
              "topk-ef-1x25000000",
              below("overAlone", 1.4, "under 1.4x top-k alone")),
          kernel(
              "powersgd-4096-r4",
              "powersgd-r4-1x16777216",
              twin(0.7),
              faster(3, Peers.TORCH, "libtorch mm(out=) and qr(out=)"),
              faster(2, "openblas", "OpenBLAS and LAPACK")),
          kernel("int8-quantize-25M", "int8-quantize-1x25000000", twin(0.8), tenfold()),
          kernel("int8-accumulate-25M", "int8-accumulate-1x25000000", twin(0.95), tenfold()),
          kernel("qsgd4-25M", "qsgd4-1x25000000", tenfold()),
          kernel("sign-pack-64M", "sign-pack-1x64000000", twin(0.85)),
          kernel("sign-majority-16x4M", "sign-majority-16x4000000", twin(0.85)),
          kernel(
              "round-int8-ring-16x4M",
              "round-int8-ring-16x4000000",
              atLeast("mix", 1, "faster than the uncompressed round"),
              atLeast("received", 1, "its sum faster than the uncompressed mix")),
          kernel(
              "philox-64M",
              "philox-1x64000000",
              below("cycles", 1.35, "under 1.35 cycles a word on one core, 0.45 ns at 3 GHz")),
          kernel("chacha20-64M", "chacha20-1x64000000", below("overPhilox", 2, "under 2x Philox")),
          kernel(
              "normal-f32-64M",
              "normal-1x64000000",
              below("nsPerElement", 1.2, "under 1.2 ns an element"),
              faster(3, Peers.TORCH, "libtorch normal_ in place"),
              faster(10, "java", "java.util.random nextGaussian")),
          kernel(
              "corn-64x1M",
              "corn-64x1000000",
              atLeast("apart", 1.3, "1.3x normals, OpenBLAS product and sum called apart")),
          kernel(
              "pairwise-ring-16x4M",
              "pairwise-ring-16x4000000",
              below("overParts", 1.15, "under 1.15x the noiseless step and the normals alone")),
          kernel(
              "perturb16-64M-gaussian",
              "perturb16-gaussian-1x64000000",
              below("overNormals", 1.05, "under 1.05x the normals alone")),
          kernel(
              "perturb16-64M-rademacher",
              "perturb16-rademacher-1x64000000",
              atLeast("loop", 5, "5x the loop over seeds")),
          new GoalRow(
              "corn-solver-256",
              "privacy",
              Optional.empty(),
              List.of(
                  below("seconds", 10, "under 10 s"),
                  below("residual", 1e-9, "residual under 1e-9"))),
          kernel("adahessian-64M", "adahessian-1x64000000", twin(0.95), inPlace()),
          kernel("sophia-64M", "sophia-1x64000000", twin(0.95), inPlace()),
          kernel("oasis-64M", "oasis-1x64000000", twin(0.95), inPlace()),
          kernel("cg-25M", "cg-1x25000000", twin(0.9)),
          kernel(
              "lbfgs-25M-m10",
              "lbfgs-m10-1x25000000",
              twin(0.8),
              faster(2, Peers.TORCH, "libtorch's two loops in place")),
          kernel(
              "newton-schulz-1024x4096",
              "newton-schulz-1024x4096",
              faster(1, Peers.TORCH, "libtorch mm(out=) and addmm(out=)"),
              whole()),
          kernel(
              "newton-schulz-2048",
              "newton-schulz-2048x2048",
              faster(1, Peers.TORCH, "libtorch mm(out=) and addmm(out=)"),
              whole()),
          kernel("soap-64x256", "soap-64x65536", faster(2, Peers.TORCH, "the libtorch loop")),
          kernel(
              "polar-1024x64x8",
              "polar-1024x512",
              faster(10, "openblas", "a loop over LAPACK's gesdd")),
          train("train-softmax-200", 6, 0.87, 0.885),
          train("train-mlp-500", 60, 0.92, 0.93));

  private static GoalRow kernel(String name, String workload, Goal... goals) {
    Workload parsed = Workload.parse(workload);
    return new GoalRow(name, parsed.operation().family(), Optional.of(parsed), List.of(goals));
  }

  private static GoalRow train(String name, double seconds, double local, double mean) {
    return new GoalRow(
        name,
        "train",
        Optional.empty(),
        List.of(
            below("seconds", seconds, "under " + (int) seconds + " s"),
            atLeast("testAccuracy", local, "accuracy of local models at least " + local),
            atLeast("meanModelAccuracy", mean, "accuracy of the mean model at least " + mean)));
  }

  private static Goal mm() {
    return faster(2.5, Peers.TORCH, "libtorch mm(out=)");
  }

  private static Goal nd4j() {
    return faster(5, "nd4j", "ND4J");
  }

  private static Goal inPlace() {
    return faster(3, Peers.TORCH, "libtorch in place");
  }

  private static Goal tenfold() {
    return faster(10, Peers.TORCH, "libtorch in place");
  }

  private static Goal whole() {
    return atLeast("whole", 1.25, "1.25x with whole products: the symmetric one saves a fifth");
  }

  private static Goal adamUpdate() {
    return faster(1, "libtorch-djl", "DJL's adamUpdate");
  }
}
