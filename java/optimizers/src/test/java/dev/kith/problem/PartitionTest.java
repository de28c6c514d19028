package dev.kith.problem;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import net.jqwik.api.Assume;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class PartitionTest {
  private static ClassificationData data(int samples, int classes) {
    int[] labels = new int[samples];
    Arrays.setAll(labels, i -> (i * 7) % classes);
    return ClassificationData.of("made", 1, classes, new float[samples], labels);
  }

  /** Mean over nodes of the share that the most frequent class has among a node's samples. */
  private static double skew(ClassificationData data, int[][] parts) {
    double sum = 0;
    for (int[] part : parts) {
      int[] counts = new int[data.classes()];
      for (int label : data.labels(part)) {
        counts[label]++;
      }
      sum += (double) Arrays.stream(counts).max().orElseThrow() / part.length;
    }
    return sum / parts.length;
  }

  @Property(tries = 100)
  void everySampleGoesToOneNodeAndSizesDifferByAtMostOne(
      @ForAll @IntRange(min = 1, max = 700) int samples,
      @ForAll @IntRange(min = 1, max = 40) int nodes,
      @ForAll @IntRange(min = 1, max = 12) int classes,
      @ForAll @IntRange(min = -6, max = 6) int power,
      @ForAll long seed) {
    Assume.that(nodes <= samples);
    ClassificationData data = data(samples, classes);
    for (Partition partition :
        new Partition[] {Partition.iid(), Partition.dirichlet(Math.pow(10, power))}) {
      int[][] parts = partition.split(data, nodes, seed);
      assertEquals(nodes, parts.length);
      boolean[] taken = new boolean[samples];
      for (int[] part : parts) {
        assertTrue(part.length == samples / nodes || part.length == samples / nodes + 1);
        for (int k = 0; k < part.length; k++) {
          assertTrue(!taken[part[k]], "no sample twice");
          assertTrue(k == 0 || part[k - 1] < part[k], "ascending");
          taken[part[k]] = true;
        }
      }
    }
  }

  @Test
  void skewFallsWithAlpha() {
    ClassificationData data = data(8000, 10);
    double[] skew = new double[4];
    double[] alphas = {0.01, 0.1, 0.5, 100};
    for (int i = 0; i < 4; i++) {
      skew[i] = skew(data, Partition.dirichlet(alphas[i]).split(data, 16, 1));
    }
    assertTrue(skew[0] > 0.5 && skew[0] > skew[1] && skew[1] > skew[2] && skew[2] > skew[3]);
    // Expected largest of ten shares of 500 samples: 0.10 plus about two standard deviations of
    // 0.0134.
    assertTrue(skew[3] < 0.17, Arrays.toString(skew));
    assertTrue(skew(data, Partition.iid().split(data, 16, 1)) < 0.15);
  }

  @Test
  void theFirstMomentOfTheDirichletWeightsIsUniform() {
    // Over 400 nodes with alpha 0.5 and enough samples, the mean share of each class is 1/4 with
    // standard deviation
    // sqrt(0.25 * 0.75 / 3 / 400) = 0.0125, were samples without end; four of those are allowed.
    ClassificationData data = data(40_000, 4);
    int[][] parts = Partition.dirichlet(0.5).split(data, 400, 5);
    double[] mean = new double[4];
    for (int[] part : parts) {
      for (int label : data.labels(Arrays.copyOf(part, 40))) {
        mean[label] += 1.0 / (40 * 400);
      }
    }
    for (double share : mean) {
      assertEquals(0.25, share, 4 * 0.0125);
    }
  }

  @Test
  void theSeedDecides() {
    ClassificationData data = data(300, 5);
    for (Partition partition : new Partition[] {Partition.iid(), Partition.dirichlet(0.5)}) {
      int[][] one = partition.split(data, 7, 1);
      int[][] two = partition.split(data, 7, 2);
      assertArrayEquals(one, partition.split(data, 7, 1));
      assertNotEquals(Arrays.deepToString(one), Arrays.deepToString(two));
    }
  }

  @Test
  void namesAreReadBack() {
    for (String name : new String[] {"iid", "dirichlet:0.5", "dirichlet:10"}) {
      assertEquals(name, Partition.parse(name).name());
    }
    assertEquals(
        "unknown partition 'shards'; known are iid and dirichlet:ALPHA",
        assertThrows(IllegalArgumentException.class, () -> Partition.parse("shards")).getMessage());
    assertThrows(IllegalArgumentException.class, () -> Partition.parse("dirichlet:a"));
    assertThrows(IllegalArgumentException.class, () -> Partition.parse("dirichlet:0"));
    assertThrows(IllegalArgumentException.class, () -> Partition.parse("dirichlet:NaN"));
    assertEquals(
        "cannot deal 3 samples to 4 nodes: every node needs one",
        assertThrows(IllegalArgumentException.class, () -> Partition.iid().split(data(3, 2), 4, 1))
            .getMessage());
  }

  @Test
  void splitsHaveNoCommonSample() {
    float[] values = new float[100];
    for (int i = 0; i < 100; i++) {
      values[i] = i;
    }
    ClassificationData data = ClassificationData.of("made", 1, 2, values, new int[100]);
    ClassificationData.Split split = data.split(20, 3);
    boolean[] seen = new boolean[100];
    for (ClassificationData part : new ClassificationData[] {split.train(), split.test()}) {
      for (int i = 0; i < part.samples(); i++) {
        int value = (int) part.value(i, 0);
        assertTrue(!seen[value]);
        seen[value] = true;
      }
    }
    assertEquals(80, split.train().samples());
    assertThrows(IllegalArgumentException.class, () -> data.split(100, 1));
    assertThrows(IllegalArgumentException.class, () -> data.split(0, 1));
  }

  @Test
  void wrongShapesAndLabelsAreRefused() {
    assertThrows(
        IllegalArgumentException.class,
        () -> ClassificationData.of("x", 2, 2, new float[3], new int[2]));
    assertEquals(
        "label 2 of sample 1 lies outside [0, 2)",
        assertThrows(
                IllegalArgumentException.class,
                () -> ClassificationData.of("x", 1, 2, new float[2], new int[] {0, 2}))
            .getMessage());
  }
}
