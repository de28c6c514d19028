/**
 * Shared randomness: pure functions of public numbers, the same on every machine, in any order and
 * at any thread count.
 *
 * <p>The layout of keys and counters, the purpose tags and golden values stand in {@code
 * docs/randomness.md}. Nothing here is secret; noise that must protect data does not come from this
 * package.
 */
package dev.kith.random;
