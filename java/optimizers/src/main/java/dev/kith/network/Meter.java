package dev.kith.network;

import java.util.Arrays;

/**
 * What the algorithm sends, counted for every node as if it were a machine of its own: node j sends
 * one message to node i wherever w_ij is not zero and i differs from j. So the counts of a
 * simulation are those of the network it stands for, and do not depend on how the nodes are cut
 * over processes. An average over m nodes counts one message a node up the binary tree of these
 * nodes and one down, 2 (m - 1) in all. A message counts its numbers, without headers.
 *
 * <p>{@link #transportBytes} counts what this process really handed to its transport. Used by one
 * thread at a time.
 */
public final class Meter {
  private long rounds;
  private long transportBytes;
  private final long[] messages;
  private final long[] bytes;

  Meter(int nodes) {
    this.messages = new long[nodes];
    this.bytes = new long[nodes];
  }

  /** Exchanges so far: mixings with neighbours, and averages over all nodes. */
  public long rounds() {
    return rounds;
  }

  /** Messages that all nodes sent. */
  public long messages() {
    return Arrays.stream(messages).sum();
  }

  /** Messages that one node sent. */
  public long messages(int node) {
    return messages[node];
  }

  /** Bytes that all nodes sent. */
  public long bytes() {
    return Arrays.stream(bytes).sum();
  }

  /** Bytes that one node sent. */
  public long bytes(int node) {
    return bytes[node];
  }

  /** Bytes that this process handed to its transport, measuring and reporting included. */
  public long transportBytes() {
    return transportBytes;
  }

  /**
   * All counts as one array, for a snapshot: rounds, transport bytes, messages by node, bytes by
   * node.
   */
  public long[] counts() {
    long[] counts = new long[2 + 2 * messages.length];
    counts[0] = rounds;
    counts[1] = transportBytes;
    System.arraycopy(messages, 0, counts, 2, messages.length);
    System.arraycopy(bytes, 0, counts, 2 + messages.length, bytes.length);
    return counts;
  }

  /**
   * Takes over the counts of a snapshot.
   *
   * @throws IllegalArgumentException when they belong to another number of nodes
   */
  public void counts(long[] counts) {
    if (counts.length != 2 + 2 * messages.length) {
      throw new IllegalArgumentException(
          "There are "
              + counts.length
              + " counts where "
              + messages.length
              + " nodes have "
              + (2 + 2 * messages.length));
    }
    rounds = counts[0];
    transportBytes = counts[1];
    System.arraycopy(counts, 2, messages, 0, messages.length);
    System.arraycopy(counts, 2 + messages.length, bytes, 0, bytes.length);
  }

  /** One exchange in which node j sends {@code sent[j]} messages of the given length. */
  void round(int[] sent, long messageBytes) {
    rounds++;
    more(sent, messageBytes);
  }

  /** Further messages of the last exchange. */
  void more(int[] sent, long messageBytes) {
    for (int j = 0; j < sent.length; j++) {
      messages[j] += sent[j];
      bytes[j] += sent[j] * messageBytes;
    }
  }

  /** Numbers that travel in the messages of the last exchange. */
  void rider(int[] sent, long messageBytes) {
    for (int j = 0; j < sent.length; j++) {
      bytes[j] += sent[j] * messageBytes;
    }
  }

  /**
   * One average over the given nodes, ascending: a message from every node to its parent in their
   * tree, and one back.
   */
  void average(int[] present, long messageBytes) {
    rounds++;
    for (int k = 1; k < present.length; k++) {
      for (int node : new int[] {present[k], present[k & (k - 1)]}) {
        messages[node]++;
        bytes[node] += messageBytes;
      }
    }
  }

  void transported(long bytes) {
    transportBytes += bytes;
  }
}
