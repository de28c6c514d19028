package dev.kith.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.security.MessageDigest;
import java.security.SecureRandom;
import java.util.Arrays;

/**
 * A key of 256 bits that noise is made from: of a node, which never leaves it; of an edge, which
 * its two ends agreed on; or of a group. Whoever has it can make the noise again and take it away.
 *
 * <p>The bytes lie outside the Java heap, where no collector copies them, and are overwritten by
 * {@link #close}. Text of a secret does not show it, and it cannot be serialized. Thread-safe.
 */
public final class Secret implements AutoCloseable {
  /** Bytes of a secret. */
  public static final int BYTES = 32;

  private final MemorySegment bytes = Arena.ofAuto().allocate(BYTES);
  private boolean closed;

  private Secret(byte[] from) {
    MemorySegment.copy(from, 0, bytes, ValueLayout.JAVA_BYTE, 0, BYTES);
  }

  /**
   * A secret of given bytes, which are copied; the caller overwrites them.
   *
   * @param bytes 32 bytes that nobody else can guess: of a key agreement or a key derivation
   * @return the secret; close it
   * @throws IllegalArgumentException if there are not 32 bytes
   */
  public static Secret of(byte[] bytes) {
    if (bytes.length != BYTES) {
      throw new IllegalArgumentException(
          "a secret has " + BYTES + " bytes and these are " + bytes.length);
    }
    return new Secret(bytes);
  }

  /**
   * A new secret from the system's source of randomness.
   *
   * @return the secret; close it
   */
  public static Secret random() {
    byte[] drawn = new byte[BYTES];
    new SecureRandom().nextBytes(drawn);
    try {
      return new Secret(drawn);
    } finally {
      Arrays.fill(drawn, (byte) 0);
    }
  }

  /**
   * Copies the bytes, to make noise of them or to keep them in a file that nobody else can read;
   * the caller overwrites the copy.
   *
   * @param target 32 bytes
   * @throws IllegalStateException when it is closed
   */
  public synchronized void copyTo(MemorySegment target) {
    if (closed) {
      throw new IllegalStateException("the secret is closed; make noise before that");
    }
    target.copyFrom(bytes);
  }

  private synchronized byte[] copy() {
    return bytes.toArray(ValueLayout.JAVA_BYTE);
  }

  /** Whether the bytes are equal, in a time that does not depend on them; closed ones are zeros. */
  @Override
  public boolean equals(Object other) {
    if (!(other instanceof Secret secret)) {
      return false;
    }
    byte[] mine = copy();
    byte[] theirs = secret.copy();
    try {
      return MessageDigest.isEqual(mine, theirs);
    } finally {
      Arrays.fill(mine, (byte) 0);
      Arrays.fill(theirs, (byte) 0);
    }
  }

  /** The same number for all: a hash would tell something. */
  @Override
  public int hashCode() {
    return BYTES;
  }

  /** Does not show the bytes. */
  @Override
  public String toString() {
    return "Secret";
  }

  /** Overwrites the bytes. Idempotent. */
  @Override
  public synchronized void close() {
    bytes.fill((byte) 0);
    closed = true;
  }
}
