package dev.kith.optimizer;

import dev.kith.device.DeviceMatrix;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.util.HashSet;
import java.util.Set;
import java.util.zip.CRC32C;

/** Writes the format of {@link Snapshot} in blocks of a megabyte. */
final class SnapshotWriter implements Snapshot.Writer {
  static final int TRAILER = 0;
  static final int TEXT = 1;
  static final int LONGS = 2;
  static final int DOUBLES = 3;
  static final int BYTES = 4;
  static final int MATRIX = 5;

  /** Bytes before the rows of a matrix. */
  static final int MATRIX_HEADER = 4 + 8 + 8;

  private static final int BLOCK = 1 << 20;

  private final FileChannel channel;
  private final CRC32C crc = new CRC32C();
  private final ByteBuffer block = ByteBuffer.allocateDirect(BLOCK).order(ByteOrder.LITTLE_ENDIAN);
  private final Set<String> names = new HashSet<>();
  private long written;

  SnapshotWriter(FileChannel channel) {
    this.channel = channel;
    block.putLong(Snapshot.MAGIC).putInt(Snapshot.VERSION);
  }

  @Override
  public void text(String name, String value) {
    array(TEXT, name, ByteBuffer.wrap(value.getBytes(StandardCharsets.UTF_8)));
  }

  @Override
  public void longs(String name, long... values) {
    ByteBuffer payload = payload(values.length);
    payload.asLongBuffer().put(values);
    array(LONGS, name, payload);
  }

  @Override
  public void doubles(String name, double... values) {
    ByteBuffer payload = payload(values.length);
    payload.asDoubleBuffer().put(values);
    array(DOUBLES, name, payload);
  }

  @Override
  public void bytes(String name, byte[] value) {
    array(BYTES, name, ByteBuffer.wrap(value));
  }

  private static ByteBuffer payload(int numbers) {
    return ByteBuffer.allocate(Math.multiplyExact(numbers, 8)).order(ByteOrder.LITTLE_ENDIAN);
  }

  private void array(int kind, String name, ByteBuffer payload) {
    if (payload.remaining() > Snapshot.MAX_ARRAY_BYTES) {
      throw new IllegalArgumentException(
          "the part "
              + name
              + " has "
              + payload.remaining()
              + " bytes: a snapshot takes arrays up to "
              + Snapshot.MAX_ARRAY_BYTES
              + ", and matrices of any size");
    }
    section(kind, name, payload.remaining());
    put(payload);
  }

  @Override
  public void matrix(String name, DeviceMatrix matrix) {
    long rowBytes = matrix.cols() * matrix.dtype().bytes();
    section(MATRIX, name, MATRIX_HEADER + matrix.rows() * rowBytes);
    reserve(MATRIX_HEADER);
    block.putInt(matrix.dtype().ordinal()).putLong(matrix.rows()).putLong(matrix.cols());
    MatrixBlocks.forEach(
        matrix,
        BLOCK,
        (window, bytes) -> {
          try (Arena arena = Arena.ofConfined()) {
            MemorySegment host = arena.allocate(bytes, 64);
            window.download(host, window.cols());
            put(host.asByteBuffer());
          }
        });
  }

  private void section(int kind, String name, long payload) {
    byte[] utf8 = name.getBytes(StandardCharsets.UTF_8);
    if (utf8.length == 0 || utf8.length > 255 || !names.add(name)) {
      throw new IllegalArgumentException(
          "the part '" + name + "' needs a name of its own of 1 to 255 bytes");
    }
    if (names.size() >= Snapshot.MAX_SECTIONS) {
      throw new IllegalArgumentException(
          "a snapshot takes fewer than "
              + Snapshot.MAX_SECTIONS
              + " parts, and '"
              + name
              + "' is one too many");
    }
    reserve(2 + utf8.length + 8);
    block.put((byte) kind).put((byte) utf8.length).put(utf8).putLong(payload);
  }

  /** Writes the trailer; nothing may follow. */
  void finish() {
    reserve(2 + 8 + 8);
    long length = written + block.position() + 2 + 8 + 8 + 4;
    block.put((byte) TRAILER).put((byte) 0).putLong(8).putLong(length);
    flush();
    block.putInt((int) crc.getValue());
    flush();
  }

  private void put(ByteBuffer bytes) {
    while (bytes.hasRemaining()) {
      reserve(1);
      int count = Math.min(bytes.remaining(), block.remaining());
      block.put(bytes.slice(bytes.position(), count));
      bytes.position(bytes.position() + count);
    }
  }

  private void reserve(int bytes) {
    if (block.remaining() < bytes) {
      flush();
    }
  }

  private void flush() {
    block.flip();
    crc.update(block.duplicate());
    try {
      while (block.hasRemaining()) {
        written += channel.write(block);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    block.clear();
  }
}
