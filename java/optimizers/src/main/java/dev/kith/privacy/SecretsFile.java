package dev.kith.privacy;

import dev.kith.kernel.Secret;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.zip.CRC32C;

/**
 * The file of {@link NoiseSecrets}, version 1, little-endian: the 8 bytes {@code KITHKEYS}, the
 * version (i32), the 16 bytes of the id, the number of secrets (i32), and for each its kind (i32: 1
 * node, 2 edge, 3 group, 4 server), two node numbers (i32, 0 where there are none) and its 32
 * bytes; then the CRC32C of all before it.
 */
final class SecretsFile {
  static final int ID_BYTES = 16;

  private static final long MAGIC = 0x5359454B4854494BL; // "KITHKEYS", little-endian
  private static final int VERSION = 1;
  private static final int HEAD = 8 + 4 + ID_BYTES + 4;
  private static final int ENTRY = 12 + Secret.BYTES;
  private static final int MOST = 1 << 24;
  private static final Set<PosixFilePermission> OWNER =
      EnumSet.of(PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE);

  private SecretsFile() {}

  static void write(Path file, String id, Map<NoiseFactor.Secret, Secret> secrets) {
    Path fresh = file.resolveSibling(file.getFileName() + ".new");
    long length = HEAD + (long) ENTRY * secrets.size() + 4;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bytes = arena.allocate(length);
      try {
        fill(bytes, id, secrets);
        // A file that is there already may be open to others: a new one is made, with its mode.
        Files.deleteIfExists(fresh);
        try (FileChannel channel =
            FileChannel.open(
                fresh,
                EnumSet.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
                PosixFilePermissions.asFileAttribute(OWNER))) {
          ByteBuffer buffer = bytes.asByteBuffer();
          while (buffer.hasRemaining()) {
            channel.write(buffer);
          }
          channel.force(true);
        }
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE);
        try (FileChannel folder =
            FileChannel.open(file.toAbsolutePath().getParent(), StandardOpenOption.READ)) {
          folder.force(true);
        }
      } finally {
        bytes.fill((byte) 0);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(
          "the secrets cannot be written to " + file + " (" + reason(e) + "): give another folder",
          e);
    } catch (UnsupportedOperationException e) {
      throw new IllegalStateException(
          "the file system of " + file + " cannot keep a file from others: give another folder", e);
    }
  }

  private static void fill(
      MemorySegment bytes, String id, Map<NoiseFactor.Secret, Secret> secrets) {
    ByteBuffer out = bytes.asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    out.putLong(MAGIC).putInt(VERSION).put(HexFormat.of().parseHex(id)).putInt(secrets.size());
    secrets.forEach(
        (holder, secret) -> {
          switch (holder) {
            case NoiseFactor.Secret.OfNode node -> out.putInt(1).putInt(node.node()).putInt(0);
            case NoiseFactor.Secret.OfEdge edge ->
                out.putInt(2).putInt(edge.first()).putInt(edge.second());
            case NoiseFactor.Secret.OfGroup group -> out.putInt(3).putInt(0).putInt(0);
            case NoiseFactor.Secret.OfServer server -> out.putInt(4).putInt(0).putInt(0);
          }
          secret.copyTo(bytes.asSlice(out.position(), Secret.BYTES));
          out.position(out.position() + Secret.BYTES);
        });
    out.putInt(checksum(bytes));
  }

  private static int checksum(MemorySegment bytes) {
    CRC32C crc = new CRC32C();
    crc.update(bytes.asSlice(0, bytes.byteSize() - 4).asByteBuffer());
    return (int) crc.getValue();
  }

  static NoiseSecrets read(Path file) {
    try (Arena arena = Arena.ofConfined();
        FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      if (!OWNER.containsAll(Files.getPosixFilePermissions(file))) {
        throw new IllegalStateException(
            "the secrets in "
                + file
                + " can be read or changed by others: start anew, or make the file the owner's"
                + " alone (mode 600) if nobody has");
      }
      long length = channel.size();
      if (length < HEAD + 4 || length > HEAD + (long) ENTRY * MOST) {
        throw damaged(file);
      }
      MemorySegment bytes = arena.allocate(length);
      try {
        ByteBuffer buffer = bytes.asByteBuffer();
        while (buffer.hasRemaining() && channel.read(buffer) >= 0) {
          // Until all of it is there.
        }
        return parse(file, bytes);
      } finally {
        bytes.fill((byte) 0);
      }
    } catch (NoSuchFileException e) {
      throw new UncheckedIOException(
          "there is no file of secrets "
              + file
              + ", without which the noise of this run cannot go on: bring it back, or start anew",
          e);
    } catch (IOException e) {
      throw new UncheckedIOException(
          "the secrets in " + file + " cannot be read (" + reason(e) + "): start anew", e);
    }
  }

  private static NoiseSecrets parse(Path file, MemorySegment bytes) {
    ByteBuffer in = bytes.asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    boolean known = in.getLong() == MAGIC && in.getInt() == VERSION;
    byte[] id = new byte[ID_BYTES];
    in.get(id);
    long count = in.getInt();
    if (!known
        || bytes.byteSize() != HEAD + ENTRY * count + 4
        || in.getInt((int) bytes.byteSize() - 4) != checksum(bytes)) {
      throw damaged(file);
    }
    Map<NoiseFactor.Secret, Secret> secrets = new LinkedHashMap<>();
    byte[] key = new byte[Secret.BYTES];
    for (long k = 0; k < count; k++) {
      int kind = in.getInt();
      int first = in.getInt();
      int second = in.getInt();
      in.get(key);
      NoiseFactor.Secret holder =
          switch (kind) {
            case 1 -> new NoiseFactor.Secret.OfNode(first);
            case 2 -> new NoiseFactor.Secret.OfEdge(first, second);
            case 3 -> new NoiseFactor.Secret.OfGroup();
            case 4 -> new NoiseFactor.Secret.OfServer();
            default -> throw damaged(file);
          };
      secrets.put(holder, Secret.of(key));
    }
    Arrays.fill(key, (byte) 0);
    return new NoiseSecrets(HexFormat.of().formatHex(id), secrets);
  }

  private static IllegalStateException damaged(Path file) {
    return new IllegalStateException(
        "the file of secrets " + file + " is damaged or of another version: start anew");
  }

  private static String reason(IOException e) {
    return e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
  }
}
