package dev.kith.graph;

import static dev.kith.graph.Matrices.messageOf;
import static dev.kith.graph.Matrices.refusal;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.graph.MixingMatrix.Kind;
import org.hipparchus.linear.Array2DRowRealMatrix;
import org.hipparchus.linear.SingularValueDecomposition;
import org.junit.jupiter.api.Test;

class MixingMatrixTest {
  private static MixingMatrix dense(Kind kind, double[]... rows) {
    return MixingMatrix.ofDense(kind, rows);
  }

  @Test
  void entriesComeBackAsTheyWent() {
    long[] offsets = {0, 2, 3};
    int[] columns = {0, 1, 1};
    double[] values = {0.25, 0.75, 1};
    MixingMatrix w = MixingMatrix.of(Kind.ROW_STOCHASTIC, 2, offsets, columns, values);
    assertArrayEquals(offsets, w.rowOffsets());
    assertArrayEquals(columns, w.columns());
    assertArrayEquals(values, w.values());
    assertEquals(2, w.nodes());
    assertEquals(3, w.entries());
    assertEquals(Kind.ROW_STOCHASTIC, w.kind());
    assertEquals(0.75, w.get(0, 1));
    assertEquals(0, w.get(1, 0));
    assertEquals(2, w.rowBegin(1));
    assertEquals(1, w.column(2));
    assertEquals(0.75, w.value(1));
    assertEquals(w, dense(Kind.ROW_STOCHASTIC, w.toDense()));
    assertEquals("row-stochastic matrix of 2 nodes with 3 entries", w.toString());
  }

  @Test
  void laterChangesOfTheArraysDoNotReachTheMatrix() {
    int[] columns = {0, 1};
    double[] values = {1, 1};
    MixingMatrix w =
        MixingMatrix.of(Kind.DOUBLY_STOCHASTIC, 2, new long[] {0, 1, 2}, columns, values);
    columns[0] = 1;
    values[0] = 5;
    w.columns()[1] = 0;
    w.values()[1] = 7;
    w.rowOffsets()[1] = 0;
    assertEquals(MixingMatrix.identity(2), w);
  }

  @Test
  void aBrokenKindNamesTheRowOrColumnAndByHowMuch() {
    assertEquals(
        "the matrix is not doubly-stochastic: row 1 sums to 1.25, off by 0.250 where rounding explains 2e-15",
        refusal(
            () ->
                dense(Kind.DOUBLY_STOCHASTIC, new double[] {0.5, 0.5}, new double[] {0.5, 0.75})));
    assertEquals(
        "the matrix is not doubly-stochastic: column 0 sums to 1.5, off by 0.500 where rounding explains 2e-15",
        refusal(() -> dense(Kind.DOUBLY_STOCHASTIC, new double[] {0.5, 0.5}, new double[] {1, 0})));
    assertEquals(
        "the matrix is not column-stochastic: column 1 sums to 0.5, off by -0.500 where rounding explains 1e-15",
        refusal(
            () -> dense(Kind.COLUMN_STOCHASTIC, new double[] {0.5, 0.5}, new double[] {0.5, 0})));
    assertEquals(
        "the matrix is not row-stochastic: row 0 sums to 0.999999, off by -1.00e-06 where rounding explains 2e-15",
        refusal(
            () ->
                dense(
                    Kind.ROW_STOCHASTIC,
                    new double[] {0.333333, 0.333333, 0.333333},
                    new double[] {1, 0, 0},
                    new double[] {1, 0, 0})));
    assertEquals(
        "the matrix is not zero-row-sums: row 1 sums to 1.0, off by 1.00 where rounding explains 4e-15",
        refusal(() -> dense(Kind.ZERO_ROW_SUMS, new double[] {1, -1}, new double[] {-1, 2})));
  }

  @Test
  void sumsMayBeOffByRoundingAndNoMore() {
    double third = 1.0 / 3;
    double[][] rows = {{third, third, 1 - third - third}, {1, 0, 0}, {1, 0, 0}};
    assertEquals(Kind.ROW_STOCHASTIC, dense(Kind.ROW_STOCHASTIC, rows).kind());
    rows[0][2] += 5 * 2 * Math.ulp(1.0);
    assertEquals(Kind.ROW_STOCHASTIC, dense(Kind.ROW_STOCHASTIC, rows).kind());
    rows[0][2] += 3 * Math.ulp(1.0);
    assertTrue(
        refusal(() -> dense(Kind.ROW_STOCHASTIC, rows))
            .contains("row 0 sums to 1.0000000000000029"));
  }

  @Test
  void negativeWeightsAreWeights() {
    MixingMatrix w =
        dense(Kind.DOUBLY_STOCHASTIC, new double[] {-0.5, 1.5}, new double[] {1.5, -0.5});
    assertTrue(w.symmetric());
    assertEquals(-2, w.secondEigenvalue(), 1e-15);
    assertEquals(2, w.spectralRadiusOnConsensus(), 1e-15);
  }

  @Test
  void malformedArraysAreRefused() {
    assertEquals(
        "a mixing matrix needs at least one node, not 0",
        refusal(
            () -> MixingMatrix.of(Kind.ROW_STOCHASTIC, 0, new long[1], new int[0], new double[0])));
    assertEquals(
        "2 nodes need 3 row offsets starting with 0, not 2 starting with 0",
        refusal(
            () -> MixingMatrix.of(Kind.ROW_STOCHASTIC, 2, new long[2], new int[0], new double[0])));
    assertEquals(
        "2 nodes need 3 row offsets starting with 0, not 0",
        refusal(
            () -> MixingMatrix.of(Kind.ROW_STOCHASTIC, 2, new long[0], new int[0], new double[0])));
    assertEquals(
        "the row offsets end at 2, but there are 2 columns and 1 values: all three must agree",
        refusal(
            () ->
                MixingMatrix.of(
                    Kind.ROW_STOCHASTIC, 2, new long[] {0, 1, 2}, new int[2], new double[1])));
    assertEquals(
        "row 1 goes from offset 1 to 3: offsets must not descend or pass the end at 2",
        refusal(
            () ->
                MixingMatrix.of(
                    Kind.ROW_STOCHASTIC, 3, new long[] {0, 1, 3, 2}, new int[2], new double[2])));
    assertEquals(
        "row 1 goes from offset 2 to 1: offsets must not descend or pass the end at 2",
        refusal(
            () ->
                MixingMatrix.of(
                    Kind.ROW_STOCHASTIC, 3, new long[] {0, 2, 1, 2}, new int[2], new double[2])));
    assertEquals(
        "row 1 has column 2, but the nodes are 0 to 1",
        refusal(
            () ->
                MixingMatrix.of(
                    Kind.ROW_STOCHASTIC,
                    2,
                    new long[] {0, 1, 2},
                    new int[] {0, 2},
                    new double[2])));
    assertEquals(
        "row 0 has column 0 after 0: columns must ascend",
        refusal(
            () ->
                MixingMatrix.of(
                    Kind.ROW_STOCHASTIC,
                    1,
                    new long[] {0, 2},
                    new int[] {0, 0},
                    new double[] {0.5, 0.5})));
    assertEquals(
        "weight (0, 0) is NaN: weights must be finite",
        refusal(
            () ->
                MixingMatrix.of(
                    Kind.ROW_STOCHASTIC,
                    1,
                    new long[] {0, 1},
                    new int[1],
                    new double[] {Double.NaN})));
    assertEquals(
        "row 1 has 1 entries, but there are 2 rows: give a square matrix",
        refusal(() -> dense(Kind.ROW_STOCHASTIC, new double[] {1, 0}, new double[] {1})));
  }

  @Test
  void identityAndUniformAreTheEndsOfMixing() {
    double[][] x = {{1, 2}, {3, 5}, {8, 2}};
    assertArrayEquals(x, MixingMatrix.identity(3).times(x));
    double[][] mean = MixingMatrix.uniform(3).times(x);
    for (double[] row : mean) {
      assertArrayEquals(new double[] {4, 3}, row, 1e-15);
    }
    assertEquals(1, MixingMatrix.identity(3).spectralRadiusOnConsensus(), 1e-15);
    assertEquals(0, MixingMatrix.uniform(3).spectralRadiusOnConsensus(), 1e-15);
    assertEquals(
        "a matrix of 3 nodes cannot mix 2 rows",
        refusal(() -> MixingMatrix.identity(3).times(new double[2][1])));
  }

  @Test
  void lazyHalvesTheWay() {
    MixingMatrix w = new WeightRule.Metropolis().weights(Topologies.ring(8));
    MixingMatrix lazy = w.lazy();
    assertEquals((1 + w.secondEigenvalue()) / 2, lazy.secondEigenvalue(), 1e-14);
    assertEquals(1.0 / 3, lazy.smallestEigenvalue(), 1e-14);
    // A row without a self weight gets one, first, in the middle or last.
    MixingMatrix cycle =
        dense(
            Kind.DOUBLY_STOCHASTIC,
            new double[] {0, 1, 0},
            new double[] {0, 0, 1},
            new double[] {1, 0, 0});
    assertEquals(
        dense(
            Kind.DOUBLY_STOCHASTIC,
            new double[] {0.5, 0.5, 0},
            new double[] {0, 0.5, 0.5},
            new double[] {0.5, 0, 0.5}),
        cycle.lazy());
    assertEquals(
        "a matrix with zero row sums has no lazy form: take that of I - L / d",
        refusal(() -> Laplacian.of(Topologies.ring(4)).matrix().lazy()));
  }

  @Test
  void transposingTurnsRowsIntoColumns() {
    MixingMatrix w = dense(Kind.ROW_STOCHASTIC, new double[] {0.25, 0.75}, new double[] {0, 1});
    MixingMatrix turned = w.transposed();
    assertEquals(Kind.COLUMN_STOCHASTIC, turned.kind());
    assertArrayEquals(new double[][] {{0.25, 0}, {0.75, 1}}, turned.toDense());
    assertEquals(w, turned.transposed());
    MixingMatrix laplacian = Laplacian.of(Topologies.path(4)).matrix();
    assertEquals(laplacian, laplacian.transposed());
    MixingMatrix differences = dense(Kind.ZERO_ROW_SUMS, new double[] {1, -1}, new double[] {0, 0});
    assertEquals(
        "the transpose of a matrix with zero row sums has no kind of its own",
        refusal(differences::transposed));
  }

  @Test
  void permutedMatricesMixRenumberedNodes() {
    MixingMatrix w = new WeightRule.OutDegree().weights(Topologies.exponential(7));
    int[] p = {3, 6, 0, 5, 1, 2, 4};
    MixingMatrix permuted = w.permuted(p);
    for (int i = 0; i < 7; i++) {
      for (int j = 0; j < 7; j++) {
        assertEquals(w.get(p[i], p[j]), permuted.get(i, j));
      }
    }
    assertEquals(w.kind(), permuted.kind());
    assertEquals(
        "a permutation of 7 nodes has as many numbers, not 2",
        refusal(() -> w.permuted(new int[] {0, 1})));
    assertEquals(
        "node 0 is given twice or is not one of 0 to 6", refusal(() -> w.permuted(new int[7])));
  }

  @Test
  void blocksWithoutOutsideLinksAreMatricesOfTheirOwn() {
    MixingMatrix w = new WeightRule.Metropolis().weights(Topologies.ring(6).without(0, 3));
    assertEquals(new WeightRule.Metropolis().weights(Topologies.path(2)), w.restrictedTo(5, 4));
    assertEquals(
        "node 1 has a weight for node 2 outside the block", refusal(() -> w.restrictedTo(0, 1)));
    MixingMatrix oneWay = dense(Kind.DOUBLY_STOCHASTIC, new double[] {1, 0}, new double[] {0, 1});
    assertEquals(
        "node 2 is given twice or is not one of 0 to 1", refusal(() -> oneWay.restrictedTo(2)));
  }

  @Test
  void theGraphOfAMatrixIsWhoSendsToWhom() {
    for (Graph graph : Matrices.smallGraphs()) {
      assertEquals(graph, new WeightRule.Metropolis().weights(graph).graph());
    }
    Graph exponential = Topologies.exponential(11);
    assertEquals(exponential, new WeightRule.Metropolis().weights(exponential).graph());
    assertEquals(exponential, new WeightRule.OutDegree().weights(exponential).graph());
  }

  @Test
  void symmetryIsUpToTheRoundingOfAWeight() {
    double third = 1.0 / 3;
    double[][] rows = {{1 - third, third}, {third, 1 - third}};
    assertTrue(dense(Kind.DOUBLY_STOCHASTIC, rows).symmetric());
    rows[0][1] = Math.nextUp(third);
    assertTrue(dense(Kind.DOUBLY_STOCHASTIC, rows).symmetric());
    rows[0][1] = third + 5 * Math.ulp(third);
    assertFalse(dense(Kind.DOUBLY_STOCHASTIC, rows).symmetric());
    assertFalse(
        dense(Kind.ROW_STOCHASTIC, new double[] {0.5, 0.5}, new double[] {0, 1}).symmetric());
  }

  @Test
  void rhoOfAsymmetricMatricesIsTheLargestSingularValue() {
    for (long seed = 0; seed < 20; seed++) {
      MixingMatrix w = MixingSchedule.sparseGossip(12, 1.7, seed).at(seed);
      double[][] off = w.toDense();
      for (double[] row : off) {
        for (int j = 0; j < row.length; j++) {
          row[j] -= 1.0 / row.length;
        }
      }
      double expected =
          new SingularValueDecomposition(new Array2DRowRealMatrix(off, false)).getNorm();
      assertEquals(expected, w.spectralRadiusOnConsensus(), 1e-13);
      assertEquals(expected, w.transposed().spectralRadiusOnConsensus(), 1e-13);
    }
  }

  @Test
  void eigenvaluesOfAsymmetricMatricesAreRefused() {
    MixingMatrix w = new WeightRule.Metropolis().weights(Topologies.exponential(5));
    assertEquals(
        "lambda_2 is defined for symmetric matrices and this one is not: take spectralRadiusOnConsensus",
        messageOf(IllegalStateException.class, w::secondEigenvalue));
    assertEquals(
        "lambda_n is defined for symmetric matrices and this one is not: take spectralRadiusOnConsensus",
        messageOf(IllegalStateException.class, w::smallestEigenvalue));
  }

  @Test
  void oneNodeHasNothingToAgreeOn() {
    MixingMatrix w = MixingMatrix.identity(1);
    assertEquals(0, w.spectralRadiusOnConsensus());
    assertEquals(1, w.spectralGap());
    assertEquals(0, w.secondEigenvalue());
    assertEquals(1, w.smallestEigenvalue());
  }

  @Test
  void equalityRegardsKindAndWeights() {
    MixingMatrix identity = MixingMatrix.identity(2);
    double[][] rows = identity.toDense();
    assertEquals(identity, dense(Kind.DOUBLY_STOCHASTIC, rows));
    assertEquals(identity.hashCode(), dense(Kind.DOUBLY_STOCHASTIC, rows).hashCode());
    assertNotEquals(identity, dense(Kind.ROW_STOCHASTIC, rows));
    assertNotEquals(identity, MixingMatrix.uniform(2));
  }
}
