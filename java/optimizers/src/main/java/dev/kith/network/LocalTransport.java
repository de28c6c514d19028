package dev.kith.network;

import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * The transport inside one JVM: a single process, or several of them on a thread each.
 *
 * <p>A message is copied once, from the sender's segment into the receiver's, by the receiver; the
 * sender's await ends when that has happened. Neither can deadlock: an exchange is posted before
 * anything is waited for.
 */
public final class LocalTransport implements Transport {
  private final Group group;
  private final int process;

  private LocalTransport(Group group, int process) {
    this.group = group;
    this.process = process;
  }

  /** The only process of a run: it owns all nodes and has no peers. */
  public static Transport single(int nodes) {
    return group(nodes, 1).getFirst();
  }

  /**
   * The transports of {@code processes} processes that run as threads of this JVM, one for each.
   *
   * @throws IllegalArgumentException when there are more processes than nodes
   */
  public static List<Transport> group(int nodes, int processes) {
    Group group = new Group(Membership.even(nodes, processes));
    List<Transport> transports = new ArrayList<>();
    for (int p = 0; p < processes; p++) {
      transports.add(new LocalTransport(group, p));
    }
    return List.copyOf(transports);
  }

  @Override
  public int process() {
    return process;
  }

  @Override
  public Membership membership() {
    return group.membership;
  }

  @Override
  public Pending begin(
      List<Outgoing> sends, List<Incoming> receives, String what, Duration deadline) {
    for (Outgoing send : sends) {
      checkPeer(send.peer());
    }
    for (Incoming receive : receives) {
      checkPeer(receive.peer());
    }
    List<Parcel> parcels = group.post(process, sends, what);
    return () -> {
      try {
        for (Incoming receive : receives) {
          group.receive(process, receive, what, deadline);
        }
        for (Parcel parcel : parcels) {
          group.awaitTaken(process, parcel, deadline);
        }
      } catch (RuntimeException e) {
        group.withdraw(process, parcels);
        throw e;
      }
    };
  }

  private void checkPeer(int peer) {
    if (peer < 0 || peer >= group.membership.processes() || peer == process) {
      throw new IllegalArgumentException(
          "Process " + process + " of " + group.membership.processes() + " has no peer " + peer);
    }
  }

  @Override
  public void close() {
    group.leave(process);
  }

  /** A posted message. */
  private static final class Parcel {
    final int to;
    final MemorySegment data;
    final String what;
    boolean copying;
    boolean taken;

    Parcel(int to, MemorySegment data, String what) {
      this.to = to;
      this.data = data;
      this.what = what;
    }
  }

  /** From one process to another. */
  private record Route(int from, int to) {}

  /** What the processes of one group share: their mailboxes under one lock, and who has left. */
  private static final class Group {
    final Membership membership;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition[] changed;
    private final boolean[] left;
    private final Map<Route, Queue<Parcel>> mailboxes = new HashMap<>();

    Group(Membership membership) {
      this.membership = membership;
      this.changed = new Condition[membership.processes()];
      this.left = new boolean[membership.processes()];
      for (int p = 0; p < changed.length; p++) {
        changed[p] = lock.newCondition();
      }
    }

    private Queue<Parcel> mailbox(int from, int to) {
      return mailboxes.computeIfAbsent(new Route(from, to), route -> new ArrayDeque<>());
    }

    List<Parcel> post(int from, List<Outgoing> sends, String what) {
      List<Parcel> parcels = new ArrayList<>();
      lock.lock();
      try {
        if (left[from]) {
          throw new IllegalStateException("The transport of process " + from + " is closed");
        }
        for (Outgoing send : sends) {
          Parcel parcel = new Parcel(send.peer(), send.data(), what);
          mailbox(from, send.peer()).add(parcel);
          changed[send.peer()].signalAll();
          parcels.add(parcel);
        }
      } finally {
        lock.unlock();
      }
      return parcels;
    }

    void receive(int me, Incoming receive, String what, Duration deadline) {
      int peer = receive.peer();
      ExchangeEvent event = ExchangeEvent.started();
      long start = System.nanoTime();
      Parcel parcel;
      lock.lock();
      try {
        Queue<Parcel> mailbox = mailbox(peer, me);
        long remaining = deadline.toNanos();
        while (mailbox.isEmpty()) {
          remaining = await(me, peer, what, deadline, remaining, "to send its message for");
        }
        parcel = mailbox.remove();
        parcel.copying = true;
      } finally {
        lock.unlock();
      }
      final long wait = System.nanoTime() - start;
      try {
        checkFits(me, peer, parcel, receive, what);
        receive.data().copyFrom(parcel.data);
      } finally {
        lock.lock();
        try {
          parcel.taken = true;
          changed[peer].signalAll();
        } finally {
          lock.unlock();
        }
      }
      event.received(peer, what, parcel.data.byteSize(), wait);
    }

    private void checkFits(int me, int peer, Parcel parcel, Incoming receive, String what) {
      if (!parcel.what.equals(what)) {
        throw new ExchangeException(
            peer,
            what,
            name(me)
                + " waited for "
                + what
                + " of "
                + name(peer)
                + ", which sent "
                + parcel.what
                + ": the two do not run the same program");
      }
      if (parcel.data.byteSize() != receive.data().byteSize()) {
        throw new ExchangeException(
            peer,
            what,
            name(me)
                + " waited for "
                + receive.data().byteSize()
                + " bytes of "
                + name(peer)
                + " for "
                + what
                + ", which sent "
                + parcel.data.byteSize()
                + ": the two do not run with the same settings");
      }
    }

    /** Takes back what nobody has begun to copy, and waits for what somebody is copying. */
    void withdraw(int from, List<Parcel> parcels) {
      lock.lock();
      try {
        for (Parcel parcel : parcels) {
          mailbox(from, parcel.to).remove(parcel);
          while (parcel.copying && !parcel.taken) {
            changed[from].awaitUninterruptibly();
          }
        }
      } finally {
        lock.unlock();
      }
    }

    void awaitTaken(int me, Parcel parcel, Duration deadline) {
      lock.lock();
      try {
        long remaining = deadline.toNanos();
        while (!parcel.taken) {
          remaining =
              await(me, parcel.to, parcel.what, deadline, remaining, "to take the message for");
        }
      } finally {
        lock.unlock();
      }
    }

    /** Waits once for a change, under the lock; returns the time that is left. Callers loop. */
    @SuppressWarnings("WaitNotInLoop")
    private long await(
        int me, int peer, String what, Duration deadline, long remaining, String action) {
      if (left[peer]) {
        throw new ExchangeException(
            peer,
            what,
            name(me)
                + " waited for "
                + name(peer)
                + " "
                + action
                + " "
                + what
                + ", but it has left");
      }
      if (remaining <= 0) {
        throw new ExchangeException(
            peer,
            what,
            name(me)
                + " waited "
                + deadline.toMillis() / 1e3
                + " s for "
                + name(peer)
                + " "
                + action
                + " "
                + what
                + ": see whether that process still runs, or raise the deadline");
      }
      try {
        return changed[me].awaitNanos(remaining);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new ExchangeException(
            peer,
            what,
            name(me)
                + " was interrupted while it waited for "
                + name(peer)
                + " "
                + action
                + " "
                + what);
      }
    }

    void leave(int process) {
      lock.lock();
      try {
        left[process] = true;
        for (Condition condition : changed) {
          condition.signalAll();
        }
      } finally {
        lock.unlock();
      }
    }

    private String name(int process) {
      var range = membership.ranges().get(process);
      return "process " + process + " (nodes " + range.begin() + " to " + (range.end() - 1) + ")";
    }
  }
}
