package dev.kith.bench;

import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What the benchmarks of all families share. The parameter {@code workload} is given by each
 * family; {@link Bench} leaves out what an implementation cannot compute. The result is compared
 * with {@link Reference} once a trial.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(
    value = 1,
    jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "--add-modules=jdk.incubator.vector"})
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public abstract class FamilyBenchmark {
  /** Name of the implementation. */
  @Param({"kith", "twin", "memcpy", "java", "vector", "nd4j", "libtorch", "openblas"})
  public String implementation;

  private Implementation.Task task;

  /** The workload's name, a parameter of the family. */
  abstract String workloadName();

  /** Lays out the data, runs once and compares the result. */
  @Setup(Level.Trial)
  public void prepare() {
    Workload workload = Workload.parse(workloadName());
    Implementation chosen = Implementations.named(implementation);
    task = chosen.prepare(workload);
    task.run();
    if (!TwinLoop.isRoof(chosen)) {
      new Reference(workload).check(implementation, task);
    }
  }

  /** One run of the workload, until its result is complete. */
  @Benchmark
  public void run() {
    task.run();
  }

  /** Gives the data back. */
  @TearDown(Level.Trial)
  public void close() {
    task.close();
  }
}
