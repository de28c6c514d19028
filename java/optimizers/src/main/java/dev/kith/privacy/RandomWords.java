package dev.kith.privacy;

import dev.kith.random.SharedRandom;

/**
 * A source of uniform 32-bit words, each independent of all others. What makes noise secret is the
 * secrecy of its words; samplers take them from here, so that a keystream can take the place of
 * shared randomness.
 */
@FunctionalInterface
public interface RandomWords {
  /** The next word. */
  int next();

  /** Where the words come from: shared randomness is public. */
  default NoiseOrigin origin() {
    return NoiseOrigin.SIMULATED;
  }

  /**
   * The words of an address of shared randomness from the first on: public, for simulations and
   * tests.
   */
  static RandomWords shared(SharedRandom random) {
    return new RandomWords() {
      private long index;

      @Override
      public int next() {
        return random.word(index++);
      }
    };
  }
}
