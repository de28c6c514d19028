package dev.kith.kernel;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The binary tree that sums over nodes run on, so that they have the same bits however the nodes
 * are cut over processes: the node numbers 0, 1, ..., n - 1 are paired with their neighbours level
 * by level, and an odd last one moves up unchanged. For n = 5 it is ((0 1) (2 3)) 4. Thread-safe:
 * pure functions.
 *
 * <p>A tree is handed to {@link Reduction#nodes} as a postfix program: p &ge; 0 pushes input p,
 * {@link #ADD} replaces the two topmost values by their sum, the lower one on the left. A process
 * sums the maximal subtrees that it owns whole, at most 2 log2(n) of them; when all have exchanged
 * these, each finishes the tree.
 */
public final class NodeTree {
  /** The instruction that adds. */
  public static final int ADD = -1;

  private NodeTree() {}

  /**
   * Nodes {@code [begin, end)}.
   *
   * @param begin the first
   * @param end behind the last
   */
  public record Range(int begin, int end) {
    /** Checks. */
    public Range {
      if (begin < 0 || end < begin) {
        throw new IllegalArgumentException("nodes [" + begin + ", " + end + ") are no range");
      }
    }
  }

  /**
   * The whole tree, with node i as input i.
   *
   * @param n how many nodes, at least 1
   * @return a program that leaves one value
   */
  public static int[] program(int n) {
    checkNodes(n);
    Program program = new Program(n);
    program.subtree(0, n, 0);
    return program.code();
  }

  /**
   * The largest subtrees that lie inside of a range.
   *
   * @param n how many nodes, at least 1
   * @param begin the first node of the range
   * @param end behind its last
   * @return their ranges, ascending; together they are {@code [begin, end)}
   */
  public static List<Range> maximalSubtrees(int n, int begin, int end) {
    checkRange(n, begin, end);
    List<Range> found = new ArrayList<>();
    collect(0, n, begin, end, found);
    return found;
  }

  private static void collect(int from, int to, int begin, int end, List<Range> found) {
    if (to <= begin || end <= from) {
      return;
    }
    if (begin <= from && to <= end) {
      found.add(new Range(from, to));
      return;
    }
    int middle = middle(from, to);
    collect(from, middle, begin, end, found);
    collect(middle, to, begin, end, found);
  }

  /**
   * The sums that the process of the nodes {@code [begin, end)} contributes. Input i is its local
   * row i, node {@code begin + i}.
   *
   * @param n how many nodes there are in all, at least 1
   * @param begin its first node
   * @param end behind its last
   * @return a program that leaves one value for each of {@link #maximalSubtrees}, in that order
   */
  public static int[] subtreeProgram(int n, int begin, int end) {
    Program program = new Program(end - begin);
    for (Range range : maximalSubtrees(n, begin, end)) {
      program.subtree(range.begin(), range.end(), begin);
    }
    return program.code();
  }

  /**
   * Finishes the tree from the sums of subtrees.
   *
   * @param n how many nodes, at least 1
   * @param inputs the subtrees of all processes, ascending; input i of the program is the sum of
   *     the i-th
   * @return a program that leaves one value
   * @throws IllegalArgumentException if the inputs are not subtrees, or not each node is in one of
   *     them
   */
  public static int[] finishProgram(int n, List<Range> inputs) {
    checkNodes(n);
    Program program = new Program(inputs.size());
    int used = finish(0, n, inputs, 0, program);
    if (used != inputs.size()) {
      throw new IllegalArgumentException(
          inputs.get(used) + " is one subtree too many: the others have all " + n + " nodes");
    }
    return program.code();
  }

  /** Emits the subtree [from, to) out of inputs from the given one on; returns the next one. */
  private static int finish(int from, int to, List<Range> inputs, int next, Program program) {
    if (next == inputs.size()) {
      throw new IllegalArgumentException(
          "no subtree holds the nodes [" + from + ", " + to + "); inputs are " + inputs);
    }
    Range input = inputs.get(next);
    if (input.begin() == from && input.end() == to) {
      program.push(next);
      return next + 1;
    }
    if (to - from == 1) {
      throw new IllegalArgumentException(
          input + " is not the subtree expected at node " + from + "; inputs are " + inputs);
    }
    int middle = middle(from, to);
    int after = finish(middle, to, inputs, finish(from, middle, inputs, next, program), program);
    program.push(ADD);
    return after;
  }

  /** Where a subtree splits: behind the largest power of two of nodes that is not all of them. */
  private static int middle(int from, int to) {
    return from + Integer.highestOneBit(to - from - 1);
  }

  private static void checkNodes(int n) {
    if (n < 1) {
      throw new IllegalArgumentException("a tree of " + n + " nodes is impossible; at least 1");
    }
  }

  private static void checkRange(int n, int begin, int end) {
    checkNodes(n);
    if (begin < 0 || end < begin || end > n) {
      throw new IllegalArgumentException(
          "nodes [" + begin + ", " + end + ") do not lie in [0, " + n + ")");
    }
  }

  /** Collects instructions. */
  private static final class Program {
    private int[] code;
    private int length;

    Program(int inputs) {
      code = new int[Math.max(1, 2 * inputs)];
    }

    void push(int instruction) {
      if (length == code.length) {
        code = Arrays.copyOf(code, 2 * length);
      }
      code[length++] = instruction;
    }

    void subtree(int from, int to, int offset) {
      if (to - from == 1) {
        push(from - offset);
        return;
      }
      int middle = middle(from, to);
      subtree(from, middle, offset);
      subtree(middle, to, offset);
      push(ADD);
    }

    int[] code() {
      return Arrays.copyOf(code, length);
    }
  }
}
