package dev.kith.problem;

import java.util.BitSet;

/**
 * {@link UserErm} of linear regression, loss(x; a, y) = 1/2 (a^T x - y)^2: solved exactly from the
 * d x d moments of the users. Immutable and thread-safe.
 */
public final class RidgeErm implements UserErm {
  private final double[][][] moments;
  private final double[][] products;

  private RidgeErm(double[][][] moments, double[][] products) {
    this.moments = moments;
    this.products = products;
  }

  /**
   * @param records the vectors a by user and item, d numbers each
   * @param targets the y by user and item
   * @throws IllegalArgumentException when their numbers or lengths differ, a number is not finite,
   *     or a user has no item
   */
  public static RidgeErm of(double[][][] records, double[][] targets) {
    if (records.length == 0 || records.length != targets.length || records[0].length == 0) {
      throw new IllegalArgumentException(
          "there are records of "
              + records.length
              + " users and targets of "
              + targets.length
              + ": give both for each user, at least one item");
    }
    int d = records[0][0].length;
    double[][][] moments = new double[records.length][d][d];
    double[][] products = new double[records.length][d];
    for (int i = 0; i < records.length; i++) {
      int items = records[i].length;
      if (items == 0 || items != targets[i].length) {
        throw new IllegalArgumentException(
            "user "
                + i
                + " has "
                + items
                + " records and "
                + targets[i].length
                + " targets: give one of each, and at least one");
      }
      for (int j = 0; j < items; j++) {
        add(records[i][j], targets[i][j], items, moments[i], products[i], i);
      }
    }
    return new RidgeErm(moments, products);
  }

  private static void add(
      double[] a, double y, int items, double[][] moment, double[] product, int user) {
    if (a.length != product.length) {
      throw new IllegalArgumentException(
          "user "
              + user
              + " has a record of "
              + a.length
              + " numbers where others have "
              + product.length
              + ": give all the same");
    }
    for (int r = 0; r < a.length; r++) {
      product[r] += a[r] * y / items;
      for (int c = 0; c < a.length; c++) {
        moment[r][c] += a[r] * a[c] / items;
      }
      if (!Double.isFinite(product[r]) || !Double.isFinite(moment[r][r])) {
        throw new IllegalArgumentException(
            "an item of user " + user + " is not finite: leave it out");
      }
    }
  }

  @Override
  public int users() {
    return products.length;
  }

  @Override
  public int dimension() {
    return products[0].length;
  }

  @Override
  public double[] minimiser(BitSet kept, double[] centre, double strength) {
    int d = dimension();
    if (kept.isEmpty() || kept.length() > users()) {
      throw new IllegalArgumentException(
          "the users "
              + kept
              + " are not some of the "
              + users()
              + " users: keep at least one of them");
    }
    if (centre.length != d || !(strength > 0 && strength < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a centre of "
              + centre.length
              + " numbers with the strength "
              + strength
              + " does not fit: give "
              + d
              + " numbers and a finite strength above 0");
    }
    int count = kept.cardinality();
    double[][] sum = new double[d][d];
    double[] right = new double[d];
    for (int i = kept.nextSetBit(0); i >= 0; i = kept.nextSetBit(i + 1)) {
      for (int r = 0; r < d; r++) {
        right[r] += products[i][r] / count;
        for (int c = 0; c < d; c++) {
          sum[r][c] += moments[i][r][c] / count;
        }
      }
    }
    for (int r = 0; r < d; r++) {
      sum[r][r] += strength;
      right[r] += strength * centre[r];
    }
    return new Cholesky(sum).solve(right);
  }
}
