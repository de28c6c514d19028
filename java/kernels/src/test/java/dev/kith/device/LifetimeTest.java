package dev.kith.device;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.internal.Access;
import dev.kith.internal.NativeQueue;
import dev.kith.kernel.Expression;
import dev.kith.kernel.Mixing;
import dev.kith.kernel.MixingWeights;
import dev.kith.kernel.NodeTree;
import dev.kith.kernel.Reduction;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class LifetimeTest {
  private Queue queue;

  @BeforeEach
  void open() {
    queue = Device.cpu().newQueue();
  }

  @AfterEach
  void close() {
    queue.close();
  }

  private static String illegalState(Executable action) {
    return assertThrows(IllegalStateException.class, action).getMessage();
  }

  private static void contains(String text, String... parts) {
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "\"" + part + "\" is not in: " + text);
    }
  }

  private static <T> T onAnotherThread(Callable<T> action) throws Exception {
    try (ExecutorService executor = Executors.newSingleThreadExecutor()) {
      return executor.submit(action).get();
    } catch (ExecutionException e) {
      if (e.getCause() instanceof Exception cause) {
        throw cause;
      }
      throw e;
    }
  }

  @Test
  void closingTwiceIsFine() {
    DeviceMatrix matrix = DeviceMatrix.allocate(queue, 2, 2, DType.F32);
    Event event = queue.record();
    MixingWeights weights = MixingWeights.dense(queue, 1, 1, new double[] {1});
    Queue other = Device.cpu().newQueue();
    for (AutoCloseable closeable : List.of(matrix, event, weights, other)) {
      assertDoesNotThrow(closeable::close);
      assertDoesNotThrow(closeable::close);
    }
    assertTrue(matrix.isClosed());
  }

  @Test
  void aClosedMatrixNamesTheOperationThatWantedIt() {
    DeviceMatrix matrix = DeviceMatrix.allocate(queue, 2, 3, DType.F32);
    matrix.close();
    contains(illegalState(() -> matrix.fill(1)), "fill: ", "2 x 3 F32", "closed");
    contains(illegalState(matrix::toFloats), "download: ");
    contains(illegalState(matrix::segment), "segment: ");
    contains(illegalState(() -> matrix.row(0)), "view: ");
    contains(illegalState(() -> Reduction.norms(matrix)), "reduceRows: ");
    assertEquals(2, matrix.rows());
  }

  @Test
  void closingDuringAnotherThreadsCallFailsAndNamesTheOperation() throws Exception {
    DeviceMatrix matrix = DeviceMatrix.allocate(queue, 4, 10, DType.F32);
    NativeQueue behind = Access.queue(queue);
    int mark = behind.begin("mix");
    behind.use(Access.window(matrix));
    assertThrows(IllegalStateException.class, matrix::close);
    contains(
        onAnotherThread(() -> illegalState(matrix::close)),
        "close: the matrix 4 x 10 F32 is in use by the operation \"mix\"");
    behind.end(mark);
    assertFalse(matrix.isClosed());
    onAnotherThread(
        () -> {
          matrix.close();
          return true;
        });
    assertTrue(matrix.isClosed());
  }

  @Test
  void closingWeightsDuringACallFails() {
    MixingWeights weights = MixingWeights.dense(queue, 1, 1, new double[] {1});
    try (DeviceMatrix x = DeviceMatrix.row(queue, 1f, 2f);
        DeviceMatrix y = x.like()) {
      weights.close();
      contains(
          illegalState(() -> Mixing.mix(weights, Expression.inner(x), y)),
          "mix: the 1 x 1 mixing matrix is closed");
      assertEquals(0, y.get(0, 0));
    }
  }

  @Test
  void aQueueIsUsedByOneThreadAtATime() throws Exception {
    DeviceMatrix matrix = DeviceMatrix.allocate(queue, 1, 1, DType.F32);
    NativeQueue behind = Access.queue(queue);
    int mark = behind.begin("mix");
    // Brackets nest on the thread that is in them.
    matrix.fill(3);
    assertEquals(
        "fill: the queue is in use by the operation \"mix\" of another thread; use a queue from one thread at a time",
        onAnotherThread(() -> illegalState(() -> matrix.fill(1))));
    contains(onAnotherThread(() -> illegalState(queue::close)), "close: the queue is in use");
    contains(illegalState(queue::close), "close: the queue is in use");
    behind.end(mark);
    onAnotherThread(
        () -> {
          matrix.fill(4);
          return true;
        });
    assertEquals(4, matrix.get(0, 0));
    matrix.close();
  }

  @Test
  void whatFailsGivesBackWhatItBorrowed() {
    DeviceMatrix x = DeviceMatrix.allocate(queue, 2, 3, DType.F32);
    DeviceMatrix closed = x.like();
    closed.close();
    illegalState(() -> Mixing.combine(Expression.inner(x).plusInner(2, closed), x));
    assertDoesNotThrow(x::close);
    assertDoesNotThrow(queue::close);
  }

  @Test
  void aClosedQueueRunsNothingAndItsMatricesCanStillBeRead() {
    Queue other = Device.cpu().newQueue();
    try (DeviceMatrix matrix = DeviceMatrix.row(other, 1f, 2f)) {
      other.close();
      contains(illegalState(() -> matrix.fill(0)), "fill: the queue of device cpu is closed");
      contains(illegalState(other::sync), "sync: ");
      contains(illegalState(other::record), "record: ");
      try (DeviceMatrix here = matrix.on(queue)) {
        assertEquals(2, here.get(0, 1));
      }
    }
  }

  @Test
  void viewsKeepTheMemoryOpen() {
    long before = Device.cpu().memory().liveBytes();
    DeviceMatrix base = DeviceMatrix.of(queue, new double[][] {{1, 2, 3}, {4, 5, 6}});
    DeviceMatrix row = base.row(1);
    DeviceMatrix part = row.columns(1, 3);
    base.close();
    row.close();
    assertEquals(6, part.get(0, 1));
    part.fill(9);
    assertTrue(Device.cpu().memory().liveBytes() > before);
    part.close();
    assertEquals(before, Device.cpu().memory().liveBytes());
  }

  @Test
  void theSegmentDiesWithTheMatrix() {
    DeviceMatrix matrix = DeviceMatrix.row(queue, 1f, 2f);
    MemorySegment segment = matrix.segment();
    assertSame(segment, matrix.segment());
    segment.setAtIndex(ValueLayout.JAVA_FLOAT, 1, 5);
    assertEquals(5, matrix.get(0, 1));
    matrix.close();
    assertThrows(IllegalStateException.class, () -> segment.getAtIndex(ValueLayout.JAVA_FLOAT, 0));
  }

  @Test
  void wrappedMemoryIsSharedAndOutlivesTheMatrix() {
    try (Arena arena = Arena.ofShared()) {
      MemorySegment foreign = arena.allocateFrom(ValueLayout.JAVA_DOUBLE, 1, 2, 3, 4, 5, 6);
      DeviceMatrix matrix = DeviceMatrix.wrap(queue, foreign, 2, 2, 3, DType.F64);
      assertEquals(List.of(1.0, 2.0, 4.0, 5.0), boxed(matrix.toDoubles()));
      matrix.set(1, 1, 50);
      assertEquals(50, foreign.getAtIndex(ValueLayout.JAVA_DOUBLE, 4));
      assertEquals(foreign.address(), matrix.segment().address());
      matrix.close();
      assertEquals(3, foreign.getAtIndex(ValueLayout.JAVA_DOUBLE, 2));
    }
  }

  private static List<Double> boxed(double[] values) {
    return java.util.Arrays.stream(values).boxed().toList();
  }

  @Test
  void wrappedMemoryThatItsOwnerClosedIsRefused() {
    Arena arena = Arena.ofShared();
    MemorySegment foreign = arena.allocate(64, 8);
    try (DeviceMatrix matrix = DeviceMatrix.wrap(queue, foreign, 1, 8, 8, DType.F64)) {
      arena.close();
      contains(illegalState(() -> matrix.fill(1)), "fill: ", "closed by its owner");
    }
  }

  @Test
  void memoryThatCannotBeWrappedIsRefused() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment good = arena.allocate(64, 8);
      refused(() -> wrap(MemorySegment.ofArray(new double[8]), 8), "on the heap");
      refused(() -> wrap(good.asReadOnly(), 8), "read-only");
      refused(() -> wrap(good, 9), "takes 72 bytes and the segment has 64");
      refused(() -> wrap(good.asSlice(4), 1), "not aligned to the 8 bytes");
      refused(
          () -> DeviceMatrix.wrap(queue, good, 2, 4, 3, DType.F64), "a stride of 3 is less than");
    }
  }

  private DeviceMatrix wrap(MemorySegment segment, long cols) {
    return DeviceMatrix.wrap(queue, segment, 1, cols, cols, DType.F64);
  }

  private static void refused(Executable action, String... parts) {
    contains(assertThrows(IllegalArgumentException.class, action).getMessage(), parts);
  }

  @Test
  void manyForeignSegmentsDoNotStayReachableForEver() {
    // More than the queue remembers between two waits.
    for (int i = 0; i < 200; i++) {
      MemorySegment foreign = Arena.ofAuto().allocate(8, 8);
      try (DeviceMatrix matrix = DeviceMatrix.wrap(queue, foreign, 1, 1, 1, DType.F64)) {
        matrix.fill(i);
      }
      assertEquals(i, foreign.get(ValueLayout.JAVA_DOUBLE, 0));
    }
  }

  @Test
  void eventsOrderQueuesAndReportTheirState() {
    try (Queue other = Device.cpu().newQueue();
        DeviceMatrix matrix = DeviceMatrix.allocate(queue, 1, 4, DType.F32);
        DeviceMatrix there = matrix.on(other)) {
      matrix.fill(2);
      Event event = queue.record();
      other.await(event);
      assertEquals(2, there.get(0, 3));
      queue.sync();
      assertTrue(event.isDone());
      assertTrue(other.sync(java.time.Duration.ofDays(1_000_000)));
      event.close();
      contains(illegalState(event::isDone), "isDone: the event is closed");
      contains(illegalState(() -> other.await(event)), "await: the event is closed");
    }
  }

  /**
   * One thread works, another closes under its hands: each operation either ran whole or says that
   * the matrix is closed, and each close either freed or says that the matrix is in use.
   */
  @Test
  void closingFromASecondThreadNeverCorrupts() throws Exception {
    long before = Device.cpu().memory().liveBytes();
    try (ExecutorService closer = Executors.newSingleThreadExecutor()) {
      for (int round = 0; round < 300; round++) {
        DeviceMatrix x = DeviceMatrix.allocate(queue, 3, 1000, DType.F64);
        DeviceMatrix y = x.like();
        x.fill(2);
        CountDownLatch started = new CountDownLatch(1);
        AtomicReference<String> refusal = new AtomicReference<>("");
        Future<?> closing =
            closer.submit(
                () -> {
                  started.await();
                  while (!x.isClosed()) {
                    try {
                      x.close();
                    } catch (IllegalStateException e) {
                      refusal.set(e.getMessage());
                    }
                  }
                  return true;
                });
        started.countDown();
        boolean open = true;
        while (open) {
          try {
            Mixing.combine(Expression.inner(0.5, x), y);
            assertEquals(1, y.get(2, 999));
          } catch (IllegalStateException e) {
            contains(e.getMessage(), "combine: the matrix 3 x 1000 F64 is closed");
            open = false;
          }
        }
        closing.get();
        if (!refusal.get().isEmpty()) {
          contains(refusal.get(), "in use by the operation \"combine\"");
        }
        y.close();
      }
    }
    assertEquals(before, Device.cpu().memory().liveBytes());
  }

  /** Two threads on one queue: each call ran whole or says that the queue is in use. */
  @Test
  void anotherThreadIsToldWhoHoldsTheQueue() throws Exception {
    try (DeviceMatrix a = DeviceMatrix.allocate(queue, 1, 8, DType.F64);
        ExecutorService executor = Executors.newSingleThreadExecutor()) {
      int mark = queue.behind().begin("held");
      try {
        Future<String> refusal =
            executor.submit(
                () -> assertThrows(IllegalStateException.class, () -> a.fill(1)).getMessage());
        contains(refusal.get(), "in use by the operation \"held\"");
      } finally {
        queue.behind().end(mark);
      }
    }
  }

  /** Scratch is sized for the threads of an operation: they change between operations or not. */
  @Test
  void threadsDoNotChangeUnderAnOperation() throws Exception {
    int before = Device.cpu().threads();
    double[] values = new double[40_000];
    Arrays.setAll(values, i -> Math.sin(i));
    try (DeviceMatrix x = DeviceMatrix.allocate(queue, 8, 5000, DType.F64);
        DeviceMatrix mean = DeviceMatrix.allocate(queue, 1, 5000, DType.F64);
        ExecutorService executor = Executors.newSingleThreadExecutor()) {
      x.upload(values);
      int[] program = NodeTree.program(8);
      Reduction.nodes(program, x, 8, mean);
      double[] expected = mean.toDoubles();
      AtomicBoolean done = new AtomicBoolean();
      AtomicInteger changes = new AtomicInteger();
      Future<?> changing =
          executor.submit(
              () -> {
                for (int i = 0; !done.get(); i++) {
                  try {
                    Device.cpu().threads(1 + i % 7);
                    changes.incrementAndGet();
                  } catch (IllegalStateException e) {
                    contains(e.getMessage(), "operations are running");
                  }
                  // A loop of new pools would leave a single core nothing for the operations.
                  TimeUnit.MICROSECONDS.sleep(100);
                }
                return null;
              });
      try {
        // The scheduler may keep the other thread away from a busy machine for a while.
        for (int i = 0; i < 300 || (changes.get() == 0 && !changing.isDone()); i++) {
          Reduction.nodes(program, x, 8, mean);
          assertArrayEquals(expected, mean.toDoubles());
        }
      } finally {
        done.set(true);
      }
      changing.get();
      assertTrue(changes.get() > 0);
    } finally {
      Device.cpu().threads(before);
    }
  }

  @Test
  void twoThreadsOnOneQueueAreTold() throws Exception {
    try (DeviceMatrix a = DeviceMatrix.allocate(queue, 1, 512, DType.F64);
        DeviceMatrix b = DeviceMatrix.allocate(queue, 1, 512, DType.F64);
        ExecutorService executor = Executors.newFixedThreadPool(2)) {
      Future<Integer> one = executor.submit(() -> fills(a));
      Future<Integer> two = executor.submit(() -> fills(b));
      int done = one.get() + two.get();
      assertTrue(done > 0);
      assertEquals(a.get(0, 0), a.get(0, 511));
      assertEquals(b.get(0, 0), b.get(0, 511));
    }
  }

  private static int fills(DeviceMatrix matrix) {
    int done = 0;
    for (int i = 1; i <= 5000; i++) {
      try {
        matrix.fill(i);
        done++;
      } catch (IllegalStateException e) {
        contains(e.getMessage(), "the queue is in use by the operation");
      }
    }
    return done;
  }
}
