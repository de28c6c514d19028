package dev.kith.bench;

import dev.kith.device.DType;
import dev.kith.device.Device;
import dev.kith.device.DeviceMatrix;
import dev.kith.device.Queue;
import dev.kith.jcuda.CublasProducts;
import dev.kith.kernel.Product;
import dev.kith.kernel.Twin;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Measures rows of the GPU goal table: a kernel in alternation with its twin, with a copy, and with
 * what else it is compared with. Times are those of the host around many calls and one wait, so the
 * cost of launches is in them; the data is far larger than the caches.
 */
final class GpuMeasure implements AutoCloseable {
  static final String COPY = "copy";
  static final String TWIN = "twin";
  static final String TORCH = "torch";
  static final String CUBLAS = "cublas";
  static final String JCUBLAS = "jcublas";
  static final String FMA = "fma";
  static final String APART = "apart";
  static final String MICROS = "us";

  private static final long COPY_COLUMNS = 64_000_000;

  /**
   * What came out.
   *
   * @param name the row
   * @param nanos of one operation; NaN where the row failed
   * @param gbPerSecond bytes that must be moved over time, in 10^9 bytes a second; 0 where that
   *     says nothing
   * @param measures what goals are about, by name
   * @param goals every goal with value and verdict
   * @param notes how it was measured, and what could not be
   * @param failure why the row has no result, empty where it has one
   */
  record Result(
      String name,
      double nanos,
      double gbPerSecond,
      Map<String, Double> measures,
      List<Goal.Outcome> goals,
      List<String> notes,
      String failure) {}

  private final Device device;
  private final GpuScale scale;
  private final TorchTimes torch;
  private final Optional<Double> peak;
  private final String noCublas;
  private final GpuArrays copied;
  private final Runnable copy;
  private final double copyGbPerSecond;
  private final String copyForm;

  /**
   * Opens the device for measuring.
   *
   * @param device where
   * @param scale how large
   * @param torch what PyTorch took
   * @param cublas path of a cuBLAS, or ""
   */
  GpuMeasure(Device device, GpuScale scale, TorchTimes torch, String cublas) throws Exception {
    this.device = device;
    this.scale = scale;
    this.torch = torch;
    peak = device.backend().equals("cuda") ? CudaPeak.fmas(ordinal()) : Optional.empty();
    noCublas = useCublas(cublas);
    copied = new GpuArrays(device);
    try {
      long cols = scale.columns(COPY_COLUMNS);
      DeviceMatrix from = copied.filled(TestData.X, 16, cols, DType.F32);
      DeviceMatrix to = copied.zeros(16, cols, DType.F32);
      Runnable plain = () -> to.copyFrom(from);
      Runnable loop = () -> Twin.run(List.of(from), List.of(to), false, Optional.empty());
      Paired both =
          Paired.alternate(
              timed(copied.queue(), plain), timed(copied.queue(), loop), scale.pairs());
      copy = both.ratio() >= 1 ? plain : loop;
      copyForm = both.ratio() >= 1 ? "copyFrom" : "the twin of one read and one write";
      copyGbPerSecond = 8.0 * 16 * cols / Math.min(both.nanos(), both.otherNanos());
    } catch (Exception | Error e) {
      copied.close();
      throw e;
    }
  }

  private int ordinal() {
    int colon = device.name().indexOf(':');
    return colon < 0 ? 0 : Integer.parseInt(device.name().substring(colon + 1));
  }

  /** Why products do not go to cuBLAS; empty if they do. */
  private String useCublas(String path) {
    if (path.isEmpty()) {
      return "no cuBLAS was named";
    }
    return Product.useBlas(device, path) ? "" : "there is no usable cuBLAS at " + path;
  }

  /** The measured copy bandwidth. */
  double copyGbPerSecond() {
    return copyGbPerSecond;
  }

  /** What the copy was made with: the faster of two. */
  String copyForm() {
    return copyForm;
  }

  Result measure(GpuRow row) {
    Map<String, Double> measures = new LinkedHashMap<>();
    List<String> notes = new ArrayList<>();
    try (GpuArrays arrays = new GpuArrays(device)) {
      GpuTask task = row.task().apply(arrays, scale);
      task.work().run();
      arrays.queue().sync();
      task.check().run();
      return measured(row, task, arrays.queue(), measures, notes);
    } catch (Exception e) {
      String text = e.getMessage() == null ? e.toString() : e.getMessage();
      return new Result(row.name(), Double.NaN, 0, measures, judged(row, Map.of()), notes, text);
    }
  }

  private Result measured(
      GpuRow row, GpuTask task, Queue queue, Map<String, Double> measures, List<String> notes)
      throws Exception {
    Paired.Timed kernel = timed(queue, task.work());
    double nanos =
        task.passes().isEmpty() ? alone(kernel) : twin(task, queue, kernel, measures, notes);
    if (task.bytes() > 0) {
      // The two move different amounts: a ratio of rates, not of times.
      Paired beside = Paired.alternate(kernel, timed(copied.queue(), copy), scale.pairs());
      double copyBytes = 8.0 * 16 * scale.columns(COPY_COLUMNS);
      measures.put(COPY, beside.ratio() * task.bytes() / copyBytes);
    }
    if (task.apart().isPresent()) {
      Paired beside = Paired.alternate(kernel, timed(queue, task.apart().get()), scale.pairs());
      measures.put(APART, beside.ratio());
    }
    if (task.product().isPresent()) {
      if (noCublas.isEmpty()) {
        Paired beside = Paired.alternate(kernel, timed(queue, task.product().get()), scale.pairs());
        measures.put(CUBLAS, beside.ratio());
      } else {
        notes.add("cuBLAS: " + noCublas);
      }
    }
    if (task.jcublas().isPresent()) {
      jcublas(task.jcublas().get(), queue, kernel, measures, notes);
    }
    if (task.fmas() > 0 && peak.isPresent()) {
      measures.put(FMA, task.fmas() / (nanos * 1e-9) / peak.get());
    }
    double one = nanos / task.calls();
    measures.put(MICROS, one * 1e-3);
    torch.nanos(row.name()).ifPresent(taken -> measures.put(TORCH, taken / one));
    notes.add("PyTorch: " + torch.note(row.name()));
    return new Result(
        row.name(), one, task.bytes() / nanos, measures, judged(row, measures), notes, "");
  }

  /** Without a GPU or without the cuBLAS that JCublas needs the row says so. */
  private void jcublas(
      Consumer<CublasProducts> work,
      Queue queue,
      Paired.Timed kernel,
      Map<String, Double> measures,
      List<String> notes)
      throws Exception {
    CublasProducts opened;
    try {
      opened = new CublasProducts(queue);
    } catch (UnsupportedOperationException | IllegalArgumentException e) {
      notes.add("JCublas: " + e.getMessage());
      return;
    }
    try (CublasProducts cublas = opened) {
      Paired beside =
          Paired.alternate(kernel, timed(queue, () -> work.accept(cublas)), scale.pairs());
      measures.put(JCUBLAS, beside.ratio());
    }
  }

  private double alone(Paired.Timed kernel) throws Exception {
    double[] times = new double[scale.pairs()];
    for (int i = 0; i < times.length; i++) {
      times[i] = kernel.nanos();
    }
    return Paired.quantile(times, 0.5);
  }

  private double twin(
      GpuTask task,
      Queue queue,
      Paired.Timed kernel,
      Map<String, Double> measures,
      List<String> notes)
      throws Exception {
    boolean reading = task.passes().getFirst().writes().isEmpty();
    try (GpuArrays own = new GpuArrays(device)) {
      Optional<DeviceMatrix> sink =
          reading ? Optional.of(own.zeros(1, 1, DType.F64)) : Optional.empty();
      own.queue().sync();
      Runnable loop =
          () -> task.passes().forEach(pass -> Twin.run(pass.reads(), pass.writes(), false, sink));
      Paired beside = Paired.alternate(kernel, timed(queue, loop), scale.pairs());
      queue.sync();
      measures.put(TWIN, beside.ratio());
      notes.add(
          "twin: quartiles of %d ratios %.3f to %.3f"
              .formatted(beside.pairs(), beside.low(), beside.high()));
      return beside.nanos();
    }
  }

  /** Goals are about full rows on a GPU. */
  private List<Goal.Outcome> judged(GpuRow row, Map<String, Double> measures) {
    boolean real = scale == GpuScale.FULL && device.backend().equals("cuda");
    return row.goals().stream()
        .map(
            goal -> {
              Goal.Outcome outcome = goal.judge(measures);
              return real
                  ? outcome
                  : new Goal.Outcome(
                      outcome.text(), outcome.goal(), outcome.value(), Goal.NOT_MEASURED);
            })
        .toList();
  }

  /** The time of one call among as many as the scale's sample takes, with one wait after them. */
  private Paired.Timed timed(Queue queue, Runnable work) {
    work.run();
    queue.sync();
    long begin = System.nanoTime();
    work.run();
    queue.sync();
    long once = Math.max(1, System.nanoTime() - begin);
    int repeats = (int) Math.max(1, Math.min(1000, scale.sampleNanos() / once));
    return () -> {
      long start = System.nanoTime();
      for (int i = 0; i < repeats; i++) {
        work.run();
      }
      queue.sync();
      return (double) (System.nanoTime() - start) / repeats;
    };
  }

  @Override
  public void close() {
    copied.close();
  }
}
