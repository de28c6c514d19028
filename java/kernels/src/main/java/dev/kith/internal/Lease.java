package dev.kith.internal;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * Something native that operations borrow and its owner closes. An operation acquires it for the
 * length of its call; closing fails while it is borrowed, and borrowing fails once it is closed.
 * (The foreign-function API protects segments that are passed to a call, not the raw handles inside
 * of structs.) Thread-safe.
 */
public abstract class Lease {
  private static final int CLOSED = -1;
  private static final VarHandle USES;

  static {
    try {
      USES = MethodHandles.lookup().findVarHandle(Lease.class, "uses", int.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  /** Operations that borrow it now, or {@link #CLOSED}. */
  private volatile int uses;

  /** The operation that borrowed it last; for messages only, so a race is harmless. */
  private String operation = "";

  /** Only for subclasses. */
  protected Lease() {}

  /**
   * What it is, for messages.
   *
   * @return for example {@code "matrix 4 x 10 F32"}
   */
  protected abstract String what();

  /**
   * How much memory an operation on it touches.
   *
   * @return bytes
   */
  protected abstract long bytes();

  /**
   * Borrows it.
   *
   * @param borrower the operation, for messages
   * @throws IllegalStateException if it is closed
   */
  @SuppressWarnings(
      "ReferenceEquality") // An equal text that is another object may be stored again.
  public final void acquire(String borrower) {
    int seen = uses;
    while (true) {
      if (seen == CLOSED) {
        throw new IllegalStateException(borrower + ": the " + what() + " is closed");
      }
      int witness = (int) USES.compareAndExchange(this, seen, seen + 1);
      if (witness == seen) {
        if (operation != borrower) { // A plain store of a reference costs more than this read.
          operation = borrower;
        }
        return;
      }
      seen = witness;
    }
  }

  /** Gives it back. */
  public final void release() {
    USES.getAndAdd(this, -1);
  }

  /**
   * Whether it was closed.
   *
   * @return true once a close succeeded
   */
  public final boolean isClosed() {
    return uses == CLOSED;
  }

  /**
   * Marks it closed.
   *
   * @return true for the one caller that has to free what it holds, false when it was closed before
   * @throws IllegalStateException if an operation borrows it
   */
  protected final boolean markClosed() {
    int seen = (int) USES.compareAndExchange(this, 0, CLOSED);
    if (seen > 0) {
      throw new IllegalStateException(
          "close: the "
              + what()
              + " is in use by the operation \""
              + operation
              + "\"; close it after that has returned");
    }
    return seen == 0;
  }

  /** Takes a {@link #markClosed} back, when what it holds turned out to be in use elsewhere. */
  protected final void markOpen() {
    uses = 0;
  }
}
