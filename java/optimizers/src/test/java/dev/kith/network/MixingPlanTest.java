package dev.kith.network;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.device.Device;
import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.NodeTree;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class MixingPlanTest {
  /** Rows that sum to zero, directed, some rows empty, some stored zeros. */
  private static MixingMatrix random(int n, long seed) {
    SharedRandom random = new SharedRandom(seed, Stream.TEST, 0, 0);
    long[] offsets = new long[n + 1];
    List<Integer> columns = new ArrayList<>();
    List<Double> values = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      int begin = columns.size();
      for (int j = 0; j < n; j++) {
        if (random.uniform((long) i * n + j) < 0.25) {
          columns.add(j);
          values.add(j % 5 == 0 ? 0.0 : 1.0);
        }
      }
      double sum = values.subList(begin, values.size()).stream().mapToDouble(v -> v).sum();
      for (int k = begin; k < values.size() && sum != 0; k++) {
        if (values.get(k) != 0) {
          values.set(k, values.get(k) - sum);
          break;
        }
      }
      offsets[i + 1] = columns.size();
    }
    return MixingMatrix.of(
        MixingMatrix.Kind.ZERO_ROW_SUMS,
        n,
        offsets,
        columns.stream().mapToInt(j -> j).toArray(),
        values.stream().mapToDouble(v -> v).toArray());
  }

  @Test
  void whatOneProcessSendsIsWhatTheOtherExpects() {
    try (Queue queue = Device.cpu().newQueue()) {
      for (int processes : new int[] {1, 2, 3, 5, 11}) {
        MixingMatrix w = random(11, processes);
        Membership membership = Membership.even(11, processes);
        List<MixingPlan> plans = new ArrayList<>();
        for (int p = 0; p < processes; p++) {
          plans.add(new MixingPlan(w, membership, p, queue, MixingPlan.Form.ANY));
        }
        for (int from = 0; from < processes; from++) {
          for (int to = 0; to < processes; to++) {
            assertEquals(
                sent(plans.get(from), membership, from, to), expected(plans.get(to), from));
            assertEquals(needed(w, membership, from, to), expected(plans.get(to), from));
          }
        }
        plans.forEach(MixingPlan::close);
      }
    }
  }

  private static List<Integer> sent(MixingPlan plan, Membership membership, int from, int to) {
    List<Integer> nodes = new ArrayList<>();
    for (MixingPlan.Block block : plan.sends()) {
      for (int k = 0; block.peer() == to && k < block.rows(); k++) {
        nodes.add(membership.ranges().get(from).begin() + plan.sentRows()[block.first() + k]);
      }
    }
    return nodes;
  }

  private static List<Integer> expected(MixingPlan plan, int from) {
    List<Integer> nodes = new ArrayList<>();
    for (MixingPlan.Block block : plan.receives()) {
      for (int k = 0; block.peer() == from && k < block.rows(); k++) {
        nodes.add(plan.haloNodes()[block.first() + k]);
      }
    }
    return nodes;
  }

  private static List<Integer> needed(MixingMatrix w, Membership membership, int from, int to) {
    NodeTree.Range source = membership.ranges().get(from);
    NodeTree.Range target = membership.ranges().get(to);
    TreeSet<Integer> nodes = new TreeSet<>();
    for (int i = target.begin(); i < target.end(); i++) {
      for (int j = source.begin(); from != to && j < source.end(); j++) {
        if (w.get(i, j) != 0) {
          nodes.add(j);
        }
      }
    }
    return List.copyOf(nodes);
  }

  @Test
  void everyRowIsMixedOnceAndMessagesDoNotDependOnTheCut() {
    try (Queue queue = Device.cpu().newQueue()) {
      MixingMatrix w = random(13, 7);
      int[] whole;
      try (MixingPlan plan =
          new MixingPlan(w, Membership.even(13, 1), 0, queue, MixingPlan.Form.ANY)) {
        assertEquals(13, plan.interiorRows());
        assertEquals(0, plan.boundaryRows());
        assertTrue(plan.sends().isEmpty() && plan.receives().isEmpty());
        whole = plan.sentByNode();
      }
      for (int j = 0; j < 13; j++) {
        int count = 0;
        for (int i = 0; i < 13; i++) {
          count += i != j && w.get(i, j) != 0 ? 1 : 0;
        }
        assertEquals(count, whole[j]);
      }
      Membership membership = Membership.even(13, 4);
      for (int p = 0; p < 4; p++) {
        try (MixingPlan plan = new MixingPlan(w, membership, p, queue, MixingPlan.Form.ANY)) {
          NodeTree.Range range = membership.ranges().get(p);
          assertEquals(range.end() - range.begin(), plan.interiorRows() + plan.boundaryRows());
          assertEquals(List.of(box(whole)), List.of(box(plan.sentByNode())));
        }
      }
    }
  }

  private static List<Integer> box(int[] values) {
    return java.util.Arrays.stream(values).boxed().toList();
  }
}
