package dev.kith.lab.data;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * The bytes of a data file, unpacked where it is gzip'ed, with the SHA-256 of the file as stored.
 * Reads at most {@link #LIMIT} unpacked bytes: a small hostile file cannot unpack without end.
 */
final class DataStream extends InputStream {
  /** 16 GiB: above any data set that this reader is meant for. */
  static final long LIMIT = 1L << 34;

  private final String name;
  private final DigestInputStream stored;
  private final InputStream unpacked;
  private long position;

  private DataStream(String name, InputStream source) throws IOException {
    this.name = name;
    MessageDigest sha256;
    try {
      sha256 = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
    this.stored = new DigestInputStream(source, sha256);
    BufferedInputStream peek = new BufferedInputStream(stored, 1 << 16);
    peek.mark(2);
    boolean gzip = peek.read() == 0x1f && peek.read() == 0x8b;
    peek.reset();
    this.unpacked =
        gzip ? new BufferedInputStream(new GZIPInputStream(peek, 1 << 16), 1 << 16) : peek;
  }

  static DataStream open(Path path) {
    if (Files.isDirectory(path)) {
      throw new DataFileException(path + " is a folder; name a file in it");
    }
    try {
      return of(path.getFileName().toString(), Files.newInputStream(path));
    } catch (NoSuchFileException | FileNotFoundException e) {
      throw new DataFileException("there is no file " + path, e);
    } catch (AccessDeniedException e) {
      throw new DataFileException("the file " + path + " may not be read by this user", e);
    } catch (IOException e) {
      throw new DataFileException(
          "the file %s cannot be read: %s".formatted(path, e.getMessage()), e);
    }
  }

  static DataStream of(String name, InputStream source) {
    try {
      return new DataStream(name, source);
    } catch (IOException e) {
      throw new DataFileException(
          "the file %s cannot be read: %s".formatted(name, e.getMessage()), e);
    }
  }

  String name() {
    return name;
  }

  /** Unpacked bytes read so far. */
  long position() {
    return position;
  }

  @Override
  public int read() {
    byte[] one = new byte[1];
    return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
  }

  @Override
  public int read(byte[] to, int offset, int length) {
    try {
      int count = unpacked.read(to, offset, length);
      if (count > 0) {
        position += count;
        if (position > LIMIT) {
          throw new DataFileException(
              "%s unpacks to more than %d GiB".formatted(name, LIMIT >> 30));
        }
      }
      return count;
    } catch (EOFException | ZipException e) {
      throw new DataFileException(
          "%s is damaged: its gzip stream breaks after %d unpacked bytes".formatted(name, position),
          e);
    } catch (IOException e) {
      throw new DataFileException(
          "the file %s cannot be read: %s".formatted(name, e.getMessage()), e);
    }
  }

  /** Of the stored bytes; reads them to their end first. */
  String sha256() {
    try {
      stored.transferTo(OutputStream.nullOutputStream());
    } catch (IOException e) {
      throw new DataFileException(
          "the file %s cannot be read: %s".formatted(name, e.getMessage()), e);
    }
    return HexFormat.of().formatHex(stored.getMessageDigest().digest());
  }

  @Override
  public void close() {
    try {
      unpacked.close();
    } catch (IOException e) {
      throw new DataFileException(
          "the file %s cannot be closed: %s".formatted(name, e.getMessage()), e);
    }
  }
}
