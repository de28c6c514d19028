package dev.kith.privacy;

/** Where the bits of the noise come from. */
public enum NoiseOrigin {
  /** From 256-bit secrets that the adversary does not hold. */
  SECRET,
  /** From a public seed: whoever knows it subtracts the noise. Nothing is certified with it. */
  SIMULATED
}
