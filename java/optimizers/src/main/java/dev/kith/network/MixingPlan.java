package dev.kith.network;

import dev.kith.device.Queue;
import dev.kith.graph.MixingMatrix;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.NodeTree;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;

/**
 * One mixing matrix as one process sees it: the rows that need only its own nodes (interior), the
 * rows that need messages (boundary), the rows that others need (sent), and where a received row
 * stands in the halo.
 *
 * <p>Entries keep the order of global node numbers, so that a sum has the same order wherever the
 * nodes are cut. Halo rows ascend by global node, hence by owner; sent rows ascend by receiver,
 * then by node. With one process everything is interior. Entries that are exactly zero are left
 * out: they send nothing.
 */
final class MixingPlan implements AutoCloseable {
  /** Rows of one message: {@code rows} rows from {@code first} of the send or halo buffer. */
  record Block(int peer, int first, int rows) {}

  private static final int LARGEST_DENSE = 4096;

  /** Which forms of a mixing matrix the operation that uses it takes. */
  enum Form {
    /** A full matrix may be dense, which is faster for rows. */
    ANY,
    /** Sparse: messages are not mixed with dense ones. */
    SPARSE
  }

  private final Form form;
  private final int[] sentByNode;
  private final int[] haloNodes;
  private final int[] sentRows;
  private final List<Block> sends;
  private final List<Block> receives;
  private final int interiorRows;
  private final int boundaryRows;
  private final List<MixingWeights> owned = new ArrayList<>();
  private final MixingWeights selection;
  private final MixingWeights interior;
  private final MixingWeights boundary;

  MixingPlan(MixingMatrix w, Membership membership, int process, Queue queue, Form form) {
    this.form = form;
    Rows all = new Rows(w);
    NodeTree.Range range = membership.ranges().get(process);
    int begin = range.begin();
    int end = range.end();
    int local = end - begin;
    this.sentByNode = all.messagesByColumn();
    BitSet outside = all.columns(begin, end, 0, w.nodes());
    outside.clear(begin, end);
    this.haloNodes = outside.stream().toArray();
    this.receives = blocksByOwner(haloNodes, membership);
    List<Block> blocks = new ArrayList<>();
    List<int[]> rows = new ArrayList<>();
    int first = 0;
    for (int peer = 0; peer < membership.processes(); peer++) {
      if (peer != process) {
        NodeTree.Range theirs = membership.ranges().get(peer);
        int[] needed = all.columns(theirs.begin(), theirs.end(), begin, end).stream().toArray();
        if (needed.length > 0) {
          blocks.add(new Block(peer, first, needed.length));
          rows.add(needed);
          first += needed.length;
        }
      }
    }
    this.sends = List.copyOf(blocks);
    this.sentRows = rows.stream().flatMapToInt(Arrays::stream).map(j -> j - begin).toArray();
    BitSet crossing = all.rowsCrossing(begin, end);
    this.boundaryRows = crossing.cardinality();
    this.interiorRows = local - boundaryRows;
    try {
      this.selection = sentRows.length == 0 ? null : own(selection(queue, local));
      this.interior =
          interiorRows == 0
              ? null
              : own(weights(queue, all, begin, local, local, complement(crossing, local)));
      this.boundary =
          boundaryRows == 0
              ? null
              : own(
                  weights(
                      queue,
                      all,
                      begin,
                      local,
                      local + haloNodes.length,
                      crossing.stream().toArray()));
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private MixingWeights own(MixingWeights weights) {
    owned.add(weights);
    return weights;
  }

  private static int[] complement(BitSet rows, int length) {
    BitSet rest = (BitSet) rows.clone();
    rest.flip(0, length);
    return rest.stream().toArray();
  }

  private static List<Block> blocksByOwner(int[] nodes, Membership membership) {
    List<Block> blocks = new ArrayList<>();
    for (int k = 0; k < nodes.length; ) {
      int owner = membership.processOf(nodes[k]);
      int end = membership.ranges().get(owner).end();
      int first = k;
      while (k < nodes.length && nodes[k] < end) {
        k++;
      }
      blocks.add(new Block(owner, first, k - first));
    }
    return List.copyOf(blocks);
  }

  /** Copies row {@code sentRows[k]} of the messages to row k: the weight 1 changes no bit. */
  private MixingWeights selection(Queue queue, int local) {
    long[] offsets = new long[sentRows.length + 1];
    Arrays.setAll(offsets, k -> k);
    double[] ones = new double[sentRows.length];
    Arrays.fill(ones, 1);
    return MixingWeights.sparse(queue, sentRows.length, local, offsets, sentRows, ones);
  }

  /**
   * The given local rows of W, with {@code cols} columns: those of the own nodes, then the halo.
   */
  private MixingWeights weights(Queue queue, Rows all, int begin, int local, int cols, int[] rows) {
    long[] offsets = new long[rows.length + 1];
    for (int k = 0; k < rows.length; k++) {
      offsets[k + 1] = offsets[k] + all.length(begin + rows[k]);
    }
    int[] columns = new int[Math.toIntExact(offsets[rows.length])];
    double[] values = new double[columns.length];
    int next = 0;
    for (int row : rows) {
      for (int e = all.first(begin + row); e < all.end(begin + row); e++) {
        if (all.value(e) != 0) {
          int j = all.column(e);
          boolean mine = j >= begin && j < begin + local;
          columns[next] = mine ? j - begin : local + Arrays.binarySearch(haloNodes, j);
          values[next++] = all.value(e);
        }
      }
    }
    if (rows.length < local) {
      return MixingWeights.sparse(queue, rows.length, cols, offsets, columns, values, rows);
    }
    // A dense matrix sums in the order of its columns, which is that of the nodes only without a
    // halo.
    boolean full = cols == local && values.length == (long) local * local;
    if (form == Form.ANY && full && local <= LARGEST_DENSE) {
      return MixingWeights.dense(queue, local, cols, values);
    }
    return MixingWeights.sparse(queue, local, cols, offsets, columns, values);
  }

  /** Messages that each global node sends. */
  int[] sentByNode() {
    return sentByNode;
  }

  /** Global nodes of the halo rows. */
  int[] haloNodes() {
    return haloNodes;
  }

  /** Local rows in the order in which they are sent; a row that two peers need stands twice. */
  int[] sentRows() {
    return sentRows;
  }

  List<Block> sends() {
    return sends;
  }

  List<Block> receives() {
    return receives;
  }

  int interiorRows() {
    return interiorRows;
  }

  int boundaryRows() {
    return boundaryRows;
  }

  /** Forms the sent rows; only where there are any. */
  MixingWeights selection() {
    return selection;
  }

  /** Mixes the interior rows; only where there are any. */
  MixingWeights interior() {
    return interior;
  }

  /** Mixes the boundary rows; only where there are any. */
  MixingWeights boundary() {
    return boundary;
  }

  @Override
  public void close() {
    owned.forEach(MixingWeights::close);
  }

  /** The entries of the whole matrix by row. */
  private record Rows(MixingMatrix w) {
    int first(int row) {
      return w.rowBegin(row);
    }

    int end(int row) {
      return w.rowBegin(row + 1);
    }

    int column(int entry) {
      return w.column(entry);
    }

    double value(int entry) {
      return w.value(entry);
    }

    /** Entries of a row that are not zero. */
    int length(int row) {
      int length = 0;
      for (int e = first(row); e < end(row); e++) {
        if (value(e) != 0) {
          length++;
        }
      }
      return length;
    }

    int[] messagesByColumn() {
      int[] count = new int[w.nodes()];
      for (int i = 0; i < count.length; i++) {
        for (int e = first(i); e < end(i); e++) {
          if (column(e) != i && value(e) != 0) {
            count[column(e)]++;
          }
        }
      }
      return count;
    }

    /** Columns in [from, to) that the rows [rowBegin, rowEnd) touch. */
    BitSet columns(int rowBegin, int rowEnd, int from, int to) {
      BitSet touched = new BitSet();
      for (int i = rowBegin; i < rowEnd; i++) {
        for (int e = first(i); e < end(i); e++) {
          if (value(e) != 0 && column(e) >= from && column(e) < to) {
            touched.set(column(e));
          }
        }
      }
      return touched;
    }

    /** Rows of [begin, end), counted from begin, that touch columns outside it. */
    BitSet rowsCrossing(int begin, int end) {
      BitSet crossing = new BitSet(end - begin);
      for (int i = begin; i < end; i++) {
        for (int e = first(i); e < end(i); e++) {
          if (value(e) != 0 && (column(e) < begin || column(e) >= end)) {
            crossing.set(i - begin);
          }
        }
      }
      return crossing;
    }
  }
}
