package dev.kith.lab.data;

import dev.kith.problem.ClassificationData;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The IDX format of the MNIST files: a big-endian magic number (two zero bytes, the element type,
 * the number of dimensions), the dimensions, then the elements. Elements are unsigned bytes (type
 * 8); images and labels are two files.
 */
final class IdxReader {
  private static final int UNSIGNED_BYTE = 8;
  private static final int BLOCK = 1 << 20;

  private record Header(int dimensions, int items, long itemSize) {}

  private IdxReader() {}

  static boolean looksLikeIdx(byte[] head) {
    return head.length >= 4 && head[0] == 0 && head[1] == 0 && head[3] >= 1 && head[3] <= 4;
  }

  static RawData read(String name, DataStream images, DataStream labels) {
    Header imageHeader = header(images);
    if (imageHeader.dimensions < 2) {
      throw new DataFileException(
          images.name() + " holds labels (one dimension); name the file with the images instead");
    }
    Header labelHeader = header(labels);
    if (labelHeader.dimensions != 1) {
      throw new DataFileException(
          "%s has %d dimensions; a file of labels has one"
              .formatted(labels.name(), labelHeader.dimensions));
    }
    if (imageHeader.items != labelHeader.items) {
      throw new DataFileException(
          "%s holds %d images and %s %d labels; they must match"
              .formatted(images.name(), imageHeader.items, labels.name(), labelHeader.items));
    }
    if (imageHeader.items == 0) {
      throw new DataFileException(images.name() + " holds no image");
    }
    byte[] classes = body(labels, labelHeader.items);
    byte[] pixels = body(images, imageHeader.items * imageHeader.itemSize);
    float[] values = new float[pixels.length];
    for (int i = 0; i < pixels.length; i++) {
      values[i] = pixels[i] & 0xff;
    }
    int[] rows = IntStream.range(0, classes.length).map(i -> classes[i] & 0xff).toArray();
    int count = Arrays.stream(rows).max().orElseThrow() + 1;
    List<String> names = IntStream.range(0, count).mapToObj(Integer::toString).toList();
    return new RawData(
        ClassificationData.of(name, (int) imageHeader.itemSize, count, values, rows),
        "idx",
        255,
        names,
        List.of(images.sha256(), labels.sha256()));
  }

  private static Header header(DataStream in) {
    byte[] magic = exactly(in, 4, 4);
    if (magic[0] != 0 || magic[1] != 0 || magic[3] < 1 || magic[3] > 4) {
      throw new DataFileException(
          "%s is no IDX file: its first four bytes are %02x %02x %02x %02x"
              .formatted(in.name(), magic[0], magic[1], magic[2], magic[3]));
    }
    if (magic[2] != UNSIGNED_BYTE) {
      throw new DataFileException(
          "%s, byte 2: its elements have the IDX type 0x%02x; only unsigned bytes (0x08) are read"
              .formatted(in.name(), magic[2]));
    }
    ByteBuffer sizes = ByteBuffer.wrap(exactly(in, 4 * magic[3], 4L + 4 * magic[3]));
    int items = sizes.getInt();
    long itemSize = 1;
    boolean fits = items >= 0;
    while (sizes.hasRemaining()) {
      int size = sizes.getInt();
      fits &= size >= 1;
      itemSize = fits ? Math.min(itemSize * size, Integer.MAX_VALUE) : 1;
    }
    if (!fits || items * itemSize > Integer.MAX_VALUE - 8) {
      throw new DataFileException(
          "%s, byte 4: the dimensions in its header are below 1 or more than 2^31 elements together"
              .formatted(in.name()));
    }
    return new Header(magic[3], items, itemSize);
  }

  /** Reads in blocks: a header that promises more than the file holds costs no memory. */
  private static byte[] body(DataStream in, long size) {
    long header = in.position();
    byte[] bytes = new byte[(int) Math.min(size, BLOCK)];
    int filled = 0;
    while (filled < size) {
      if (filled == bytes.length) {
        bytes = Arrays.copyOf(bytes, (int) Math.min(size, 2L * bytes.length));
      }
      int count = in.read(bytes, filled, bytes.length - filled);
      if (count < 0) {
        throw new DataFileException(
            "%s ends after byte %d; its header promises %d bytes"
                .formatted(in.name(), header + filled, header + size));
      }
      filled += count;
    }
    if (in.read() >= 0) {
      throw new DataFileException(
          "%s goes on after byte %d, where its header says that it ends"
              .formatted(in.name(), header + size));
    }
    return bytes;
  }

  private static byte[] exactly(DataStream in, int count, long promised) {
    byte[] bytes = new byte[count];
    int filled = 0;
    while (filled < count) {
      int read = in.read(bytes, filled, count - filled);
      if (read < 0) {
        throw new DataFileException(
            "%s ends after byte %d; an IDX header has at least %d"
                .formatted(in.name(), in.position(), promised));
      }
      filled += read;
    }
    return bytes;
  }
}
