package dev.kith.device;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.kith.internal.Access;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class DeviceMatrixTest {
  private Queue queue;

  @BeforeEach
  void open() {
    queue = Device.cpu().newQueue();
  }

  @AfterEach
  void close() {
    queue.close();
  }

  private static void refused(Executable action, String... parts) {
    String text = assertThrows(IllegalArgumentException.class, action).getMessage();
    for (String part : parts) {
      assertTrue(text.contains(part), () -> "\"" + part + "\" is not in: " + text);
    }
  }

  @Test
  void bitsAreReadAsAnotherTypeOfTheSameSize() {
    try (DeviceMatrix base = DeviceMatrix.allocate(queue, 3, 5, DType.F32);
        DeviceMatrix part = base.rows(1, 3).columns(1, 4);
        DeviceMatrix words = part.bits(DType.I32)) {
      part.upload(new float[] {1, -2, 0.5f, -0f, Float.MIN_VALUE, 3});
      assertArrayEquals(
          new int[] {0x3f800000, 0xc0000000, 0x3f000000, 0x80000000, 1, 0x40400000},
          words.toInts());
      words.set(1, 2, 0x3f800000);
      assertEquals(1, base.get(2, 3));
      refused(() -> part.bits(DType.F64), "F32", "4", "F64", "8", "same size");
      DeviceMatrix gone = base.row(0);
      gone.close();
      assertThrows(IllegalStateException.class, () -> gone.bits(DType.I32));
    }
  }

  @ParameterizedTest
  @EnumSource(DType.class)
  void whatGoesUpComesDown(DType dtype) {
    // Small integers are exact in every type; the view makes strides that differ from the columns.
    try (DeviceMatrix base = DeviceMatrix.allocate(queue, 5, 11, dtype);
        DeviceMatrix view = base.rows(1, 4).columns(2, 9)) {
      int[] ints = new int[21];
      float[] floats = new float[21];
      double[] doubles = new double[21];
      for (int i = 0; i < 21; i++) {
        doubles[i] = floats[i] = ints[i] = i * 7 - 60;
      }
      view.upload(floats);
      assertArrayEquals(doubles, view.toDoubles());
      view.fill(0);
      view.upload(doubles);
      assertArrayEquals(ints, view.toInts());
      view.fill(0);
      view.upload(ints);
      assertArrayEquals(floats, view.toFloats());
      assertEquals(doubles[9], view.get(1, 2));
      view.set(1, 2, 5);
      assertEquals(5, base.get(2, 4));
      // Nothing outside was touched.
      double sum = 0;
      for (double value : base.toDoubles()) {
        sum += value;
      }
      double inside = 5 - doubles[9];
      for (double value : doubles) {
        inside += value;
      }
      assertEquals(inside, sum);
    }
  }

  @Test
  void conversionsRoundOnce() {
    double aboveMiddle = 1 + 0x1p-8 + 0x1p-40;
    try (DeviceMatrix m = DeviceMatrix.allocate(queue, 1, 1, DType.BF16)) {
      m.upload(new double[] {aboveMiddle});
      assertEquals(1 + 0x1p-7, m.get(0, 0));
      m.set(0, 0, aboveMiddle);
      assertEquals(1 + 0x1p-7, m.get(0, 0));
    }
    try (DeviceMatrix m = DeviceMatrix.row(queue, 0.1)) {
      assertEquals(0.1f, m.toFloats()[0]);
      assertEquals(0.1, m.toDoubles()[0]);
    }
  }

  @Test
  void integersAreTruncatedAndMustFit() {
    try (DeviceMatrix m = DeviceMatrix.allocate(queue, 1, 2, DType.I32);
        DeviceMatrix d = DeviceMatrix.row(queue, 3e9, Double.NaN)) {
      m.upload(new double[] {-2.9, 2147483647.5});
      assertArrayEquals(new int[] {-2, Integer.MAX_VALUE}, m.toInts());
      refused(() -> m.upload(new float[] {0, 3e9f}), "does not fit into I32");
      refused(() -> m.set(0, 0, Double.NaN), "NaN does not fit into I32");
      refused(() -> m.fill(3e9), "fill: ");
      refused(d::toInts, "3.0E9 does not fit");
      assertArrayEquals(new int[] {-2, Integer.MAX_VALUE}, m.toInts());
    }
  }

  @Test
  void matricesLargerThanTheStagingMemoryMoveInPieces() {
    // Rows of more than a piece, and pieces of several rows with a rest.
    for (int[] shape : new int[][] {{3, 150_001}, {2_003, 301}}) {
      double[] values = new double[shape[0] * shape[1]];
      for (int i = 0; i < values.length; i++) {
        values[i] = i;
      }
      try (DeviceMatrix base = DeviceMatrix.allocate(queue, shape[0], shape[1] + 1, DType.F64);
          DeviceMatrix view = base.columns(1, shape[1] + 1)) {
        view.upload(values);
        assertArrayEquals(values, view.toDoubles());
        MemorySegment heap = MemorySegment.ofArray(new double[values.length]);
        view.download(heap, shape[1]);
        assertArrayEquals(values, heap.toArray(ValueLayout.JAVA_DOUBLE));
        view.fill(0);
        view.upload(heap, shape[1]);
        assertArrayEquals(values, view.toDoubles());
      }
    }
  }

  @Test
  void segmentsAreElementsOfTheDtypeWithAStride() {
    try (Arena arena = Arena.ofConfined();
        DeviceMatrix m = DeviceMatrix.allocate(queue, 2, 2, DType.BF16)) {
      MemorySegment host =
          arena.allocateFrom(
              ValueLayout.JAVA_SHORT,
              (short) 0x3f80,
              (short) 0x4000,
              (short) 9,
              (short) 0x4040,
              (short) 0x4080);
      m.upload(host, 3);
      assertArrayEquals(new double[] {1, 2, 3, 4}, m.toDoubles());
      host.fill((byte) 0);
      m.download(host, 3);
      assertEquals(0, host.getAtIndex(ValueLayout.JAVA_SHORT, 2));
      assertEquals((short) 0x4080, host.getAtIndex(ValueLayout.JAVA_SHORT, 4));
      refused(() -> m.upload(host, 4), "takes 12 bytes and the segment has 10");
      refused(() -> m.upload(host, 1), "stride of 1");
      refused(() -> m.download(host.asReadOnly(), 3), "read-only");
    }
  }

  @Test
  void arraysOfAnotherLengthAreRefused() {
    try (DeviceMatrix m = DeviceMatrix.allocate(queue, 2, 3, DType.F32)) {
      refused(() -> m.upload(new float[5]), "2 x 3 F32", "6 elements", "5");
      refused(() -> m.upload(new double[7]), "7");
      refused(() -> m.upload(new int[0]), "0");
    }
    refused(
        () -> DeviceMatrix.of(queue, new float[][] {{1}, {1, 2}}), "row 1 has 2", "row 0 has 1");
  }

  @Test
  void emptyMatricesAreMatrices() {
    for (long[] shape : new long[][] {{0, 0}, {0, 5}, {5, 0}}) {
      try (DeviceMatrix m = DeviceMatrix.allocate(queue, shape[0], shape[1], DType.F32);
          DeviceMatrix other = m.like()) {
        m.fill(1);
        m.upload(new float[0]);
        other.copyFrom(m);
        assertEquals(0, other.toDoubles().length);
        assertEquals(0, m.segment().byteSize());
      }
    }
    try (DeviceMatrix none = DeviceMatrix.of(queue, new float[0][])) {
      assertEquals(0, none.rows());
    }
  }

  @Test
  void impossibleShapesAreRefused() {
    refused(() -> DeviceMatrix.allocate(queue, -1, 3, DType.F32), "-1 x 3");
    refused(() -> DeviceMatrix.allocate(queue, 1L << 40, 1L << 40, DType.F32), "address space");
    KithException memory =
        assertThrows(
            KithException.class, () -> DeviceMatrix.allocate(queue, 1L << 20, 1L << 30, DType.F64));
    assertEquals("OUT_OF_MEMORY", memory.status());
    assertEquals("allocate", memory.operation());
    assertTrue(memory.getMessage().startsWith("allocate: "), memory.getMessage());
  }

  @Test
  void viewsAreWindows() {
    Layout layout = Layout.builder().tensor("w", "a", 2, 3).tensor("b", "b", 2).build();
    try (DeviceMatrix m = DeviceMatrix.allocate(queue, 3, layout, DType.F32)) {
      float[] values = new float[24];
      for (int i = 0; i < 24; i++) {
        values[i] = i;
      }
      m.upload(values);
      try (DeviceMatrix row = m.row(1);
          DeviceMatrix w = row.tensor("w");
          DeviceMatrix all = m.tensor("b");
          DeviceMatrix some = m.rows(1, 3).columns(2, 4)) {
        assertArrayEquals(new double[] {8, 9, 10, 11, 12, 13}, w.toDoubles());
        assertEquals(2, w.rows());
        assertEquals(3, w.stride());
        assertEquals(Optional.of(layout), row.layout());
        assertEquals(Optional.empty(), w.layout());
        assertArrayEquals(new double[] {6, 7, 14, 15, 22, 23}, all.toDoubles());
        assertEquals(Optional.empty(), all.layout());
        assertArrayEquals(new double[] {10, 11, 18, 19}, some.toDoubles());
        w.fill(-1);
        assertEquals(-1, m.get(1, 5));
        assertEquals(14, m.get(1, 6));
        refused(() -> m.tensor("c"), "\"c\"");
        refused(() -> all.tensor("b"), "no layout");
      }
      assertEquals(Optional.of(layout), m.like().layout());
      assertEquals(Optional.of(layout), m.like(9, 8, DType.F64).layout());
      assertEquals(Optional.empty(), m.like(9, 7, DType.F64).layout());
      assertEquals(Optional.of(layout), m.columns(0, 8).layout());
      assertEquals(
          Optional.of(Layout.builder().tensor("b", "b", 2).build()), m.columns(6, 8).layout());
      assertEquals(Optional.empty(), m.columns(5, 8).layout());
      assertEquals(Optional.empty(), m.columns(6, 7).layout());
    }
    try (DeviceMatrix m = DeviceMatrix.allocate(queue, 3, 4, DType.F32)) {
      assertThrows(IndexOutOfBoundsException.class, () -> m.row(3));
      assertThrows(IndexOutOfBoundsException.class, () -> m.rows(2, 4));
      assertThrows(IndexOutOfBoundsException.class, () -> m.columns(-1, 2));
      assertThrows(IndexOutOfBoundsException.class, () -> m.get(0, 4));
      assertThrows(IndexOutOfBoundsException.class, () -> m.set(3, 0, 1));
    }
  }

  @Test
  void wideRowsStartOnCacheLinesAndNotOnPages() {
    assertEquals(64, stride(100_000, 64, DType.F32));
    assertEquals(1001, stride(4, 1001, DType.F32));
    assertEquals(4_000_000 + 0, stride(1, 4_000_000, DType.F32));
    assertEquals(4_000_000, stride(16, 4_000_000, DType.F32));
    assertEquals(4_194_304 + 16, stride(16, 4_194_304, DType.F32));
    assertEquals(1024 + 16, stride(2, 1024, DType.F32));
    assertEquals(4096 + 32, stride(2, 4096, DType.BF16));
    assertEquals(1040, stride(2, 1025, DType.F32));
    assertEquals(1032, stride(2, 1025, DType.F64));
  }

  private long stride(long rows, long cols, DType dtype) {
    return Strides.padded(rows, cols, dtype);
  }

  @Test
  void copiesConvertAndRefuseOverlap() {
    try (DeviceMatrix m = DeviceMatrix.of(queue, new double[][] {{1.5, 2.5}, {3.5, 0.1}});
        DeviceMatrix half = m.like(2, 2, DType.F16);
        DeviceMatrix other = m.like(2, 3, DType.F64);
        DeviceMatrix left = other.columns(0, 2);
        DeviceMatrix right = other.columns(1, 3)) {
      half.copyFrom(m);
      assertArrayEquals(new double[] {1.5, 2.5, 3.5, 0.0999755859375}, half.toDoubles());
      refused(() -> other.copyFrom(m), "2 x 2 F64", "2 x 3 F64");
      refused(() -> left.copyFrom(right), "overlap");
      left.copyFrom(left);
    }
  }

  /**
   * Compares the test for overlap with the sets of bytes, for all pairs of small windows of one
   * matrix.
   */
  @Test
  void overlapIsExactForViewsOfOneMatrix() {
    try (DeviceMatrix base = DeviceMatrix.allocate(queue, 3, 5, DType.F32)) {
      DeviceMatrix[] views = new DeviceMatrix[6 * 15];
      int count = 0;
      for (int r = 0; r < 3; r++) {
        for (int r2 = r + 1; r2 <= 3; r2++) {
          for (int c = 0; c < 5; c++) {
            for (int c2 = c + 1; c2 <= 5; c2++) {
              views[count++] = base.rows(r, r2).columns(c, c2);
            }
          }
        }
      }
      assertEquals(views.length, count);
      for (DeviceMatrix a : views) {
        for (DeviceMatrix b : views) {
          Set<Long> both = elements(a);
          both.retainAll(elements(b));
          assertEquals(
              !both.isEmpty(),
              Access.window(a).overlaps(Access.window(b)),
              () -> elements(a) + " and " + elements(b));
          assertEquals(elements(a).equals(elements(b)), Access.window(a).sameAs(Access.window(b)));
        }
      }
      for (DeviceMatrix view : views) {
        view.close();
      }
    }
  }

  private static Set<Long> elements(DeviceMatrix m) {
    Set<Long> addresses = new HashSet<>();
    long start = m.segment().address();
    for (long r = 0; r < m.rows(); r++) {
      for (long c = 0; c < m.cols(); c++) {
        addresses.add(start + 4 * (r * m.stride() + c));
      }
    }
    return addresses;
  }

  @Test
  void twoWrapsOfOneMemoryOverlap() {
    try (Arena arena = Arena.ofShared()) {
      MemorySegment memory = arena.allocate(64, 64);
      try (DeviceMatrix a = DeviceMatrix.wrap(queue, memory, 1, 8, 8, DType.F32);
          DeviceMatrix b = DeviceMatrix.wrap(queue, memory.asSlice(16), 1, 8, 8, DType.F32)) {
        refused(() -> a.copyFrom(b), "overlap");
      }
    }
  }

  @Test
  void theAddressIsThatOfTheFirstElement() {
    DeviceMatrix matrix = DeviceMatrix.allocate(queue, 4, 6, DType.F64);
    try (DeviceMatrix view = matrix.rows(1, 3).columns(2, 5)) {
      assertEquals(matrix.segment().address(), matrix.address());
      assertEquals(matrix.address() + 8 * (matrix.stride() + 2), view.address());
    }
    matrix.close();
    assertThrows(IllegalStateException.class, matrix::address);
  }
}
