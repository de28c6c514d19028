package dev.kith.internal;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.Optional;
import java.util.Set;

/**
 * A kith_queue with the scratch memory of its operations. An operation brackets itself with {@link
 * #begin} and {@link #end} and borrows what it works on with {@link #use}:
 *
 * <pre>{@code
 * int mark = queue.begin("fill");
 * try {
 *   queue.use(window);
 *   int status;
 *   do {
 *     status = queue.abi().fill(queue.handle(), window.descriptor(), value, queue.call());
 *   } while (status == Abi.AGAIN);
 *   queue.check(status);
 * } finally {
 *   queue.end(mark);
 * }
 * }</pre>
 *
 * <p>One thread at a time, checked; brackets may nest.
 */
public final class NativeQueue {
  /** No native call, waits included, takes much longer. */
  private static final long WAIT_NANOS = 100_000_000;

  private static final long STAGING_BYTES = 1 << 20;

  /** So that a queue that is never waited for does not keep foreign memory reachable for ever. */
  private static final int MAX_RETAINED = 64;

  private static final VarHandle OWNER;

  static {
    try {
      OWNER = MethodHandles.lookup().findVarHandle(NativeQueue.class, "owner", Thread.class);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private final NativeDevice device;
  private final Abi abi;
  private final MemorySegment handle;
  private final Arena arena = Arena.ofAuto();
  private final Call call = new Call(arena);
  private final MemorySegment expression = arena.allocate(Abi.EXPRESSION);
  private final MemorySegment noiseTerm = arena.allocate(Abi.NOISE_TERM);
  private final MemorySegment batches = arena.allocate(Abi.BATCH, 3);
  private final MemorySegment part = arena.allocate(Abi.MATRIX);
  private Optional<MemorySegment> staging = Optional.empty();

  /** The thread inside of an operation. */
  private volatile Thread owner;

  private volatile boolean closed;

  // Guarded by owner, and read for messages only by others.
  private String operation = "";
  private int depth;
  private Lease[] held = new Lease[32];
  private int top;
  private OperationEvent event;
  private long started;
  private Set<MemorySegment> retained = identities();

  private NativeQueue(NativeDevice device, String operation, Maker maker) {
    this.device = device;
    abi = device.abi();
    try (Arena scratch = Arena.ofConfined()) {
      MemorySegment out = scratch.allocate(ValueLayout.ADDRESS);
      call.check(operation, maker.make(out, call.segment()));
      handle = out.get(ValueLayout.ADDRESS, 0);
    }
  }

  /** Writes a kith_queue and returns a status. */
  private interface Maker {
    int make(MemorySegment out, MemorySegment call);
  }

  /**
   * Creates a queue.
   *
   * @param device its device
   * @return the queue
   */
  public static NativeQueue create(NativeDevice device) {
    return new NativeQueue(
        device, "newQueue", (out, call) -> device.abi().queueCreate(device.handle(), out, call));
  }

  /**
   * Wraps a foreign stream.
   *
   * @param device its device
   * @param stream a cudaStream_t
   * @return the queue
   */
  public static NativeQueue wrap(NativeDevice device, MemorySegment stream) {
    return new NativeQueue(
        device, "wrap", (out, call) -> device.abi().queueWrap(device.handle(), stream, out, call));
  }

  private static Set<MemorySegment> identities() {
    return Collections.newSetFromMap(new IdentityHashMap<>());
  }

  /**
   * The stream behind it.
   *
   * @return the address of a cudaStream_t
   */
  public long stream() {
    try (Arena scratch = Arena.ofConfined()) {
      MemorySegment out = scratch.allocate(ValueLayout.ADDRESS);
      check(abi.queueStream(handle, out, call.segment()));
      return out.get(ValueLayout.ADDRESS, 0).address();
    }
  }

  /**
   * Records what work calls, instead of running it. Only inside of an operation.
   *
   * @param work calls operations on this queue, and nothing that waits
   * @return what was recorded
   */
  public NativeGraph capture(Runnable work) {
    check(abi.graphBegin(handle, call.segment()));
    Set<MemorySegment> before = retained;
    retained = identities();
    try {
      work.run();
    } catch (RuntimeException | Error e) {
      try {
        endCapture(before).close();
      } catch (RuntimeException second) {
        e.addSuppressed(second);
      }
      throw e;
    }
    return endCapture(before);
  }

  private NativeGraph endCapture(Set<MemorySegment> before) {
    Set<MemorySegment> recorded = retained;
    retained = before;
    try (Arena scratch = Arena.ofConfined()) {
      MemorySegment out = scratch.allocate(ValueLayout.ADDRESS);
      check(abi.graphEnd(handle, out, call.segment()));
      return new NativeGraph(device, out.get(ValueLayout.ADDRESS, 0), recorded);
    }
  }

  /**
   * Enters an operation.
   *
   * @param name its name, for messages
   * @return what {@link #end} takes
   * @throws IllegalStateException if another thread is in an operation of this queue, or the queue
   *     is closed
   */
  public int begin(String name) {
    Thread me = Thread.currentThread();
    if (owner != me) {
      if (!OWNER.compareAndSet(this, null, me)) {
        throw busy(name);
      }
      if (closed) {
        owner = null;
        throw new IllegalStateException(
            name + ": the queue of device " + device.name() + " is closed");
      }
      operation = name;
      if (retained.size() >= MAX_RETAINED) {
        try {
          await();
        } catch (RuntimeException e) {
          OWNER.setRelease(this, (Thread) null);
          throw e;
        }
      }
      if (OperationEvent.wanted()) {
        event = new OperationEvent();
        event.begin();
        started = System.nanoTime();
      }
    }
    depth++;
    return top;
  }

  private IllegalStateException busy(String name) {
    return new IllegalStateException(
        name
            + ": the queue is in use by the operation \""
            + operation
            + "\" of another thread; use a queue from one thread at a time");
  }

  /**
   * Borrows something until {@link #end}.
   *
   * @param lease a window, an event or weights
   * @throws IllegalStateException if it is closed
   */
  public void use(Lease lease) {
    if (top == held.length) {
      held = Arrays.copyOf(held, 2 * top);
    }
    lease.acquire(operation);
    held[top++] = lease;
    if (event != null) {
      event.bytes += lease.bytes();
    }
  }

  /**
   * Borrows a window until {@link #end}.
   *
   * @param window the window
   * @throws IllegalStateException if it is closed, or looks at foreign memory that is gone
   */
  public void use(Window window) {
    use((Lease) window);
    if (window.foreign().isPresent()) {
      retain(window, window.foreign().get());
    }
  }

  /**
   * Borrows a window that may be absent.
   *
   * @param window the window, or null
   * @return its kith_matrix, or NULL
   */
  public MemorySegment useOrNull(Window window) {
    if (window == null) {
      return MemorySegment.NULL;
    }
    use(window);
    return window.descriptor();
  }

  private void retain(Window window, MemorySegment foreign) {
    if (!foreign.scope().isAlive()) {
      throw new IllegalStateException(
          operation + ": the memory that the " + window.what() + " wraps was closed by its owner");
    }
    retained.add(foreign);
  }

  /** Keeps foreign memory reachable until the queue has been waited for. */
  void retain(Set<MemorySegment> foreign) {
    retained.addAll(foreign);
  }

  /**
   * Leaves an operation and gives back what it borrowed.
   *
   * @param mark what {@link #begin} returned
   */
  public void end(int mark) {
    while (top > mark) {
      held[--top].release();
      held[top] = null;
    }
    if (--depth == 0) {
      if (event != null) {
        commit();
      }
      OWNER.setRelease(this, (Thread) null);
    }
  }

  private void commit() {
    event.nanos = System.nanoTime() - started;
    event.end();
    if (event.shouldCommit()) {
      event.name = operation;
      event.device = device.name();
      event.commit();
    }
    event = null;
  }

  /**
   * Turns a status into what Java throws.
   *
   * @param status what the library returned
   */
  public void check(int status) {
    call.check(operation, status);
  }

  /**
   * Waits until all work is done. Only inside of an operation.
   *
   * @param nanos how long at most; it is not exceeded by more than a tenth of a second
   * @return false when the time passed
   */
  public boolean await(long nanos) {
    long start = System.nanoTime();
    while (true) {
      long left = nanos - (System.nanoTime() - start);
      int status = abi.queueSync(handle, Math.clamp(left, 0, WAIT_NANOS), call.segment());
      if (status != Abi.TIMEOUT) {
        call.checkWait(operation, status);
        retained.clear();
        return true;
      }
      if (left <= WAIT_NANOS) {
        return false;
      }
    }
  }

  /** Waits until all work is done. Only inside of an operation. */
  public void await() {
    boolean done = false;
    while (!done) {
      done = await(Long.MAX_VALUE);
    }
  }

  /**
   * Waits for the work and destroys the queue. Idempotent.
   *
   * @throws IllegalStateException if an operation is running
   */
  public void close() {
    if (closed) {
      return;
    }
    if (owner == Thread.currentThread()
        || !OWNER.compareAndSet(this, null, Thread.currentThread())) {
      throw busy("close");
    }
    try {
      if (closed) {
        return;
      }
      operation = "close";
      RuntimeException failure = null;
      try {
        await();
      } catch (RuntimeException e) {
        failure = e;
      }
      closed = true;
      try {
        check(abi.queueDestroy(handle, call.segment()));
      } catch (RuntimeException e) {
        if (failure == null) {
          failure = e;
        } else {
          failure.addSuppressed(e);
        }
      }
      if (failure != null) {
        throw failure;
      }
    } finally {
      owner = null;
    }
  }

  /**
   * Whether it was closed.
   *
   * @return true once a close succeeded
   */
  public boolean isClosed() {
    return closed;
  }

  /**
   * Its device.
   *
   * @return the device
   */
  public NativeDevice device() {
    return device;
  }

  /**
   * The bindings of its library.
   *
   * @return the functions
   */
  public Abi abi() {
    return abi;
  }

  /**
   * The native queue.
   *
   * @return a kith_queue
   */
  public MemorySegment handle() {
    return handle;
  }

  /**
   * The call of its operations.
   *
   * @return a kith_call
   */
  public MemorySegment call() {
    return call.segment();
  }

  /**
   * Scratch: an expression.
   *
   * @return a kith_expression
   */
  public MemorySegment expression() {
    return expression;
  }

  /** A kith_noise_term to fill for one call. */
  public MemorySegment noiseTerm() {
    return noiseTerm;
  }

  /**
   * Scratch: three batches.
   *
   * @return an array of kith_batch
   */
  public MemorySegment batches() {
    return batches;
  }

  /**
   * Scratch: the part of a matrix that a transfer moves.
   *
   * @return a kith_matrix
   */
  MemorySegment part() {
    return part;
  }

  /** Scratch: host memory on the way to or from the device. */
  MemorySegment staging() {
    if (staging.isEmpty()) {
      staging = Optional.of(arena.allocate(STAGING_BYTES, 64));
    }
    return staging.get();
  }
}
