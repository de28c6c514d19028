package dev.kith.optimizer;

import dev.kith.privacy.Accountant;
import dev.kith.privacy.Adjacency;
import dev.kith.privacy.Adversary;

/** An optimizer that adds noise and knows what that guarantees. */
public sealed interface PrivateOptimizer extends Optimizer
    permits PrivateDecentralizedSgd, PrivateCentralSgd {
  /**
   * What the rounds so far cost, for an adjacency and an adversary. Every record counts in every
   * round: no amplification by sampling is claimed, whatever batches the problem draws.
   *
   * @throws IllegalStateException when there is no noise, or nothing bounds the gradients
   * @throws IllegalArgumentException when the noise does not protect against the adversary, or the
   *     adjacency is of records and {@link PrivateStepBuilder#recordNorm} was not given
   */
  Accountant accountant(Adjacency adjacency, Adversary adversary);
}
