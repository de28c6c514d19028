package dev.kith.graph;

import java.util.Arrays;
import java.util.Locale;

/**
 * The weights W of one round of mixing, X &lt;- W X, as an n x n matrix in compressed sparse rows:
 * node i receives from node j with weight W_ij. Columns ascend within a row; weights may be
 * negative.
 *
 * <p>A matrix declares its {@link Kind}, and {@link #of} checks it up to the rounding of the
 * weights and of the sum: for m weights w in a row or column, |sum - target| &lt;= (m + 2) 2^-52 (1
 * + sum |w|).
 *
 * <p>Immutable and safe for use by several threads.
 */
public final class MixingMatrix {
  /** What the rows and columns of a mixing matrix sum to. */
  public enum Kind {
    /** Rows sum to 1: mixing forms weighted averages and keeps a common value, but not the mean. */
    ROW_STOCHASTIC(true, false),
    /** Columns sum to 1: mixing keeps the sum over the nodes (push-sum). */
    COLUMN_STOCHASTIC(false, true),
    /** Rows and columns sum to 1: mixing keeps a common value and the mean. */
    DOUBLY_STOCHASTIC(true, true),
    /** Rows sum to 0, as in a Laplacian: mixing forms differences and removes a common value. */
    ZERO_ROW_SUMS(false, false);

    private final boolean rows;
    private final boolean columns;

    Kind(boolean rows, boolean columns) {
      this.rows = rows;
      this.columns = columns;
    }

    /** Whether rows sum to 1. */
    public boolean rowsSumToOne() {
      return rows;
    }

    /** Whether columns sum to 1: mixing keeps the sum over the nodes. */
    public boolean columnsSumToOne() {
      return columns;
    }

    String words() {
      return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
  }

  /** Half the spacing of numbers just above 1. */
  private static final double UNIT_ROUNDOFF = 0x1p-53;

  private final Kind kind;
  private final int[] offsets;
  private final int[] columns;
  private final double[] values;

  /** Found on first use; racing threads compute equal results. */
  private volatile Boolean symmetric;

  private volatile Spectrum spectrum;

  /** Adopts arrays that are known to be right. */
  MixingMatrix(Kind kind, int[] offsets, int[] columns, double[] values) {
    this.kind = kind;
    this.offsets = offsets;
    this.columns = columns;
    this.values = values;
  }

  /**
   * The n x n matrix with the entries values[k] at (i, columns[k]) for offsets[i] &lt;= k &lt;
   * offsets[i + 1]. The arrays are copied.
   *
   * @throws IllegalArgumentException when the arrays do not describe such a matrix, a weight is not
   *     finite, or the matrix is not of the kind; the message names the row or column and by how
   *     much its sum is off
   */
  public static MixingMatrix of(
      Kind kind, int nodes, long[] offsets, int[] columns, double[] values) {
    if (nodes < 1) {
      throw new IllegalArgumentException("a mixing matrix needs at least one node, not " + nodes);
    }
    if (offsets.length != nodes + 1 || offsets[0] != 0) {
      throw new IllegalArgumentException(
          nodes
              + " nodes need "
              + (nodes + 1L)
              + " row offsets starting with 0, not "
              + offsets.length
              + (offsets.length == 0 ? "" : " starting with " + offsets[0]));
    }
    if (columns.length != values.length || offsets[nodes] != values.length) {
      throw new IllegalArgumentException(
          "the row offsets end at "
              + offsets[nodes]
              + ", but there are "
              + columns.length
              + " columns and "
              + values.length
              + " values: all three must agree");
    }
    int[] starts = new int[nodes + 1];
    for (int i = 0; i < nodes; i++) {
      if (offsets[i + 1] < offsets[i] || offsets[i + 1] > values.length) {
        throw new IllegalArgumentException(
            "row "
                + i
                + " goes from offset "
                + offsets[i]
                + " to "
                + offsets[i + 1]
                + ": offsets must not descend or pass the end at "
                + values.length);
      }
      starts[i + 1] = (int) offsets[i + 1];
    }
    MixingMatrix matrix = new MixingMatrix(kind, starts, columns.clone(), values.clone());
    MatrixCheck.entries(matrix);
    MatrixCheck.kind(matrix);
    return matrix;
  }

  /**
   * The matrix with these rows; zeros are not stored.
   *
   * @throws IllegalArgumentException as {@link #of}, and when the rows are not square
   */
  public static MixingMatrix ofDense(Kind kind, double[][] rows) {
    int n = rows.length;
    long[] offsets = new long[n + 1];
    int[] columns = new int[EdgeList.checkEntries((long) n * n)];
    double[] values = new double[columns.length];
    int count = 0;
    for (int i = 0; i < n; i++) {
      if (rows[i].length != n) {
        throw new IllegalArgumentException(
            "row "
                + i
                + " has "
                + rows[i].length
                + " entries, but there are "
                + n
                + " rows: give a square matrix");
      }
      for (int j = 0; j < n; j++) {
        if (rows[i][j] != 0) {
          columns[count] = j;
          values[count++] = rows[i][j];
        }
      }
      offsets[i + 1] = count;
    }
    return of(kind, n, offsets, Arrays.copyOf(columns, count), Arrays.copyOf(values, count));
  }

  /** Adopts rows that a weight rule made, and checks their kind. */
  static MixingMatrix checked(Kind kind, int[] offsets, int[] columns, double[] values) {
    MixingMatrix matrix = new MixingMatrix(kind, offsets, columns, values);
    MatrixCheck.kind(matrix);
    return matrix;
  }

  /** I: nobody talks. */
  public static MixingMatrix identity(int nodes) {
    int[] offsets = new int[nodes + 1];
    int[] columns = new int[nodes];
    double[] values = new double[nodes];
    for (int i = 0; i < nodes; i++) {
      offsets[i + 1] = i + 1;
      columns[i] = i;
      values[i] = 1;
    }
    return checked(Kind.DOUBLY_STOCHASTIC, offsets, columns, values);
  }

  /** J = (1/n) 1 1^T: one round reaches the mean. */
  public static MixingMatrix uniform(int nodes) {
    int[] offsets = new int[nodes + 1];
    int[] columns = new int[EdgeList.checkEntries((long) nodes * nodes)];
    double[] values = new double[columns.length];
    for (int i = 0; i < nodes; i++) {
      for (int j = 0; j < nodes; j++) {
        columns[i * nodes + j] = j;
      }
      offsets[i + 1] = (i + 1) * nodes;
    }
    Arrays.fill(values, 1.0 / nodes);
    return checked(Kind.DOUBLY_STOCHASTIC, offsets, columns, values);
  }

  /** The number of nodes n. */
  public int nodes() {
    return offsets.length - 1;
  }

  /** What the rows and columns sum to. */
  public Kind kind() {
    return kind;
  }

  /** The number of stored entries. */
  public int entries() {
    return values.length;
  }

  /** The n + 1 row offsets (a copy). */
  public long[] rowOffsets() {
    return Arrays.stream(offsets).asLongStream().toArray();
  }

  /** The columns of all entries by row (a copy). */
  public int[] columns() {
    return columns.clone();
  }

  /** The values of all entries by row (a copy). */
  public double[] values() {
    return values.clone();
  }

  /**
   * The index of the first entry of row i; row i ends where row i + 1 begins, and row n is the end.
   */
  public int rowBegin(int i) {
    return offsets[i];
  }

  /** The column of entry k. */
  public int column(int k) {
    return columns[k];
  }

  /** The value of entry k. */
  public double value(int k) {
    return values[k];
  }

  /** W_ij, 0 where nothing is stored. */
  public double get(int i, int j) {
    int k = Arrays.binarySearch(columns, offsets[i], offsets[i + 1], j);
    return k < 0 ? 0 : values[k];
  }

  /** The matrix as rows of n numbers. */
  public double[][] toDense() {
    int n = nodes();
    double[][] dense = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int k = offsets[i]; k < offsets[i + 1]; k++) {
        dense[i][columns[k]] = values[k];
      }
    }
    return dense;
  }

  /**
   * W X for a small X of n rows, each sum in the order of the columns: a plain form for tests and
   * for arithmetic with matrices.
   *
   * @throws IllegalArgumentException when X does not have n rows
   */
  public double[][] times(double[][] x) {
    int n = nodes();
    if (x.length != n) {
      throw new IllegalArgumentException(
          "a matrix of " + n + " nodes cannot mix " + x.length + " rows");
    }
    double[][] y = new double[n][x[0].length];
    for (int i = 0; i < n; i++) {
      for (int k = offsets[i]; k < offsets[i + 1]; k++) {
        double[] from = x[columns[k]];
        for (int c = 0; c < from.length; c++) {
          y[i][c] += values[k] * from[c];
        }
      }
    }
    return y;
  }

  /** y = W x. */
  void times(double[] x, double[] y) {
    for (int i = 0; i < y.length; i++) {
      double sum = 0;
      for (int k = offsets[i]; k < offsets[i + 1]; k++) {
        sum += values[k] * x[columns[k]];
      }
      y[i] = sum;
    }
  }

  /** W^T. A row-stochastic matrix becomes column-stochastic, and the other way round. */
  public MixingMatrix transposed() {
    Kind turned =
        switch (kind) {
          case ROW_STOCHASTIC -> Kind.COLUMN_STOCHASTIC;
          case COLUMN_STOCHASTIC -> Kind.ROW_STOCHASTIC;
          case DOUBLY_STOCHASTIC -> Kind.DOUBLY_STOCHASTIC;
          case ZERO_ROW_SUMS -> {
            if (!symmetric()) {
              throw new IllegalArgumentException(
                  "the transpose of a matrix with zero row sums has no kind of its own");
            }
            yield kind;
          }
        };
    return turned(turned);
  }

  /** The transpose, declared to be of the kind. */
  MixingMatrix turned(Kind turned) {
    int n = nodes();
    int[] starts = new int[n + 1];
    for (int column : columns) {
      starts[column + 1]++;
    }
    Arrays.parallelPrefix(starts, Integer::sum);
    int[] next = Arrays.copyOf(starts, n);
    int[] rows = new int[columns.length];
    double[] moved = new double[values.length];
    for (int i = 0; i < n; i++) {
      for (int k = offsets[i]; k < offsets[i + 1]; k++) {
        int place = next[columns[k]]++;
        rows[place] = i;
        moved[place] = values[k];
      }
    }
    return new MixingMatrix(turned, starts, rows, moved);
  }

  /**
   * Whether |W_ij - W_ji| &lt;= 2^-51 max(|W_ij|, |W_ji|) for all i, j: equal up to the rounding of
   * a weight.
   */
  public boolean symmetric() {
    Boolean found = symmetric;
    if (found == null) {
      found = turned(kind).nearlyEquals(this);
      symmetric = found;
    }
    return found;
  }

  private boolean nearlyEquals(MixingMatrix other) {
    if (!Arrays.equals(offsets, other.offsets) || !Arrays.equals(columns, other.columns)) {
      return false;
    }
    for (int k = 0; k < values.length; k++) {
      double scale = Math.max(Math.abs(values[k]), Math.abs(other.values[k]));
      if (Math.abs(values[k] - other.values[k]) > 4 * UNIT_ROUNDOFF * scale) {
        return false;
      }
    }
    return true;
  }

  /**
   * (I + W) / 2: the same fixed points, and all eigenvalues of a symmetric W moved into [0, 1]; D^2
   * needs it where lambda_n &lt;= -1/3.
   *
   * @throws IllegalArgumentException when rows or columns do not sum to 1
   */
  public MixingMatrix lazy() {
    if (kind == Kind.ZERO_ROW_SUMS) {
      throw new IllegalArgumentException(
          "a matrix with zero row sums has no lazy form: take that of I - L / d");
    }
    int n = nodes();
    int[] starts = new int[n + 1];
    int[] targets = new int[EdgeList.checkEntries((long) columns.length + n)];
    double[] halves = new double[targets.length];
    int count = 0;
    for (int i = 0; i < n; i++) {
      boolean self = false;
      for (int k = offsets[i]; k <= offsets[i + 1]; k++) {
        boolean end = k == offsets[i + 1];
        if (!self && (end || columns[k] >= i)) {
          self = true;
          targets[count] = i;
          halves[count++] = !end && columns[k] == i ? (1 + values[k]) / 2 : 0.5;
        }
        if (!end && columns[k] != i) {
          targets[count] = columns[k];
          halves[count++] = values[k] / 2;
        }
      }
      starts[i + 1] = count;
    }
    return new MixingMatrix(
        kind, starts, Arrays.copyOf(targets, count), Arrays.copyOf(halves, count));
  }

  /**
   * The same weights among renumbered nodes: entry (i, j) of the result is W(p[i], p[j]), that is P
   * W P^T for the permutation matrix P with ones at (i, p[i]).
   *
   * @throws IllegalArgumentException when p is not a permutation of 0 to n - 1
   */
  public MixingMatrix permuted(int[] p) {
    if (p.length != nodes()) {
      throw new IllegalArgumentException(
          "a permutation of " + nodes() + " nodes has as many numbers, not " + p.length);
    }
    return block(p);
  }

  /**
   * The block of the given nodes, renumbered in the order given; they must exchange nothing with
   * the others, so that the block is of the same kind.
   *
   * @throws IllegalArgumentException when a node is given twice or does not exist, or one has a
   *     weight outside the block
   */
  public MixingMatrix restrictedTo(int... chosen) {
    MixingMatrix block = block(chosen);
    MatrixCheck.kind(block);
    return block;
  }

  private MixingMatrix block(int[] chosen) {
    int[] number = new int[nodes()];
    Arrays.fill(number, -1);
    int size = 0;
    for (int k = 0; k < chosen.length; k++) {
      int i = chosen[k];
      if (i < 0 || i >= nodes() || number[i] >= 0) {
        throw new IllegalArgumentException(
            "node " + i + " is given twice or is not one of 0 to " + (nodes() - 1));
      }
      number[i] = k;
      size += offsets[i + 1] - offsets[i];
    }
    int[] starts = new int[chosen.length + 1];
    int[] targets = new int[size];
    double[] moved = new double[size];
    int count = 0;
    for (int i = 0; i < chosen.length; i++) {
      int begin = count;
      for (int k = offsets[chosen[i]]; k < offsets[chosen[i] + 1]; k++) {
        if (number[columns[k]] < 0) {
          throw new IllegalArgumentException(
              "node " + chosen[i] + " has a weight for node " + columns[k] + " outside the block");
        }
        targets[count++] = number[columns[k]];
      }
      Arrays.sort(targets, begin, count);
      for (int k = begin; k < count; k++) {
        moved[k] = get(chosen[i], chosen[targets[k]]);
      }
      starts[i + 1] = count;
    }
    return new MixingMatrix(kind, starts, targets, moved);
  }

  /**
   * Who sends to whom: an arc (j, i) for every W_ij other than 0 with i != j; undirected when the
   * matrix is symmetric.
   */
  public Graph graph() {
    int n = nodes();
    EdgeList arcs = new EdgeList(n, values.length);
    boolean undirected = symmetric();
    for (int i = 0; i < n; i++) {
      for (int k = offsets[i]; k < offsets[i + 1]; k++) {
        if (values[k] != 0 && (undirected ? columns[k] < i : columns[k] != i)) {
          arcs.add(columns[k], i);
        }
      }
    }
    return arcs.toGraph(!undirected);
  }

  /**
   * rho = ||W - J||_2, the factor by which one round shrinks the distance from the mean at worst;
   * for symmetric W with row sums 1 it is max(|lambda_2|, |lambda_n|). 0 for one node.
   *
   * <p>To {@value Spectrum#DENSE_FIRST} nodes by a dense eigenvalue computation, exact to a few n
   * 2^-53 for symmetric W (for others rho^2 is). Above by Lanczos iteration to a relative residual
   * of {@value Spectrum#TOLERANCE}, which bounds the distance to an eigenvalue; where that does not
   * converge the dense computation serves to {@value Spectrum#DENSE_LIMIT} nodes.
   *
   * @throws IllegalStateException when the iteration does not converge on a larger matrix; the
   *     message gives the eigenvalues and the residual reached
   */
  public double spectralRadiusOnConsensus() {
    return spectrum().rho(this);
  }

  /** 1 - rho: see {@link #spectralRadiusOnConsensus}. */
  public double spectralGap() {
    return 1 - spectralRadiusOnConsensus();
  }

  /**
   * lambda_2, the largest eigenvalue on the vectors that sum to zero. 0 for one node. Precision and
   * errors as {@link #spectralRadiusOnConsensus}.
   *
   * @throws IllegalStateException also when the matrix is not symmetric or its rows do not have a
   *     common sum
   */
  public double secondEigenvalue() {
    requireSymmetric("lambda_2");
    return nodes() == 1 ? 0 : spectrum().largest(this);
  }

  /**
   * lambda_n, the smallest eigenvalue on the vectors that sum to zero; D^2 needs it above -1/3. 1
   * for one node. Precision and errors as {@link #secondEigenvalue}.
   */
  public double smallestEigenvalue() {
    requireSymmetric("lambda_n");
    return nodes() == 1 ? 1 : spectrum().smallest(this);
  }

  private void requireSymmetric(String what) {
    if (!symmetric()) {
      throw new IllegalStateException(
          what
              + " is defined for symmetric matrices and this one is not: take spectralRadiusOnConsensus");
    }
  }

  private Spectrum spectrum() {
    Spectrum found = spectrum;
    if (found == null) {
      found = new Spectrum();
      spectrum = found;
    }
    return found;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof MixingMatrix that
        && kind == that.kind
        && Arrays.equals(offsets, that.offsets)
        && Arrays.equals(columns, that.columns)
        && Arrays.equals(values, that.values);
  }

  @Override
  public int hashCode() {
    return 31 * Arrays.hashCode(values) + Arrays.hashCode(columns);
  }

  @Override
  public String toString() {
    return kind.words() + " matrix of " + nodes() + " nodes with " + values.length + " entries";
  }
}
