package dev.kith.internal;

import dev.kith.device.KithException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.regex.Pattern;

/**
 * A kith_call with room for the text of an error. Queues keep one for all their operations; what
 * runs outside of a queue makes its own. Used by one thread at a time.
 */
public final class Call implements AutoCloseable {
  private static final long ERROR_CAPACITY = 1024;
  private static final long CURSOR = Abi.offset(Abi.CALL, "cursor");
  private static final long BUDGET = Abi.offset(Abi.CALL, "budget_ns");
  private static final long ERROR = Abi.offset(Abi.CALL, "error");
  private static final long CAPACITY = Abi.offset(Abi.CALL, "error_capacity");
  private static final Pattern FUNCTION = Pattern.compile("^kith_\\w+: ");

  /** A native call cannot be interrupted, so that long ones come back this often. */
  private static final long BUDGET_NANOS = 50_000_000;

  private final Arena arena;
  private final MemorySegment call;
  private final MemorySegment error;

  /** A call that its maker closes. */
  public Call() {
    this(Arena.ofConfined());
  }

  /**
   * A call in an arena.
   *
   * @param arena closed by {@link #close}, unless it closes itself
   */
  Call(Arena arena) {
    this.arena = arena;
    call = arena.allocate(Abi.CALL);
    error = arena.allocate(ERROR_CAPACITY);
    call.set(ValueLayout.JAVA_LONG, BUDGET, BUDGET_NANOS);
    call.set(ValueLayout.ADDRESS, ERROR, error);
    call.set(ValueLayout.JAVA_LONG, CAPACITY, ERROR_CAPACITY);
  }

  /**
   * The struct.
   *
   * @return a kith_call
   */
  public MemorySegment segment() {
    return call;
  }

  /**
   * Turns a status into what Java throws.
   *
   * @param operation the operation, for messages
   * @param status what it returned
   * @throws IllegalArgumentException for INVALID
   * @throws IllegalStateException for BUSY
   * @throws UnsupportedOperationException for UNSUPPORTED
   * @throws KithException for any other but OK
   */
  public void check(String operation, int status) {
    if (status != Abi.OK) {
      throw failure(operation, status, text());
    }
  }

  /**
   * The same for a wait, which also tells of work that was called earlier.
   *
   * @param operation the operation that waited
   * @param status what it returned
   */
  void checkWait(String operation, int status) {
    if (status != Abi.OK) {
      // Here the function that failed is news, unless it is the wait itself.
      throw failure(
          operation,
          status,
          take()
              .replaceFirst("^kith_queue_sync: ", "")
              .replaceFirst("^kith_(\\w+): ", "an earlier $1: "));
    }
  }

  private RuntimeException failure(String operation, int status, String text) {
    call.set(ValueLayout.JAVA_LONG, CURSOR, 0);
    return switch (status) {
      case Abi.INVALID -> new IllegalArgumentException(operation + ": " + text);
      case Abi.BUSY -> new IllegalStateException(operation + ": " + text);
      case Abi.UNSUPPORTED -> new UnsupportedOperationException(operation + ": " + text);
      default -> new KithException(operation, Abi.statusName(status), text);
    };
  }

  /** What the library said about the last failure; once. */
  String text() {
    // The library names its own function; users know the operation.
    return FUNCTION.matcher(take()).replaceFirst("");
  }

  private String take() {
    String text = error.getString(0);
    error.set(ValueLayout.JAVA_BYTE, 0, (byte) 0);
    return text;
  }

  @Override
  public void close() {
    arena.close();
  }
}
