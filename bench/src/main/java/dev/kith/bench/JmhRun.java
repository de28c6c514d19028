package dev.kith.bench;

import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/** Runs the JMH benchmarks of families and gathers one line for each workload. */
final class JmhRun {
  private static final Map<String, Class<? extends FamilyBenchmark>> FAMILIES =
      Map.ofEntries(
          Map.entry("mixing", MixingBenchmark.class),
          Map.entry("reduction", ReductionBenchmark.class),
          Map.entry("sparsify", SparsifyBenchmark.class),
          Map.entry("quantize", QuantizeBenchmark.class),
          Map.entry("step", StepBenchmark.class),
          Map.entry("lowrank", LowRankBenchmark.class),
          Map.entry("noise", NoiseBenchmark.class),
          Map.entry("curvature", CurvatureBenchmark.class),
          Map.entry("factorization", FactorizationBenchmark.class),
          Map.entry("product", ProductBenchmark.class),
          Map.entry("memory", MemoryBenchmark.class));

  /** Elements of a smoke run on emulated kernels, which are a thousand times slower. */
  private static final long EMULATED_ELEMENTS = 16_384;

  private final boolean smoke;
  private final Consumer<String> progress;

  /**
   * A run.
   *
   * @param smoke one short iteration, in this JVM, of the smallest workload of each operation; on
   *     the emulated device of one smaller still
   * @param progress told the workload that is next
   */
  JmhRun(boolean smoke, Consumer<String> progress) {
    this.smoke = smoke;
    this.progress = progress;
  }

  List<Measured> run(List<String> families) throws RunnerException, ReflectiveOperationException {
    List<Measured> results = new ArrayList<>();
    for (String family : families) {
      Class<? extends FamilyBenchmark> benchmark = FAMILIES.get(family);
      List<Workload> workloads = workloads(benchmark);
      for (Workload workload : workloads) {
        progress.accept(
            "%s, %d of %d, %s"
                .formatted(
                    family, workloads.indexOf(workload) + 1, workloads.size(), workload.name()));
        results.add(run(benchmark, workload));
      }
    }
    return results;
  }

  private List<Workload> workloads(Class<? extends FamilyBenchmark> benchmark)
      throws ReflectiveOperationException {
    Field parameter = benchmark.getField("workload");
    Map<Operation, Workload> smallest = new LinkedHashMap<>();
    List<Workload> all = new ArrayList<>();
    for (String name : parameter.getAnnotation(Param.class).value()) {
      Workload workload = Workload.parse(name);
      all.add(workload);
      smallest.merge(
          workload.operation(), workload, (a, b) -> a.elements() <= b.elements() ? a : b);
    }
    if (!smoke) {
      return all;
    }
    boolean emulated = KithKernels.device().backend().equals("emulated");
    return smallest.values().stream()
        .map(workload -> emulated ? workload.within(EMULATED_ELEMENTS) : workload)
        .toList();
  }

  private Measured run(Class<? extends FamilyBenchmark> benchmark, Workload workload)
      throws RunnerException {
    List<String> able = new ArrayList<>();
    for (String name : Implementations.names(KithKernels.device())) {
      if (Implementations.named(name).supports(workload)) {
        able.add(name);
      }
    }
    ChainedOptionsBuilder options =
        new OptionsBuilder()
            .include("^" + benchmark.getName().replace(".", "\\.") + "\\.run$")
            .param("workload", workload.name())
            .param("implementation", able.toArray(String[]::new))
            .jvmArgsPrepend("-D%s=%s".formatted(KithKernels.DEVICE_PROPERTY, device()))
            .shouldFailOnError(true)
            .verbosity(VerboseMode.SILENT);
    if (smoke) {
      options
          .forks(0)
          .warmupIterations(1)
          .warmupTime(TimeValue.milliseconds(50))
          .measurementIterations(1)
          .measurementTime(TimeValue.milliseconds(100));
    }
    Map<String, Double> nanos = new LinkedHashMap<>();
    Collection<RunResult> results = new Runner(options.build()).run();
    for (RunResult result : results) {
      nanos.put(
          result.getParams().getParam("implementation"), result.getPrimaryResult().getScore());
    }
    return measured(workload, nanos);
  }

  private static String device() {
    return KithKernels.device().name();
  }

  private static Measured measured(Workload workload, Map<String, Double> nanos) {
    double kith = nanos.remove("kith");
    Double twin = nanos.remove("twin");
    Double memcpy = nanos.remove("memcpy");
    double copied = (double) workload.elements() * Memcpy.BYTES_PER_ELEMENT;
    Map<String, Double> peers = new LinkedHashMap<>();
    nanos.forEach((peer, time) -> peers.put(peer, time / kith));
    return new Measured(
        device(),
        workload.operation().family(),
        workload.name() + "-f32",
        workload.size(),
        kith,
        workload.bytes() / kith,
        twin == null ? null : twin / kith,
        memcpy == null ? null : memcpy / kith * workload.bytes() / copied,
        peers,
        null,
        null,
        null,
        List.of(),
        List.of());
  }
}
