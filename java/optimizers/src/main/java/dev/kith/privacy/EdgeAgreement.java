package dev.kith.privacy;

import dev.kith.compress.MessageException;
import dev.kith.kernel.Secret;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.InvalidKeyException;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.HexFormat;
import javax.crypto.KDF;
import javax.crypto.KeyAgreement;
import javax.crypto.spec.HKDFParameterSpec;

/**
 * One node's side of the agreement on the secrets of its edges: X25519 (RFC 7748), and HKDF with
 * SHA-256 (RFC 5869) of the shared point, with the label {@value #LABEL} as the salt and, as the
 * info, both public keys and both node numbers (32-bit, little-endian), the lower node first.
 *
 * <p>The private key lives as long as this object. The Java platform cannot overwrite it, so that
 * it stays in memory until the collector takes it.
 */
final class EdgeAgreement {
  static final String LABEL = "Kith edge noise secret 1";

  /** Bytes of a public key. */
  static final int BYTES = 32;

  /** What comes before the key in its X.509 encoding (RFC 8410). */
  private static final byte[] PREFIX = HexFormat.of().parseHex("302a300506032b656e032100");

  private final int node;
  private final KeyPair pair;
  private final byte[] publicKey;

  /** Draws a key pair for a node. */
  EdgeAgreement(int node) {
    this.node = node;
    try {
      this.pair = KeyPairGenerator.getInstance("X25519").generateKeyPair();
    } catch (GeneralSecurityException e) {
      throw missing(e);
    }
    byte[] encoded = pair.getPublic().getEncoded();
    this.publicKey = Arrays.copyOfRange(encoded, PREFIX.length, encoded.length);
  }

  /** What the neighbours are told. */
  byte[] publicKey() {
    return publicKey.clone();
  }

  /**
   * The secret with a neighbour.
   *
   * @throws MessageException when its key is of low order: then all could tell the secret
   */
  Secret with(int neighbour, byte[] theirs) {
    byte[] shared = new byte[0];
    byte[] key = new byte[0];
    try {
      shared = agree(neighbour, theirs);
      boolean first = node < neighbour;
      byte[] info =
          ByteBuffer.allocate(2 * BYTES + 8)
              .order(java.nio.ByteOrder.LITTLE_ENDIAN)
              .put(first ? publicKey : theirs)
              .put(first ? theirs : publicKey)
              .putInt(Math.min(node, neighbour))
              .putInt(Math.max(node, neighbour))
              .array();
      key =
          KDF.getInstance("HKDF-SHA256")
              .deriveData(
                  HKDFParameterSpec.ofExtract()
                      .addIKM(shared)
                      .addSalt(LABEL.getBytes(StandardCharsets.US_ASCII))
                      .thenExpand(info, Secret.BYTES));
      return Secret.of(key);
    } catch (GeneralSecurityException e) {
      throw missing(e);
    } finally {
      Arrays.fill(shared, (byte) 0);
      Arrays.fill(key, (byte) 0);
    }
  }

  private byte[] agree(int neighbour, byte[] theirs) throws GeneralSecurityException {
    byte[] encoded = ByteBuffer.allocate(PREFIX.length + BYTES).put(PREFIX).put(theirs).array();
    PublicKey key =
        KeyFactory.getInstance("X25519").generatePublic(new X509EncodedKeySpec(encoded));
    KeyAgreement agreement = KeyAgreement.getInstance("X25519");
    agreement.init(pair.getPrivate());
    try {
      agreement.doPhase(key, true);
    } catch (InvalidKeyException e) {
      // The platform refuses the points with which every private key gives the same secret.
      throw new MessageException(
          "node "
              + neighbour
              + " sent node "
              + node
              + " a public key of low order, with which everybody knows the secret of their edge:"
              + " see who answers for that node");
    }
    return agreement.generateSecret();
  }

  private static IllegalStateException missing(GeneralSecurityException e) {
    return new IllegalStateException(
        "this Java runtime cannot agree on secrets ("
            + e.getMessage()
            + "): use one whose java.base has X25519 and HKDF-SHA256, as JDK 25 has",
        e);
  }
}
