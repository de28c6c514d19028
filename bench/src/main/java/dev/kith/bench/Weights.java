package dev.kith.bench;

import dev.kith.graph.Graph;
import dev.kith.graph.MixingMatrix;
import dev.kith.graph.RandomGraphs;
import dev.kith.graph.Topologies;
import dev.kith.graph.WeightRule;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.IntToDoubleFunction;

/**
 * The mixing matrix of a workload as rows of entries, the diagonal among them.
 *
 * @param offsets row r has the entries offsets[r] to offsets[r + 1] - 1
 * @param columns the column of each entry, ascending within a row
 * @param values the weight of each entry
 */
record Weights(long[] offsets, int[] columns, double[] values) {
  /** Most rows for which a peer without sparse products gets a dense matrix. */
  static final int DENSE_LIMIT = 256;

  private static final long GRAPH_SEED = 1;

  /** The matrix of a workload, W or F; without entries for an operation that mixes nothing. */
  static Weights of(Workload workload) {
    int n = workload.rows();
    return switch (workload.operation()) {
      case MIX_RING, ATC_RING, PAIRWISE_RING, DSGT_RING, ROUND_INT8_RING ->
          metropolis(Topologies.ring(n));
      case MIX_ER8 -> metropolis(RandomGraphs.erdosRenyi(n, 8.0 / (n - 1), GRAPH_SEED));
      case MIX_REGULAR4 -> metropolis(RandomGraphs.regular(n, 4, GRAPH_SEED));
      case MIX_DENSE, CORN -> dense(n);
      default -> new Weights(new long[n + 1], new int[0], new double[0]);
    };
  }

  private static Weights metropolis(Graph graph) {
    MixingMatrix matrix = new WeightRule.Metropolis().weights(graph);
    return new Weights(matrix.rowOffsets(), matrix.columns(), matrix.values());
  }

  /**
   * Circulant, without a zero, rows and columns summing to 1: entry (i, j) is 2 (1 + (j - i mod n))
   * / (n (n + 1)).
   */
  private static Weights dense(int n) {
    long[] offsets = new long[n + 1];
    int[] columns = new int[n * n];
    double[] values = new double[n * n];
    for (int i = 0; i < n; i++) {
      offsets[i + 1] = (long) n * (i + 1);
      for (int j = 0; j < n; j++) {
        columns[i * n + j] = j;
        values[i * n + j] = 2.0 * (1 + Math.floorMod(j - i, n)) / ((double) n * (n + 1));
      }
    }
    return new Weights(offsets, columns, values);
  }

  int rows() {
    return offsets.length - 1;
  }

  int begin(int row) {
    return (int) offsets[row];
  }

  int end(int row) {
    return (int) offsets[row + 1];
  }

  /** sum_j w_ij f(j). */
  double apply(int row, IntToDoubleFunction f) {
    double sum = 0;
    for (int k = begin(row); k < end(row); k++) {
      sum += values[k] * f.applyAsDouble(columns[k]);
    }
    return sum;
  }

  /** Row-major with all zeros. */
  double[] toDense() {
    double[] dense = new double[rows() * rows()];
    for (int i = 0; i < rows(); i++) {
      for (int k = begin(i); k < end(i); k++) {
        dense[i * rows() + columns[k]] = values[k];
      }
    }
    return dense;
  }

  float[] toDenseFloats() {
    double[] dense = toDense();
    float[] floats = new float[dense.length];
    for (int i = 0; i < dense.length; i++) {
      floats[i] = (float) dense[i];
    }
    return floats;
  }

  float[] floatValues() {
    float[] floats = new float[values.length];
    for (int k = 0; k < values.length; k++) {
      floats[k] = (float) values[k];
    }
    return floats;
  }

  /**
   * Writes offsets (64-bit), columns (32-bit) and values (f32), little-endian, one after the other.
   */
  void write(Path file) {
    ByteBuffer buffer =
        ByteBuffer.allocate(
                offsets.length * Long.BYTES + columns.length * (Integer.BYTES + Float.BYTES))
            .order(ByteOrder.LITTLE_ENDIAN);
    Arrays.stream(offsets).forEach(buffer::putLong);
    Arrays.stream(columns).forEach(buffer::putInt);
    for (double value : values) {
      buffer.putFloat((float) value);
    }
    try {
      Files.write(file, buffer.array());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
