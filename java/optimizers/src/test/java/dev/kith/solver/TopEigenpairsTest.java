package dev.kith.solver;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class TopEigenpairsTest {
  /** Eigenvalues behind a random reflection: I - 2 r r^T. */
  private static TopEigenpairs.Operator reflected(double[] values) {
    double[] r = new double[values.length];
    SharedRandom random = new SharedRandom(3, Stream.TEST, 0, 0);
    Arrays.setAll(r, random::normal);
    double norm = Math.sqrt(Arrays.stream(r).map(v -> v * v).sum());
    Arrays.setAll(r, k -> r[k] / norm);
    return (x, y) -> {
      double[] inner = reflect(r, x);
      Arrays.setAll(inner, k -> inner[k] * values[k]);
      System.arraycopy(reflect(r, inner), 0, y, 0, y.length);
    };
  }

  private static double[] reflect(double[] r, double[] x) {
    double dot = 0;
    for (int k = 0; k < x.length; k++) {
      dot += r[k] * x[k];
    }
    double[] image = x.clone();
    for (int k = 0; k < x.length; k++) {
      image[k] -= 2 * dot * r[k];
    }
    return image;
  }

  @Test
  void theLargestAreFoundWithTheirVectors() {
    double[] values = new double[200];
    Arrays.setAll(values, k -> k == 17 ? 9 : k == 80 ? 7.5 : k == 3 ? -20 : StrictMath.sin(k));
    TopEigenpairs.Operator operator = reflected(values);
    TopEigenpairs found = TopEigenpairs.of(200, operator, 3, 1e-12, 200, 1);
    assertEquals(9, found.values()[0], 1e-10);
    assertEquals(7.5, found.values()[1], 1e-10);
    assertEquals(
        Arrays.stream(values).filter(v -> v < 7).max().orElseThrow(), found.values()[2], 1e-10);
    assertTrue(found.residual() <= 1e-12);
    assertTrue(TopEigenpairs.of(200, operator, 1, 1e-10, 200, 1).products() < 60);
    for (int k = 0; k < 2; k++) {
      double[] product = new double[200];
      operator.apply(found.vectors()[k], product);
      double[] expected = found.vectors()[k].clone();
      double value = found.values()[k];
      Arrays.setAll(expected, i -> value * expected[i]);
      assertArrayEquals(expected, product, 1e-9);
    }
  }

  @Test
  void smallOperatorsAreExhausted() {
    TopEigenpairs one = TopEigenpairs.of(1, (x, y) -> y[0] = -3 * x[0], 1, 1e-9, 5, 1);
    assertArrayEquals(new double[] {-3}, one.values(), 1e-15);
    TopEigenpairs zero = TopEigenpairs.of(4, (x, y) -> Arrays.fill(y, 0), 2, 1e-9, 4, 1);
    assertArrayEquals(new double[] {0, 0}, zero.values(), 1e-15);
    TopEigenpairs all = TopEigenpairs.of(3, reflected(new double[] {5, -1, 2}), 3, 1e-9, 3, 1);
    assertArrayEquals(new double[] {5, 2, -1}, all.values(), 1e-13);
  }

  @Test
  void anEigenvalueThatOccursTwiceIsGoneOnBehind() {
    double[] identity = {4, 4, 4, 4, 4, 4};
    TopEigenpairs found = TopEigenpairs.of(6, reflected(identity), 3, 1e-9, 6, 1);
    assertArrayEquals(new double[] {4, 4, 4}, found.values(), 1e-12);
    for (int a = 0; a < 3; a++) {
      for (int b = 0; b < 3; b++) {
        double dot = 0;
        for (int i = 0; i < 6; i++) {
          dot += found.vectors()[a][i] * found.vectors()[b][i];
        }
        assertEquals(a == b ? 1 : 0, dot, 1e-12);
      }
    }
  }

  @Test
  void fewStepsSayWhatTheyLeave() {
    double[] values = new double[300];
    Arrays.setAll(values, k -> k);
    TopEigenpairs found = TopEigenpairs.of(300, reflected(values), 1, 1e-14, 8, 1);
    assertEquals(8, found.products());
    assertTrue(found.residual() > 1e-6, "residual " + found.residual());
    assertTrue(found.values()[0] < 299);
  }

  @Test
  void whatIsImpossibleOrNotFiniteIsRefused() {
    TopEigenpairs.Operator identity = (x, y) -> System.arraycopy(x, 0, y, 0, x.length);
    assertThrows(
        IllegalArgumentException.class, () -> TopEigenpairs.of(3, identity, 4, 1e-9, 9, 1));
    assertThrows(
        IllegalArgumentException.class, () -> TopEigenpairs.of(3, identity, 2, 1e-9, 1, 1));
    assertThrows(IllegalArgumentException.class, () -> TopEigenpairs.of(3, identity, 1, 0, 9, 1));
    assertThrows(
        ArithmeticException.class,
        () -> TopEigenpairs.of(3, (x, y) -> Arrays.fill(y, Double.NaN), 1, 1e-9, 9, 1));
  }
}
