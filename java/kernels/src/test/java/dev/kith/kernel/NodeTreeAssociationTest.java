package dev.kith.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.kernel.NodeTree.Range;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** The association of sums over nodes, symbolically: any cut gives the tree of the whole. */
class NodeTreeAssociationTest {
  private static final int MOST = 70;

  /** The definition: pairs of neighbours level by level, an odd last one moves up. */
  private static String tree(int n) {
    List<String> level = new ArrayList<>(IntStream.range(0, n).mapToObj(i -> "" + i).toList());
    while (level.size() > 1) {
      List<String> above = new ArrayList<>();
      for (int i = 0; i + 1 < level.size(); i += 2) {
        above.add("(" + level.get(i) + " " + level.get(i + 1) + ")");
      }
      if (level.size() % 2 == 1) {
        above.add(level.getLast());
      }
      level = above;
    }
    return level.getFirst();
  }

  /** Runs a program on names; what is left, bottom first. */
  private static List<String> run(int[] program, List<String> inputs) {
    Deque<String> stack = new ArrayDeque<>();
    for (int p : program) {
      if (p == NodeTree.ADD) {
        String right = stack.pop();
        String left = stack.pop();
        stack.push("(" + left + " " + right + ")");
      } else {
        stack.push(inputs.get(p));
      }
    }
    return List.copyOf(stack).reversed();
  }

  private static List<String> names(int begin, int end) {
    return IntStream.range(begin, end).mapToObj(i -> "" + i).toList();
  }

  @Test
  void theProgramIsTheDefinition() {
    assertEquals("(((0 1) (2 3)) 4)", tree(5));
    for (int n = 1; n <= MOST; n++) {
      assertEquals(List.of(tree(n)), run(NodeTree.program(n), names(0, n)), "n = " + n);
    }
  }

  @Test
  void anyCutHasTheAssociationOfTheWhole() {
    for (int n = 1; n <= MOST; n++) {
      String whole = tree(n);
      for (int a = 0; a <= n; a++) {
        for (int b = a; b <= n; b++) {
          assertEquals(whole, overProcesses(n, 0, a, b, n), "n = " + n + ", cuts " + a + ", " + b);
        }
      }
    }
  }

  private static String overProcesses(int n, int... cuts) {
    List<Range> ranges = new ArrayList<>();
    List<String> sums = new ArrayList<>();
    for (int p = 0; p + 1 < cuts.length; p++) {
      int begin = cuts[p];
      int end = cuts[p + 1];
      List<Range> own = NodeTree.maximalSubtrees(n, begin, end);
      List<String> left = run(NodeTree.subtreeProgram(n, begin, end), names(begin, end));
      assertEquals(own.size(), left.size());
      ranges.addAll(own);
      sums.addAll(left);
    }
    List<String> result = run(NodeTree.finishProgram(n, ranges), sums);
    assertEquals(1, result.size());
    return result.getFirst();
  }

  @Test
  void aRangeIsCoveredByFewSubtrees() {
    for (int n = 1; n <= MOST; n++) {
      int most = Math.max(1, 2 * (32 - Integer.numberOfLeadingZeros(n - 1)));
      for (int begin = 0; begin < n; begin++) {
        for (int end = begin + 1; end <= n; end++) {
          List<Range> subtrees = NodeTree.maximalSubtrees(n, begin, end);
          assertTrue(subtrees.size() <= most, subtrees + " of " + n);
          int at = begin;
          for (Range range : subtrees) {
            assertEquals(at, range.begin());
            at = range.end();
          }
          assertEquals(end, at);
        }
      }
    }
    assertEquals(List.of(), NodeTree.maximalSubtrees(7, 3, 3));
    assertEquals(
        List.of(new Range(1, 2), new Range(2, 4), new Range(4, 6)),
        NodeTree.maximalSubtrees(8, 1, 6));
  }

  @Test
  void theHostSumsOnTheSameTree() {
    // Numbers so far apart that another association gives another sum.
    for (int n = 1; n <= MOST; n++) {
      double[] values = new double[n];
      for (int i = 0; i < n; i++) {
        values[i] = (i % 2 == 0 ? 1 : -1) * Math.pow(3, 5 * i % 37);
      }
      Deque<Double> stack = new ArrayDeque<>();
      for (int p : NodeTree.program(n)) {
        if (p == NodeTree.ADD) {
          double right = stack.pop();
          stack.push(stack.pop() + right);
        } else {
          stack.push(values[p]);
        }
      }
      assertEquals(stack.pop(), Reduction.tree(values), 0.0);
    }
    assertEquals(0.0, Reduction.tree(new double[0]), 0.0);
  }

  @Test
  void inputsThatAreNoPartitionAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> NodeTree.program(0));
    assertThrows(IllegalArgumentException.class, () -> NodeTree.maximalSubtrees(4, 2, 5));
    assertThrows(IllegalArgumentException.class, () -> NodeTree.subtreeProgram(4, 3, 2));
    refused(4, new Range(0, 2));
    refused(4, new Range(0, 2), new Range(2, 4), new Range(4, 6));
    refused(4, new Range(0, 1), new Range(1, 3), new Range(3, 4));
    refused(4, new Range(2, 4), new Range(0, 2));
    refused(4);
  }

  private static void refused(int n, Range... inputs) {
    assertThrows(IllegalArgumentException.class, () -> NodeTree.finishProgram(n, List.of(inputs)));
  }
}
