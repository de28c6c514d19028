package dev.kith.kernel;

import dev.kith.device.DType;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** Random rows that are summed, drawn at random, with what the oracle says about them. */
final class NoiseCase {
  /** What stands for W. */
  enum Shape {
    NONE,
    SPARSE,
    DENSE
  }

  private final SharedRandom random;
  private long drawn;
  private final long seed;
  private final boolean secret;
  private final NoiseField.Distribution distribution;
  private final Shape shape;
  private final DType dtype;
  private final int sources;
  private final int cols;
  private final boolean add;
  private final double scale;
  private final Stream stream;
  private final List<Secret> secrets = new ArrayList<>();

  private NoiseField field;
  private double[][] before;
  private double[][] after;
  private int rows;
  private long[] offsets;
  private int[] columns;
  private double[] values;
  private Optional<int[]> outputs = Optional.empty();

  NoiseCase(
      long seed,
      boolean secret,
      NoiseField.Distribution distribution,
      Shape shape,
      DType dtype,
      int sources,
      int cols) {
    this.seed = seed;
    this.secret = secret;
    this.distribution = distribution;
    boolean words = distribution == NoiseField.Distribution.WORDS;
    this.shape = words ? Shape.NONE : shape;
    this.dtype = words ? DType.I32 : dtype;
    this.sources = sources;
    this.cols = cols;
    random = new SharedRandom(seed, Stream.TEST, 5, 0);
    add = !words && below(2) == 0;
    scale = words ? 1 : below(3) == 0 ? 1 : (below(4000) - 2000) / 1234.5;
    Stream[] streams = {Stream.NODE_NOISE, Stream.EDGE_NOISE, Stream.PERTURBATION, Stream.TEST};
    stream = streams[below(streams.length)];
  }

  private int below(int bound) {
    return (int) random.below(drawn++, bound);
  }

  private void work() {
    if (after != null) {
      return;
    }
    double[][] z = new double[sources][];
    List<NoiseField.PublicRow> publicRows = new ArrayList<>();
    List<NoiseField.SecretRow> secretRows = new ArrayList<>();
    for (int k = 0; k < sources; k++) {
      long round = below(2) == 0 ? below(100) : (1L << 40) - 1 - below(1000);
      int node = below(2) == 0 ? below(100) : Integer.MAX_VALUE - below(1000);
      if (secret) {
        byte[] bytes = new byte[Secret.BYTES];
        for (int i = 0; i < bytes.length; i++) {
          bytes[i] = (byte) random.word(1_000_000L + k * 32L + i);
        }
        secrets.add(Secret.of(bytes));
        secretRows.add(new NoiseField.SecretRow(secrets.getLast(), round, node));
        z[k] = OracleNoise.secretRow(distribution, bytes, stream, node, round, cols);
      } else {
        publicRows.add(new NoiseField.PublicRow(seed * 31 + below(3), round, node));
        long key = publicRows.getLast().seed();
        z[k] = OracleNoise.publicRow(distribution, key, stream, node, round, cols);
      }
    }
    field =
        secret
            ? NoiseField.secret(distribution, stream, secretRows)
            : NoiseField.shared(distribution, stream, publicRows);
    rows = shape == Shape.NONE ? sources : 1 + below(9);
    int height = rows;
    offsets = new long[rows + 1];
    if (shape == Shape.SPARSE) {
      int[] targets = new int[rows];
      int entries = 0;
      columns = new int[rows * 20];
      for (int r = 0; r < rows; r++) {
        int count = sources == 0 || below(5) == 0 ? 0 : below(20);
        for (int e = 0; e < count; e++) {
          columns[entries++] = below(sources);
        }
        offsets[r + 1] = entries;
        targets[r] = 2 * (rows - 1 - r);
      }
      columns = Arrays.copyOf(columns, entries);
      if (below(2) == 0) {
        outputs = Optional.of(targets);
        height = 2 * rows + 1;
      }
      values = new double[entries];
    } else {
      values = new double[shape == Shape.DENSE ? rows * sources : 0];
    }
    for (int e = 0; e < values.length; e++) {
      values[e] = below(9) == 0 ? 0 : (below(20000) - 10000) / 7777.0;
    }
    before =
        dtype == DType.I32
            ? new double[height][cols]
            : Samples.matrix(Samples.Kind.SPECIAL, dtype, height, cols, seed);
    after = Arrays.stream(before).map(double[]::clone).toArray(double[][]::new);
    for (int r = 0; r < rows; r++) {
      int target = outputs.isPresent() ? outputs.get()[r] : r;
      for (int c = 0; c < cols; c++) {
        after[target][c] = element(r, after[target][c], z, c);
      }
    }
  }

  private double element(int r, double y, double[][] z, int c) {
    boolean wide = dtype == DType.F64;
    if (dtype == DType.I32) {
      return z[r][c];
    }
    if (shape == Shape.NONE) {
      if (wide) {
        return add ? Math.fma(scale, z[r][c], y) : scale * z[r][c];
      }
      float s = (float) scale;
      return add ? Math.fma(s, (float) z[r][c], (float) y) : s * (float) z[r][c];
    }
    double a = add ? y : 0;
    long first = shape == Shape.SPARSE ? offsets[r] : (long) r * sources;
    long last = shape == Shape.SPARSE ? offsets[r + 1] : first + sources;
    for (long e = first; e < last; e++) {
      int k = shape == Shape.SPARSE ? columns[(int) e] : (int) (e - first);
      double factor = scale * values[(int) e];
      a =
          wide
              ? Math.fma(factor, z[k][c], a)
              : Math.fma((float) factor, (float) z[k][c], (float) a);
    }
    return a;
  }

  void run(Rig.Session session) {
    work();
    // Twice: the second result may not depend on what the first left in scratch.
    for (int turn = 0; turn < 2; turn++) {
      Operand y = session.operand(dtype, before, cols);
      if (shape == Shape.NONE) {
        if (add) {
          Noise.add(field, scale, y.matrix());
        } else {
          Noise.draw(field, scale, y.matrix());
        }
      } else {
        try (MixingWeights w = weights(session)) {
          Noise.sum(w, field, scale, add, y.matrix());
        }
      }
      y.expect(after);
    }
  }

  private MixingWeights weights(Rig.Session session) {
    if (shape == Shape.DENSE) {
      return MixingWeights.dense(session.queue(), rows, sources, values);
    }
    return outputs.isPresent()
        ? MixingWeights.sparse(
            session.queue(), rows, sources, offsets, columns, values, outputs.get())
        : MixingWeights.sparse(session.queue(), rows, sources, offsets, columns, values);
  }

  @Override
  public String toString() {
    return "seed %d: %s %s, W %s, %s, %d sources, %d columns%s, scale %s"
        .formatted(
            seed,
            secret ? "secret" : "public",
            distribution,
            shape,
            dtype,
            sources,
            cols,
            add ? ", added" : "",
            scale);
  }
}
