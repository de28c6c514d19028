package dev.kith.kernel;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** Noise of an expression, drawn at random, and the same for the oracle. */
final class NoiseInput {
  private enum Shape {
    NONE,
    SPARSE,
    DENSE
  }

  private final SharedRandom random;
  private long drawn;
  private final Shape shape;
  private final int rows;
  private final double scale;
  private final NoiseField field;
  private final Oracle.OracleNoiseTerm oracle;

  /**
   * @param rows inner rows
   * @param sources rows of the field where there is a factor
   */
  NoiseInput(long seed, int rows, int sources, int cols) {
    random = new SharedRandom(seed, Stream.TEST, 6, 0);
    this.rows = rows;
    Shape drawnShape = Shape.values()[below(3)];
    // A dense factor has at least one of each.
    shape =
        drawnShape == Shape.DENSE && (rows == 0 || sources == 0 || rows > 4096)
            ? Shape.SPARSE
            : drawnShape;
    scale = new double[] {1, -0.37, 0, 1e-20, 1e10}[below(5)];
    boolean secret = below(2) == 0;
    NoiseField.Distribution[] distributions = NoiseField.Distribution.values();
    NoiseField.Distribution d = distributions[1 + below(distributions.length - 1)];
    int count = shape == Shape.NONE ? rows : sources;
    double[][] z = new double[count][];
    List<NoiseField.PublicRow> publicRows = new ArrayList<>();
    List<NoiseField.SecretRow> secretRows = new ArrayList<>();
    for (int k = 0; k < count; k++) {
      long round = below(2) == 0 ? below(100) : (1L << 40) - 1 - below(1000);
      if (secret) {
        byte[] bytes = new byte[Secret.BYTES];
        for (int i = 0; i < bytes.length; i++) {
          bytes[i] = (byte) random.word(1_000_000L + k * 32L + i);
        }
        secretRows.add(new NoiseField.SecretRow(Secret.of(bytes), round, k));
        z[k] = OracleNoise.secretRow(d, bytes, Stream.EDGE_NOISE, k, round, cols);
      } else {
        publicRows.add(new NoiseField.PublicRow(seed + below(3), round, k));
        long key = publicRows.getLast().seed();
        z[k] = OracleNoise.publicRow(d, key, Stream.EDGE_NOISE, k, round, cols);
      }
    }
    field =
        secret
            ? NoiseField.secret(d, Stream.EDGE_NOISE, secretRows)
            : NoiseField.shared(d, Stream.EDGE_NOISE, publicRows);
    oracle = new Oracle.OracleNoiseTerm(scale, drawFactor(sources), z);
  }

  private int below(int bound) {
    return (int) random.below(drawn++, bound);
  }

  /** Null for the identity; entries of a sparse row in any order, some twice. */
  private Oracle.OracleWeights drawFactor(int sources) {
    if (shape == Shape.NONE) {
      return null;
    }
    if (shape == Shape.DENSE) {
      return Oracle.OracleWeights.dense(rows, sources, values(rows * sources));
    }
    long[] offsets = new long[rows + 1];
    int[] columns = new int[rows * 6];
    for (int r = 0; r < rows; r++) {
      offsets[r + 1] = offsets[r];
      for (int e = sources == 0 ? 0 : below(7); e > 0; e--) {
        columns[(int) offsets[r + 1]++] = below(sources);
      }
    }
    int entries = (int) offsets[rows];
    return new Oracle.OracleWeights(
        offsets, Arrays.copyOf(columns, entries), values(entries), null);
  }

  private double[] values(int n) {
    double[] values = new double[n];
    for (int e = 0; e < n; e++) {
      values[e] = below(9) == 0 ? 0 : (below(20000) - 10000) / 7777.0;
    }
    return values;
  }

  Oracle.OracleNoiseTerm oracle() {
    return oracle;
  }

  /** The factor on the queue's device; to be closed. */
  Optional<MixingWeights> factor(Rig.Session session) {
    Oracle.OracleWeights f = oracle.factor();
    return switch (shape) {
      case NONE -> Optional.empty();
      case SPARSE ->
          Optional.of(
              MixingWeights.sparse(
                  session.queue(), rows, field.count(), f.offsets(), f.columns(), f.values()));
      case DENSE ->
          Optional.of(MixingWeights.dense(session.queue(), rows, field.count(), f.values()));
    };
  }

  Expression add(Optional<Expression> e, Optional<MixingWeights> factor) {
    if (factor.isPresent()) {
      return e.map(x -> x.plusNoise(scale, factor.get(), field))
          .orElseGet(() -> Expression.noise(scale, factor.get(), field));
    }
    return e.map(x -> x.plusNoise(scale, field)).orElseGet(() -> Expression.noise(scale, field));
  }

  @Override
  public String toString() {
    return "%s noise of %d %s %s sources, scale %s"
        .formatted(
            shape,
            field.count(),
            field.isSecret() ? "secret" : "public",
            field.distribution(),
            scale);
  }
}
