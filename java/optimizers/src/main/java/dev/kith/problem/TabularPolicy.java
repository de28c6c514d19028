package dev.kith.problem;

import dev.kith.device.DeviceMatrix;
import dev.kith.device.Layout;
import dev.kith.random.SharedRandom;
import dev.kith.random.Stream;
import java.util.Arrays;

/**
 * Softmax policies of small Markov decision processes with known transitions, one process a node:
 * f_i = -J_i, the discounted return from a uniform first state.
 *
 * <pre>
 * pi(a|s) = exp(x_sa) / sum_b exp(x_sb)
 * V = (I - gamma P_pi)^-1 r_pi,   A(s,a) = r(s,a) + gamma sum_s' P(s'|s,a) V(s') - V(s)
 * J = mean_s V(s),                d(s) = (1 - gamma) sum_t gamma^t Pr(s_t = s)
 * dJ / dx_sa = d(s) pi(a|s) A(s,a) / (1 - gamma)
 * </pre>
 *
 * <p>The Gauss-Newton matrix is the Fisher information of the policy on the states it visits, F =
 * blockdiag d(s) (diag(pi_s) - pi_s pi_s^T), the second derivative of the mean divergence at x; it
 * is singular along constants. All is exact, without samples, evaluated in Java and meant for small
 * experiments. Element s actions + a of a row is x_sa.
 *
 * <p>Source of the formulas: Schulman, Levine, Moritz, Jordan, Abbeel, "Trust Region Policy
 * Optimization", 2015, sections 2 and 3. Used by one thread at a time.
 */
public final class TabularPolicy implements Problem, Value, GaussNewtonVector, PolicySurrogate {
  private final Builder data;
  private final Layout layout;

  private TabularPolicy(Builder data) {
    this.data = data;
    this.layout = Layout.builder().tensor("logits", "", data.states(), data.actions()).build();
  }

  /**
   * Processes given in full.
   *
   * @param transitions P(s'|s,a) by node, s, a and s'; each distribution sums to 1
   * @param rewards r(s,a) by node, s and a
   * @param discount gamma, in [0, 1)
   * @throws IllegalArgumentException when lengths differ, a number is not finite, or a distribution
   *     is none
   */
  public static Builder of(double[][][][] transitions, double[][][] rewards, double discount) {
    return new Builder(transitions, rewards, discount);
  }

  /**
   * Random processes: transitions from a symmetric Dirichlet distribution, rewards uniform in (0,
   * 1).
   *
   * @param nodes number of nodes
   * @param states number of states
   * @param actions number of actions
   * @param discount gamma, in [0, 1)
   * @param concentration of the Dirichlet distribution; the smaller, the fewer successors matter
   * @param seed of the stream {@code DATA}
   */
  public static Builder random(
      int nodes, int states, int actions, double discount, double concentration, long seed) {
    if (nodes < 1 || states < 1 || actions < 1 || !(concentration > 0)) {
      throw new IllegalArgumentException(
          "a random process needs at least one node, state and action and a positive"
              + " concentration, not "
              + nodes
              + ", "
              + states
              + ", "
              + actions
              + " and "
              + concentration);
    }
    double[][][][] transitions = new double[nodes][states][actions][];
    double[][][] rewards = new double[nodes][states][actions];
    for (int i = 0; i < nodes; i++) {
      SharedRandom uniform = new SharedRandom(seed, Stream.DATA, i, 0);
      for (int s = 0; s < states; s++) {
        for (int a = 0; a < actions; a++) {
          int pair = s * actions + a;
          SharedRandom random = new SharedRandom(seed, Stream.DATA, i, 1L + pair);
          transitions[i][s][a] = DirichletPartition.dirichlet(random, concentration, states);
          rewards[i][s][a] = uniform.uniform(pair);
        }
      }
    }
    return new Builder(transitions, rewards, discount);
  }

  @Override
  public Layout layout() {
    return layout;
  }

  @Override
  public int nodes() {
    return data.transitions.length;
  }

  @Override
  public int firstNode() {
    return data.begin;
  }

  @Override
  public int localNodes() {
    return data.end - data.begin;
  }

  /** What follows from a policy at a node. */
  private record Play(double[][] policy, double[] visits, double[][] advantages, double value) {}

  private Play play(double[] x, int row) {
    double[][][] p = data.transitions[data.begin + row];
    double[][] r = data.rewards[data.begin + row];
    int states = data.states();
    double[][] policy = policy(x, row);
    double[][] system = new double[states][states];
    double[][] transposed = new double[states][states];
    double[] mean = new double[states];
    double[] start = new double[states];
    Arrays.fill(start, (1 - data.discount) / states);
    for (int s = 0; s < states; s++) {
      for (int t = 0; t < states; t++) {
        double moves = 0;
        for (int a = 0; a < data.actions(); a++) {
          moves += policy[s][a] * p[s][a][t];
        }
        system[s][t] = (s == t ? 1 : 0) - data.discount * moves;
        transposed[t][s] = system[s][t];
      }
      for (int a = 0; a < data.actions(); a++) {
        mean[s] += policy[s][a] * r[s][a];
      }
    }
    double[] values = Elimination.solve(system, mean);
    double[] visits = Elimination.solve(transposed, start);
    double[][] advantages = new double[states][data.actions()];
    double total = 0;
    for (int s = 0; s < states; s++) {
      for (int a = 0; a < data.actions(); a++) {
        advantages[s][a] = data.worth(data.begin + row, s, a, values) - values[s];
      }
      total += values[s] / states;
    }
    return new Play(policy, visits, advantages, total);
  }

  /** pi(a|s) of the policy in a row. */
  private double[][] policy(double[] x, int row) {
    double[][] policy = new double[data.states()][data.actions()];
    int at = row * data.states() * data.actions();
    for (double[] of : policy) {
      double largest = Double.NEGATIVE_INFINITY;
      for (int a = 0; a < of.length; a++) {
        largest = Math.max(largest, x[at + a]);
      }
      double sum = 0;
      for (int a = 0; a < of.length; a++) {
        of[a] = Math.exp(x[at++] - largest);
        sum += of[a];
      }
      for (int a = 0; a < of.length; a++) {
        of[a] /= sum;
      }
    }
    return policy;
  }

  @Override
  public void gradient(DeviceMatrix x, DeviceMatrix g, long round) {
    double[] points = x.toDoubles();
    double[] slopes = new double[points.length];
    int at = 0;
    for (int row = 0; row < localNodes(); row++) {
      Play play = play(points, row);
      for (int s = 0; s < data.states(); s++) {
        double weight = -play.visits[s] / (1 - data.discount);
        for (int a = 0; a < data.actions(); a++) {
          slopes[at++] = weight * play.policy[s][a] * play.advantages[s][a];
        }
      }
    }
    g.upload(slopes);
  }

  /** {@inheritDoc} Minus the return. */
  @Override
  public void values(DeviceMatrix x, DeviceMatrix out) {
    double[] points = x.toDoubles();
    double[] values = new double[localNodes()];
    Arrays.setAll(values, row -> -play(points, row).value);
    out.upload(values);
  }

  @Override
  public void gaussNewtonVector(DeviceMatrix x, DeviceMatrix v, DeviceMatrix out) {
    double[] points = x.toDoubles();
    double[] directions = v.toDoubles();
    double[] products = new double[directions.length];
    int at = 0;
    for (int row = 0; row < localNodes(); row++) {
      Play play = play(points, row);
      for (int s = 0; s < data.states(); s++) {
        double mean = 0;
        for (int a = 0; a < data.actions(); a++) {
          mean += play.policy[s][a] * directions[at + a];
        }
        for (int a = 0; a < data.actions(); a++) {
          products[at] = play.visits[s] * play.policy[s][a] * (directions[at] - mean);
          at++;
        }
      }
    }
    out.upload(products);
  }

  @Override
  public void improvements(DeviceMatrix old, DeviceMatrix x, DeviceMatrix out) {
    double[] from = old.toDoubles();
    double[] to = x.toDoubles();
    double[] gains = new double[localNodes()];
    for (int row = 0; row < gains.length; row++) {
      Play play = play(from, row);
      double[][] policy = policy(to, row);
      for (int s = 0; s < data.states(); s++) {
        for (int a = 0; a < data.actions(); a++) {
          gains[row] += play.visits[s] * policy[s][a] * play.advantages[s][a] / (1 - data.discount);
        }
      }
    }
    out.upload(gains);
  }

  @Override
  public void divergences(DeviceMatrix old, DeviceMatrix x, DeviceMatrix out) {
    double[] from = old.toDoubles();
    double[] to = x.toDoubles();
    double[] distances = new double[localNodes()];
    for (int row = 0; row < distances.length; row++) {
      Play play = play(from, row);
      double[][] policy = policy(to, row);
      for (int s = 0; s < data.states(); s++) {
        for (int a = 0; a < data.actions(); a++) {
          double p = play.policy[s][a];
          // 0 log 0 = 0: an action that is never taken is no distance.
          distances[row] += p == 0 ? 0 : play.visits[s] * p * Math.log(p / policy[s][a]);
        }
      }
    }
    out.upload(distances);
  }

  /** The largest return that any policy reaches, by node of the whole network. */
  public double[] optimalReturns() {
    double[] best = new double[nodes()];
    Arrays.setAll(best, data::optimalReturn);
    return best;
  }

  @Override
  public void close() {}

  /** What the processes are. */
  public static final class Builder extends NodesBuilder<Builder> {
    private final double[][][][] transitions;
    private final double[][][] rewards;
    private final double discount;

    private Builder(double[][][][] transitions, double[][][] rewards, double discount) {
      super(transitions.length);
      if (!(discount >= 0 && discount < 1)) {
        throw new IllegalArgumentException("a discount of " + discount + " does not lie in [0, 1)");
      }
      if (transitions.length == 0
          || transitions.length != rewards.length
          || rewards[0].length == 0
          || rewards[0][0].length == 0) {
        throw new IllegalArgumentException(
            "there are transitions of "
                + transitions.length
                + " nodes and rewards of "
                + rewards.length
                + ": give both for each node, at least one state and action");
      }
      this.transitions = transitions;
      this.rewards = rewards;
      this.discount = discount;
      for (int i = 0; i < transitions.length; i++) {
        check(i);
      }
    }

    private void check(int node) {
      boolean fits = transitions[node].length == states() && rewards[node].length == states();
      for (int s = 0; fits && s < states(); s++) {
        fits = transitions[node][s].length == actions() && rewards[node][s].length == actions();
        for (int a = 0; fits && a < actions(); a++) {
          double[] p = transitions[node][s][a];
          fits = p.length == states();
          if (fits
              && !(Arrays.stream(p).allMatch(q -> q >= 0)
                  && Math.abs(Arrays.stream(p).sum() - 1) <= 1e-9
                  && Double.isFinite(rewards[node][s][a]))) {
            throw new IllegalArgumentException(
                "node %d, state %d, action %d has the transitions %s and the reward %s: give probabilities that sum to 1, and a finite number"
                    .formatted(node, s, a, Arrays.toString(p), rewards[node][s][a]));
          }
        }
      }
      if (!fits) {
        throw new IllegalArgumentException(
            "node "
                + node
                + " does not have "
                + states()
                + " states and "
                + actions()
                + " actions as node 0 has: give all the same");
      }
    }

    private int states() {
      return rewards[0].length;
    }

    private int actions() {
      return rewards[0][0].length;
    }

    /** r(s,a) + gamma sum_s' P(s'|s,a) V(s'). */
    private double worth(int node, int s, int a, double[] values) {
      double next = 0;
      for (int t = 0; t < values.length; t++) {
        next += transitions[node][s][a][t] * values[t];
      }
      return rewards[node][s][a] + discount * next;
    }

    /** By value iteration, until a sweep changes nothing. */
    private double optimalReturn(int node) {
      double[] values = new double[states()];
      for (double change = 1; change > 0; ) {
        change = 0;
        for (int s = 0; s < values.length; s++) {
          double best = Double.NEGATIVE_INFINITY;
          for (int a = 0; a < actions(); a++) {
            best = Math.max(best, worth(node, s, a, values));
          }
          change = Math.max(change, Math.abs(best - values[s]));
          values[s] = best;
        }
        // Rounding may keep the last digit moving.
        change = change <= 1e-14 * Math.abs(values[0]) ? 0 : change;
      }
      return Arrays.stream(values).average().orElseThrow();
    }

    @Override
    Builder self() {
      return this;
    }

    /** The problem; it is evaluated in Java, on the queue of the matrices that it is given. */
    public TabularPolicy build() {
      return new TabularPolicy(this);
    }
  }
}
