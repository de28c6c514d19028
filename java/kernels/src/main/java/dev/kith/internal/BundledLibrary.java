package dev.kith.internal;

import java.io.IOException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Set;

/**
 * The library inside of the jar, and how it gets to a folder: once per version and build, checked
 * before every use, written aside and renamed, so that processes that start together do not meet.
 * Immutable and thread-safe.
 */
final class BundledLibrary {
  private static final Set<PosixFilePermission> OWNER_ONLY =
      PosixFilePermissions.fromString("rwx------");

  private final String name;
  private final String version;
  private final byte[] content;
  private final String checksum;

  /**
   * A library.
   *
   * @param name its file name
   * @param version of the jar
   * @param content the file
   * @param checksum its SHA-256 in hexadecimal, as the build noted it
   * @throws IOException if the two do not agree
   */
  BundledLibrary(String name, String version, byte[] content, String checksum) throws IOException {
    this.name = name;
    this.version = version;
    this.content = content;
    this.checksum = checksum;
    if (!sha256(content).equals(checksum)) {
      throw new IOException("the library inside of the jar is damaged: fetch the jar again");
    }
  }

  /**
   * Makes sure that the library lies in a folder of its own.
   *
   * @param root the folder above; created with access for its owner only
   * @return the file
   * @throws IOException if that is not possible, or the folder could be written to by others
   */
  Path extract(Path root) throws IOException {
    makePrivate(root.toAbsolutePath());
    Path folder = root.toAbsolutePath().resolve(version + "-" + checksum.substring(0, 16));
    makePrivate(folder);
    Path file = folder.resolve(name);
    if (Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)
        && sha256(Files.readAllBytes(file)).equals(checksum)) {
      return file;
    }
    Path aside = Files.createTempFile(folder, name, ".part");
    try {
      Files.write(aside, content);
      Files.move(aside, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } finally {
      Files.deleteIfExists(aside);
    }
    return file;
  }

  /** Creates a folder for this user only, or checks that an existing one is. */
  private static void makePrivate(Path folder) throws IOException {
    if (folder.getParent() == null) {
      throw new IOException("a root folder cannot be private; name a folder below it");
    }
    Files.createDirectories(folder.getParent());
    try {
      Files.createDirectory(folder, PosixFilePermissions.asFileAttribute(OWNER_ONLY));
      return;
    } catch (FileAlreadyExistsException e) {
      // Checked below: the name may be taken by someone else.
    }
    if (Files.isSymbolicLink(folder)) {
      throw new IOException(folder + " is a symbolic link; name the folder that it points to");
    }
    if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)) {
      throw new IOException(folder + " is not a folder");
    }
    Object owner = Files.getAttribute(folder, "unix:uid", LinkOption.NOFOLLOW_LINKS);
    if (!owner.equals(Files.getAttribute(Path.of("/proc/self"), "unix:uid"))) {
      throw new IOException(folder + " belongs to another user");
    }
    Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(folder);
    if (permissions.contains(PosixFilePermission.GROUP_WRITE)
        || permissions.contains(PosixFilePermission.OTHERS_WRITE)) {
      throw new IOException(
          folder
              + " can be written to by others ("
              + PosixFilePermissions.toString(permissions)
              + "; chmod 700 mends it)");
    }
  }

  private static String sha256(byte[] content) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError("every Java platform has SHA-256", e);
    }
  }
}
