package dev.kith.lab.claims;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.MixingSchedule;
import dev.kith.network.LocalTransport;
import dev.kith.network.Network;
import dev.kith.network.Transport;
import dev.kith.optimizer.ScalarCode;
import dev.kith.optimizer.SharedRandomnessSpsa;
import dev.kith.problem.ClassificationData;
import dev.kith.problem.Partition;
import dev.kith.problem.SoftmaxRegression;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.LongStream;

/** Experiments on training by scalars along shared random directions. */
final class OneByteClaims {
  private static final int MACHINES = 4;
  private static final int SAMPLES = 400;

  /** With a bias and two classes 64 parameters. */
  private static final int FEATURES = 31;

  private static final int ROUNDS = 2000;
  private static final int AWAY_FROM = 500;
  private static final int BACK_IN = 1000;
  private static final double STEP_SIZE = 0.02;
  private static final long SEED = 1;

  private OneByteClaims() {}

  /** Bytes, agreement of replicas and loss, of one-byte and of f32 scalars. */
  static Measurement oneByte(Setting setting) {
    ClassificationData data = data();
    Run bytes = run(setting, data, ScalarCode.ONE_BYTE, LocalTransport.group(MACHINES, MACHINES));
    Run together =
        run(setting, data, ScalarCode.ONE_BYTE, List.of(LocalTransport.single(MACHINES)));
    Run floats = run(setting, data, ScalarCode.FLOAT, List.of(LocalTransport.single(MACHINES)));
    List<double[]> replicas = new ArrayList<>(bytes.replicas);
    replicas.addAll(together.replicas);
    double distinct = (double) replicas.stream().map(OneByteClaims::bits).distinct().count();
    return Measurement.under(
            "logistic regression, d = 64, "
                + SAMPLES
                + " samples, 4 machines in processes of their own and in one, machine 3 away from"
                + " round "
                + AWAY_FROM
                + " to "
                + BACK_IN
                + ", "
                + ROUNDS
                + " rounds, eta = "
                + STEP_SIZE
                + ", epsilon = 1e-3, f32")
        .with("bytesPerScalar", bytes.bytesPerScalar)
        .with("gradientOverScalar", 4.0 * 2 * (FEATURES + 1) / bytes.bytesPerScalar)
        .with("fetches", bytes.fetches)
        .with("distinctReplicas", distinct)
        .with("lossOverF32", bytes.loss / floats.loss)
        .with("lossOverStart", bytes.loss / Math.log(2))
        .with("oneByteLoss", bytes.loss)
        .with("f32Loss", floats.loss);
  }

  private static List<Long> bits(double[] row) {
    return LongStream.range(0, row.length)
        .map(c -> Double.doubleToRawLongBits(row[(int) c]))
        .boxed()
        .toList();
  }

  /** The parameters of every machine, and what was sent. */
  private record Run(List<double[]> replicas, double loss, double bytesPerScalar, double fetches) {}

  /** Machine 3 leaves and comes back. */
  private record Coming() implements MixingSchedule {
    @Override
    public int nodes() {
      return MACHINES;
    }

    @Override
    public MixingMatrix at(long round) {
      return MixingMatrix.identity(MACHINES);
    }

    @Override
    public long period() {
      return 0;
    }

    @Override
    public boolean isAlive(long round, int node) {
      return node != 3 || round < AWAY_FROM || round >= BACK_IN;
    }
  }

  private static Run run(
      Setting setting, ClassificationData data, ScalarCode code, List<Transport> transports) {
    try (ExecutorService threads = Executors.newFixedThreadPool(transports.size())) {
      List<Callable<Run>> programs = new ArrayList<>();
      for (Transport transport : transports) {
        programs.add(() -> process(setting, data, code, transport));
      }
      List<double[]> replicas = new ArrayList<>();
      double loss = 0;
      Run last = null;
      for (Future<Run> future : threads.invokeAll(programs)) {
        last = future.get();
        replicas.addAll(last.replicas);
        loss += last.loss;
      }
      return new Run(replicas, loss / MACHINES, last.bytesPerScalar, last.fetches);
    } catch (ExecutionException e) {
      throw new IllegalStateException("a machine failed: " + e.getCause().getMessage(), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted while the machines were training", e);
    }
  }

  private static Run process(
      Setting setting, ClassificationData data, ScalarCode code, Transport transport) {
    int first = transport.range().begin();
    int count = transport.range().end() - first;
    // Sabotaged, the last machine draws other directions than those that it is told about.
    long seed = setting.sabotaged() && first == MACHINES - 1 ? SEED + 1 : SEED;
    try (transport;
        Queue queue = setting.queue().device().newQueue();
        SoftmaxRegression problem =
            SoftmaxRegression.builder(queue, data, Partition.iid().split(data, MACHINES, SEED))
                .nodes(first, count)
                .build();
        Network network = Network.builder(new Coming()).transport(transport).build();
        DeviceMatrix start = problem.initial(SEED);
        SharedRandomnessSpsa optimizer =
            SharedRandomnessSpsa.builder(problem, network, start)
                .stepSize(STEP_SIZE)
                .code(code)
                .seed(seed)
                .build()) {
      for (int round = 0; round < ROUNDS; round++) {
        optimizer.step();
      }
      long away = BACK_IN - AWAY_FROM;
      long scalars =
          MACHINES * (MACHINES - 1L) * (ROUNDS - away) + (MACHINES - 1) * (MACHINES - 2L) * away;
      long row = 4 * problem.layout().size();
      double fetches = (double) network.meter().messages() - scalars;
      double bytesPerScalar = (network.meter().bytes() - fetches * row) / scalars;
      double loss = 0;
      List<double[]> replicas = new ArrayList<>();
      try (DeviceMatrix losses = start.like(1, count, DType.F64)) {
        problem.values(optimizer.parameters(), losses);
        double[] values = losses.toDoubles();
        for (int r = 0; r < count; r++) {
          loss += values[r];
          try (DeviceMatrix replica = optimizer.parameters().row(r)) {
            replicas.add(replica.toDoubles());
          }
        }
      }
      return new Run(replicas, loss, bytesPerScalar, fetches);
    }
  }

  private static ClassificationData data() {
    SharedRandom truth = new SharedRandom(SEED, Stream.DATA, SAMPLES, 0);
    float[] values = new float[SAMPLES * FEATURES];
    int[] labels = new int[SAMPLES];
    for (int i = 0; i < SAMPLES; i++) {
      SharedRandom sample = new SharedRandom(SEED, Stream.DATA, i, 0);
      double score = 0;
      for (int c = 0; c < FEATURES; c++) {
        float value = (float) sample.normal(c);
        values[i * FEATURES + c] = value;
        score += value * truth.normal(c) * 3 / Math.sqrt(FEATURES);
      }
      labels[i] = sample.uniform(FEATURES) < 1 / (1 + Math.exp(-score)) ? 1 : 0;
    }
    return ClassificationData.of("logistic", FEATURES, 2, values, labels);
  }
}
