/**
 * Differential privacy: which noise the nodes add, and what it guarantees.
 *
 * <ul>
 *   <li>{@link dev.kith.privacy.NoiseCovariance}: how the noise of the nodes is correlated, so that
 *       mixing cancels much of it, and who holds which secret.
 *   <li>{@link dev.kith.privacy.Accountant}: turns a schedule of {@link
 *       dev.kith.privacy.Mechanism}s into an (epsilon, delta) {@link dev.kith.privacy.Guarantee}
 *       for a stated {@link dev.kith.privacy.Adjacency} and {@link dev.kith.privacy.Adversary}.
 *   <li>{@link dev.kith.privacy.ToeplitzFactor}: noise correlated over time (DP-FTRL, BandMF).
 *   <li>{@link dev.kith.privacy.UserLevelRelease}: hiding all items of a user; not certified.
 *   <li>{@link dev.kith.privacy.DiscreteGaussian} and {@link
 *       dev.kith.privacy.TruncatedDiscreteLaplace}: exact samplers in integer arithmetic.
 * </ul>
 *
 * <p>Everything runs on the host in double precision. Unless a type says otherwise it is immutable
 * and safe for use by several threads.
 */
package dev.kith.privacy;
