/**
 * Benchmarks of Kith beside a loop with the same memory streams and beside the peers at their best.
 *
 * <p>{@link dev.kith.bench.Bench} is the command {@code ./kith bench}. A {@link
 * dev.kith.bench.Workload} says what is computed and on which data, an {@link
 * dev.kith.bench.Implementation} computes it, and a {@link dev.kith.bench.Reference} says what must
 * come out. {@code *Benchmark} are the JMH classes, {@link dev.kith.bench.Goals} measures the rows
 * of the goal table in alternation.
 */
package dev.kith.bench;
