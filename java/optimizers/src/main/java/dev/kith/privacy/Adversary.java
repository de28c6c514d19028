package dev.kith.privacy;

import java.util.Set;
import java.util.TreeSet;

/**
 * Against whom a guarantee holds: what is known besides every message of every round and all public
 * parameters.
 */
public sealed interface Adversary {
  /** Somebody outside the network: knows no secret. */
  record Eavesdropper() implements Adversary {
    @Override
    public String toString() {
      return "an eavesdropper";
    }
  }

  /**
   * Any {@code coalition} nodes that follow the protocol and pool their secrets: their own noise
   * and that of every edge that they are an end of. The guarantee holds for the others, whichever
   * nodes these are.
   *
   * @param coalition how many pool their secrets, 1 or more; 1 is the single curious neighbour
   */
  record CuriousNeighbours(int coalition) implements Adversary {
    /** Refuses an empty coalition. */
    public CuriousNeighbours {
      if (coalition < 1) {
        throw new IllegalArgumentException(
            "a coalition has at least one node, not "
                + coalition
                + ": without one the adversary is an eavesdropper");
      }
    }

    @Override
    public String toString() {
      return coalition == 1 ? "any curious node" : "any " + coalition + " curious nodes together";
    }
  }

  /**
   * These nodes, which follow the protocol and pool their secrets; the guarantee holds for the
   * others.
   *
   * @param nodes the colluding nodes
   */
  record Colluding(Set<Integer> nodes) implements Adversary {
    /** Takes a copy, and refuses an empty set. */
    public Colluding {
      if (nodes.isEmpty()) {
        throw new IllegalArgumentException(
            "no node colludes: without one the adversary is an eavesdropper");
      }
      nodes = java.util.Collections.unmodifiableSet(new TreeSet<>(nodes));
    }

    @Override
    public String toString() {
      return "the colluding nodes " + nodes;
    }
  }

  /** Somebody outside the network. */
  static Adversary eavesdropper() {
    return new Eavesdropper();
  }

  /** Any one node of the network. */
  static Adversary curiousNeighbour() {
    return new CuriousNeighbours(1);
  }

  /** Any so many nodes of the network together. */
  static Adversary curiousNeighbours(int coalition) {
    return new CuriousNeighbours(coalition);
  }

  /** The given nodes together. */
  static Adversary colluding(Set<Integer> nodes) {
    return new Colluding(nodes);
  }
}
