package dev.kith.optimizer;

import dev.kith.device.DType;
import dev.kith.device.DeviceMatrix;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * Reads the format of {@link Snapshot}. The file is checked as a whole before any of it is used:
 * any bytes give a reader or a {@link SnapshotException}, within bounded memory.
 */
final class SnapshotReader implements Snapshot.Reader, AutoCloseable {
  private static final int BLOCK = 1 << 20;
  private static final int HEADER = 8 + 4;

  /** Kind, name length, payload length, file length, checksum. */
  private static final int TRAILER = 1 + 1 + 8 + 8 + 4;

  private record Section(int kind, long position, long length) {}

  private final Path file;
  private final FileChannel channel;
  private final Map<String, Section> sections = new LinkedHashMap<>();

  private SnapshotReader(Path file, FileChannel channel) {
    this.file = file;
    this.channel = channel;
  }

  /**
   * @throws SnapshotException when the bytes are not a whole snapshot of this version
   * @throws IOException when they cannot be read
   */
  static SnapshotReader open(Path file) throws IOException {
    FileChannel channel = FileChannel.open(file, StandardOpenOption.READ);
    SnapshotReader reader = new SnapshotReader(file, channel);
    try {
      reader.check();
      return reader;
    } catch (IOException | RuntimeException e) {
      channel.close();
      throw e;
    }
  }

  private SnapshotException damaged(String why) {
    return new SnapshotException("the snapshot " + file + " is damaged: " + why);
  }

  private void check() throws IOException {
    long length = channel.size();
    if (length < HEADER + TRAILER) {
      throw damaged("it has " + length + " bytes, fewer than the smallest one");
    }
    ByteBuffer header = read(0, HEADER);
    if (header.getLong() != Snapshot.MAGIC) {
      throw damaged("it does not begin like one");
    }
    int version = header.getInt();
    if (version != Snapshot.VERSION) {
      throw new SnapshotException(
          "the snapshot "
              + file
              + " has version "
              + version
              + " and this program reads version "
              + Snapshot.VERSION
              + ": use the program that wrote it");
    }
    checkSum(length);
    index(length);
  }

  private void checkSum(long length) throws IOException {
    CRC32C crc = new CRC32C();
    ByteBuffer block = ByteBuffer.allocate(BLOCK);
    for (long position = 0; position < length - 4; position += block.limit()) {
      block.clear().limit((int) Math.min(BLOCK, length - 4 - position));
      fill(block, position);
      crc.update(block.flip());
    }
    if ((int) crc.getValue() != read(length - 4, 4).getInt()) {
      throw damaged("its checksum does not fit its " + length + " bytes");
    }
  }

  /** Walks over the sections; every length is checked against the file before it is used. */
  private void index(long length) throws IOException {
    long end = length - TRAILER;
    long position = HEADER;
    while (position < end) {
      int kind = Byte.toUnsignedInt(read(position, 1).get());
      if (end - position < 2) {
        throw damaged("a part begins at its end");
      }
      int nameLength = Byte.toUnsignedInt(read(position + 1, 1).get());
      if (kind < SnapshotWriter.TEXT || kind > SnapshotWriter.MATRIX || nameLength == 0) {
        throw damaged("at byte " + position + " there is no part");
      }
      long start = position + 2 + nameLength + 8;
      if (start > end) {
        throw damaged("the part at byte " + position + " goes over its end");
      }
      ByteBuffer head = read(position + 2, nameLength + 8);
      byte[] name = new byte[nameLength];
      head.get(name);
      long payload = head.getLong();
      if (payload < 0 || payload > end - start) {
        throw damaged("the part at byte " + position + " goes over its end");
      }
      boolean numbers = kind == SnapshotWriter.LONGS || kind == SnapshotWriter.DOUBLES;
      if ((kind != SnapshotWriter.MATRIX && payload > Snapshot.MAX_ARRAY_BYTES)
          || (numbers && payload % 8 != 0)) {
        throw damaged("the part at byte " + position + " has an impossible length");
      }
      if (sections.size() >= Snapshot.MAX_SECTIONS
          || sections.put(decode(name), new Section(kind, start, payload)) != null) {
        throw damaged("it has too many parts, or two of one name");
      }
      position = start + payload;
    }
    ByteBuffer trailer = read(end, TRAILER);
    if (trailer.get() != SnapshotWriter.TRAILER
        || trailer.get() != 0
        || trailer.getLong() != 8
        || trailer.getLong() != length) {
      throw damaged("its end is not that of a snapshot");
    }
  }

  private String decode(byte[] utf8) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(utf8)).toString();
    } catch (CharacterCodingException e) {
      throw damaged("a text in it is not UTF-8");
    }
  }

  private ByteBuffer read(long position, int bytes) throws IOException {
    ByteBuffer buffer = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    fill(buffer, position);
    return buffer.flip();
  }

  private void fill(ByteBuffer buffer, long position) throws IOException {
    long at = position;
    while (buffer.hasRemaining()) {
      int count = channel.read(buffer, at);
      if (count < 0) {
        throw damaged("it ended while it was read");
      }
      at += count;
    }
  }

  @Override
  public Path file() {
    return file;
  }

  @Override
  public boolean has(String name) {
    return sections.containsKey(name);
  }

  private Section section(String name, int kind) {
    Section section = sections.get(name);
    if (section == null || section.kind != kind) {
      throw new IllegalArgumentException(
          "the snapshot "
              + file
              + " has "
              + (section == null ? "no part '" : "another kind of part '")
              + name
              + "': resume with the program and the settings that wrote it");
    }
    return section;
  }

  private ByteBuffer payload(String name, int kind) {
    Section section = section(name, kind);
    try {
      return read(section.position, (int) section.length);
    } catch (IOException e) {
      throw new UncheckedIOException("the snapshot " + file + " cannot be read", e);
    }
  }

  @Override
  public String text(String name) {
    return decode(payload(name, SnapshotWriter.TEXT).array());
  }

  @Override
  public long[] longs(String name) {
    ByteBuffer payload = payload(name, SnapshotWriter.LONGS);
    long[] values = new long[payload.remaining() / 8];
    payload.asLongBuffer().get(values);
    return values;
  }

  @Override
  public double[] doubles(String name) {
    ByteBuffer payload = payload(name, SnapshotWriter.DOUBLES);
    double[] values = new double[payload.remaining() / 8];
    payload.asDoubleBuffer().get(values);
    return values;
  }

  @Override
  public byte[] bytes(String name) {
    return payload(name, SnapshotWriter.BYTES).array();
  }

  @Override
  public void requireMatrix(String name, DeviceMatrix like) {
    Section section = section(name, SnapshotWriter.MATRIX);
    String wanted = like.rows() + " x " + like.cols() + " " + like.dtype();
    long payload = SnapshotWriter.MATRIX_HEADER + like.rows() * like.cols() * like.dtype().bytes();
    try {
      String found = "nothing";
      if (section.length >= SnapshotWriter.MATRIX_HEADER) {
        ByteBuffer header = read(section.position, SnapshotWriter.MATRIX_HEADER);
        int dtype = header.getInt();
        found =
            header.getLong()
                + " x "
                + header.getLong()
                + " "
                + (dtype >= 0 && dtype < DType.values().length
                    ? DType.values()[dtype]
                    : "of type " + dtype);
      }
      if (!found.equals(wanted) || section.length != payload) {
        throw new IllegalArgumentException(
            "the snapshot "
                + file
                + " has "
                + found
                + " for '"
                + name
                + "' where this run has "
                + wanted
                + ": resume with the same settings, or start anew");
      }
    } catch (IOException e) {
      throw new UncheckedIOException("the snapshot " + file + " cannot be read", e);
    }
  }

  @Override
  public void matrix(String name, DeviceMatrix into) {
    requireMatrix(name, into);
    long[] position = {
      section(name, SnapshotWriter.MATRIX).position + SnapshotWriter.MATRIX_HEADER
    };
    MatrixBlocks.forEach(
        into,
        BLOCK,
        (window, bytes) -> {
          try (Arena arena = Arena.ofConfined()) {
            MemorySegment host = arena.allocate(bytes, 64);
            fill(host.asByteBuffer(), position[0]);
            position[0] += bytes;
            window.upload(host, window.cols());
            window.queue().sync();
          } catch (IOException e) {
            throw new UncheckedIOException("the snapshot " + file + " cannot be read", e);
          }
        });
  }

  @Override
  public void close() throws IOException {
    channel.close();
  }
}
