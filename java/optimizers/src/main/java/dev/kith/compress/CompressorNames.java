package dev.kith.compress;

/** Reads the names of compressors. */
final class CompressorNames {
  private CompressorNames() {}

  static Compressor parse(String name) {
    return switch (name) {
      case "identity" -> new Identity();
      default -> throw new IllegalArgumentException("no compressor is called " + name);
    };
  }
}
