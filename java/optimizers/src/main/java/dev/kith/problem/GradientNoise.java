package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;

/**
 * Independent N(0, sd^2) noise on every element of a gradient: element c of node i in round t is a
 * pure function of (seed, i, t, c). It is drawn in Java, which is meant for small test problems.
 */
final class GradientNoise implements AutoCloseable {
  private final double deviation;
  private final long seed;
  private final int firstNode;
  private final DeviceMatrix noise;

  GradientNoise(double deviation, long seed, int firstNode, DeviceMatrix like) {
    if (!(deviation >= 0 && deviation < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "The standard deviation of gradient noise is "
              + deviation
              + ": give a finite number, 0 or larger");
    }
    this.deviation = deviation;
    this.seed = seed;
    this.firstNode = firstNode;
    this.noise = like.like();
  }

  /** g += sd z. */
  void addTo(DeviceMatrix g, long round) {
    if (deviation == 0) {
      return;
    }
    int cols = Math.toIntExact(g.cols());
    double[] z = new double[Math.multiplyExact(Math.toIntExact(g.rows()), cols)];
    for (int r = 0; r < g.rows(); r++) {
      SharedRandom random = new SharedRandom(seed, Stream.NORMAL_F64_JAVA, firstNode + r, round);
      for (int c = 0; c < cols; c++) {
        z[r * cols + c] = random.normal(c);
      }
    }
    noise.upload(z);
    Mixing.combine(Expression.outer(g).plusOuter(deviation, noise), g);
  }

  @Override
  public void close() {
    noise.close();
  }
}
