/**
 * The claims that {@code ./kith reproduce} measures again: one experiment per paper, run with the
 * public optimizers.
 *
 * <p>What a claim says and when it passes is data, in {@code claims.json}; how it is measured is an
 * {@link dev.kith.lab.claims.Experiment}. Every claim names a sabotage under which it must fail.
 */
package dev.kith.lab.claims;
