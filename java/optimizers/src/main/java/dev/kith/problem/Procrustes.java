package dev.kith.problem;

import dev.kith.device.DType;
import dev.kith.device.Queue;
import java.util.Arrays;

/**
 * The unbalanced Procrustes problem: f_i(X) = 1/2 |A_i X - B_i|^2 over X in St(d, r), A_i m x d,
 * B_i m x r: the rotation that brings one set of points nearest to another. Where all A_i^T A_i are
 * multiples of I the optimum is the polar factor of the mean of the A_i^T B_i.
 *
 * <p>Held as A_i^T A_i, A_i^T B_i and |B_i|^2. Used by one thread at a time.
 */
public final class Procrustes extends MatrixQuadratic {
  private Procrustes(Builder builder, Queue queue, DType dtype) {
    super(
        "rotation",
        builder.from[0][0].length,
        builder.to[0][0].length,
        builder.from.length,
        builder.begin,
        builder.products(builder.from),
        builder.products(builder.to),
        builder.constants(),
        queue,
        dtype);
  }

  /**
   * Points by node.
   *
   * @param from A_i, m x d; m may differ by node
   * @param to B_i, m x r with r at most d
   * @throws IllegalArgumentException when shapes do not fit, or there is none
   */
  public static Builder of(double[][][] from, double[][][] to) {
    return new Builder(from, to);
  }

  /** What the problem is made of. */
  public static final class Builder extends NodesBuilder<Builder> {
    private final double[][][] from;
    private final double[][][] to;

    private Builder(double[][][] from, double[][][] to) {
      super(from.length);
      if (from.length == 0 || from.length != to.length) {
        throw new IllegalArgumentException(
            "There are "
                + from.length
                + " sets of points and "
                + to.length
                + " to bring them to: give one of each a node");
      }
      for (int i = 0; i < from.length; i++) {
        if (from[i].length == 0 || from[i].length != to[i].length) {
          throw new IllegalArgumentException(
              "Node "
                  + i
                  + " has "
                  + from[i].length
                  + " points and "
                  + to[i].length
                  + " to bring them to: give as many, and at least one");
        }
        requireWidth(i, from[i], from[0][0].length);
        requireWidth(i, to[i], to[0][0].length);
      }
      int d = from[0][0].length;
      int r = to[0][0].length;
      if (r < 1 || r > d) {
        throw new IllegalArgumentException(
            "Points of "
                + d
                + " numbers do not go to points of "
                + r
                + ": take 1 to "
                + d
                + ", or the problem the other way round");
      }
      this.from = copy(from);
      this.to = copy(to);
    }

    private static void requireWidth(int node, double[][] points, int width) {
      for (double[] point : points) {
        if (point.length != width) {
          throw new IllegalArgumentException(
              "A point of node "
                  + node
                  + " has "
                  + point.length
                  + " numbers where the first of node 0 has "
                  + width
                  + ": give all the same");
        }
      }
    }

    private static double[][][] copy(double[][][] sets) {
      return Arrays.stream(sets)
          .map(set -> Arrays.stream(set).map(double[]::clone).toArray(double[][]::new))
          .toArray(double[][][]::new);
    }

    /** A_i^T Y_i of the nodes that are held, row-major. */
    private double[][] products(double[][][] with) {
      double[][] all = new double[end - begin][];
      for (int i = begin; i < end; i++) {
        int r = with[i][0].length;
        double[] product = new double[from[i][0].length * r];
        for (int k = 0; k < from[i].length; k++) {
          for (int a = 0; a < from[i][k].length; a++) {
            for (int b = 0; b < r; b++) {
              product[a * r + b] += from[i][k][a] * with[i][k][b];
            }
          }
        }
        all[i - begin] = product;
      }
      return all;
    }

    private double[] constants() {
      double[] all = new double[end - begin];
      for (int i = begin; i < end; i++) {
        all[i - begin] =
            Arrays.stream(to[i]).flatMapToDouble(Arrays::stream).map(x -> x * x).sum() / 2;
      }
      return all;
    }

    @Override
    Builder self() {
      return this;
    }

    /**
     * Places the data on a device.
     *
     * @param dtype f32 or f64
     */
    public Procrustes build(Queue queue, DType dtype) {
      return new Procrustes(this, queue, dtype);
    }
  }
}
