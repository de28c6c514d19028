package dev.kith.kernel;

import static dev.kith.kernel.Contract.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.DType;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * The tree over nodes, and that it gives the same bits however the nodes are cut over processes.
 */
class NodeTreeTest {
  private static double run(int[] program, double[] values) {
    double[] out = results(program, values);
    assertEquals(1, out.length);
    return out[0];
  }

  private static double[] results(int[] program, double[] values) {
    double[][] x = new double[values.length][];
    for (int i = 0; i < x.length; i++) {
      x[i] = new double[] {values[i]};
    }
    double[][] out = Oracle.nodes(program, DType.F64, x, new double[0][], 1, 1);
    double[] flat = new double[out.length];
    for (int i = 0; i < out.length; i++) {
      flat[i] = out[i][0];
    }
    return flat;
  }

  @Test
  void programPairsNeighboursAndMovesAnOddOneUp() {
    for (int n = 1; n <= 70; n++) {
      double[] values = Samples.row(Samples.Kind.WIDE, DType.F64, n, n);
      assertEquals(Oracle.tree(values), run(NodeTree.program(n), values), "n = " + n);
    }
  }

  @Test
  void everyCutOverProcessesGivesTheSameBits() {
    for (int n : new int[] {1, 2, 3, 5, 8, 13, 16, 21}) {
      double[] values = Samples.row(Samples.Kind.WIDE, DType.F64, n, 100 + n);
      for (int first = 0; first <= n; first++) {
        for (int second = first; second <= n; second++) {
          assertEquals(
              Oracle.tree(values),
              cut(values, 0, first, second, n),
              "n = " + n + " cut at " + first + " and " + second);
        }
      }
    }
  }

  /** Each process sums its maximal subtrees; everyone finishes. */
  private static double cut(double[] values, int... borders) {
    int n = values.length;
    List<NodeTree.Range> ranges = new ArrayList<>();
    List<Double> sums = new ArrayList<>();
    for (int p = 0; p + 1 < borders.length; p++) {
      int begin = borders[p];
      int end = borders[p + 1];
      List<NodeTree.Range> own = NodeTree.maximalSubtrees(n, begin, end);
      assertTrue(own.size() <= 2 * (32 - Integer.numberOfLeadingZeros(n)), own.toString());
      ranges.addAll(own);
      double[] local = java.util.Arrays.copyOfRange(values, begin, end);
      for (double s : results(NodeTree.subtreeProgram(n, begin, end), local)) {
        sums.add(s);
      }
    }
    assertEquals(ranges.size(), sums.size());
    return run(
        NodeTree.finishProgram(n, ranges),
        sums.stream().mapToDouble(Double::doubleValue).toArray());
  }

  @Test
  void subtreesCoverTheRangeInOrder() {
    List<NodeTree.Range> own = NodeTree.maximalSubtrees(13, 3, 11);
    assertEquals(
        List.of(
            new NodeTree.Range(3, 4),
            new NodeTree.Range(4, 8),
            new NodeTree.Range(8, 10),
            new NodeTree.Range(10, 11)),
        own);
  }

  @Test
  void impossibleTreesAreRefused() {
    refused("0", () -> NodeTree.program(0));
    refused("[5, 4)", () -> NodeTree.maximalSubtrees(8, 5, 4));
    refused("[3, 9)", () -> NodeTree.maximalSubtrees(8, 3, 9));
    refused("[4, 8)", () -> NodeTree.finishProgram(8, List.of(new NodeTree.Range(0, 4))));
    refused(
        "begin=0, end=3",
        () ->
            NodeTree.finishProgram(4, List.of(new NodeTree.Range(0, 3), new NodeTree.Range(3, 4))));
  }
}
