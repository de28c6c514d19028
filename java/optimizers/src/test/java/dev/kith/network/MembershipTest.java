package dev.kith.network;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.kernel.NodeTree;
import java.util.List;
import org.junit.jupiter.api.Test;

class MembershipTest {
  @Test
  void evenCutsTileTheNodesAndDifferByAtMostOne() {
    for (int nodes = 1; nodes <= 40; nodes++) {
      for (int processes = 1; processes <= nodes; processes++) {
        Membership membership = Membership.even(nodes, processes);
        assertEquals(processes, membership.processes());
        assertEquals(nodes, membership.nodes());
        int smallest = Integer.MAX_VALUE;
        int largest = 0;
        for (int p = 0; p < processes; p++) {
          NodeTree.Range range = membership.ranges().get(p);
          smallest = Math.min(smallest, range.end() - range.begin());
          largest = Math.max(largest, range.end() - range.begin());
          for (int i = range.begin(); i < range.end(); i++) {
            assertEquals(p, membership.processOf(i));
          }
        }
        assertTrue(largest - smallest <= 1);
      }
    }
  }

  @Test
  void moreProcessesThanNodesAreRefused() {
    var e = assertThrows(IllegalArgumentException.class, () -> Membership.even(3, 4));
    assertTrue(e.getMessage().contains("3 nodes"), e.getMessage());
  }

  @Test
  void gapsAndUnknownNodesAreRefused() {
    var gap = List.of(new NodeTree.Range(0, 2), new NodeTree.Range(3, 4));
    assertThrows(IllegalArgumentException.class, () -> new Membership(0, gap));
    var empty = List.of(new NodeTree.Range(0, 2), new NodeTree.Range(2, 2));
    assertThrows(IllegalArgumentException.class, () -> new Membership(0, empty));
    assertThrows(IllegalArgumentException.class, () -> Membership.even(3, 2).processOf(3));
  }
}
