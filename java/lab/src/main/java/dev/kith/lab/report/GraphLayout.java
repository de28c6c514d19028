package dev.kith.lab.report;

import java.util.ArrayDeque;
import java.util.Arrays;

/**
 * Places for the nodes of a graph so that distances on paper follow distances in the graph: a ring
 * becomes a circle, a grid a grid, a star a star. Classical scaling of the squared graph distances,
 * begun at the circle, then stress majorization with weights 1 / distance^2 (E. R. Gansner, Y.
 * Koren, S. North, "Graph drawing by stress majorization", 2004). No randomness; O(n^2) a sweep.
 */
final class GraphLayout {
  private static final int SCALING_SWEEPS = 60;
  private static final int STRESS_SWEEPS = 150;

  private GraphLayout() {}

  /**
   * Positions in the unit square.
   *
   * @param neighbours for every node its neighbours; taken as undirected
   * @return x of all nodes, then y of all nodes
   */
  static double[][] place(int[][] neighbours) {
    int n = neighbours.length;
    double[][] at = new double[2][n];
    for (int i = 0; i < n; i++) {
      double angle = 2 * Math.PI * i / n - Math.PI / 2;
      at[0][i] = Math.cos(angle);
      at[1][i] = Math.sin(angle);
    }
    double[][] distance = distances(symmetric(neighbours));
    scale(distance, at);
    separate(at);
    for (int sweep = 0; sweep < STRESS_SWEEPS; sweep++) {
      at = majorize(distance, at);
    }
    return fitted(at);
  }

  /**
   * In very symmetric graphs (a torus) scaling puts several nodes on one place, where the stress
   * has a saddle. All nodes then move a little, each in its own direction.
   */
  private static void separate(double[][] at) {
    int n = at[0].length;
    double span = Math.max(max(at[0]) - min(at[0]), max(at[1]) - min(at[1]));
    boolean coincide = false;
    for (int i = 0; i < n && !coincide; i++) {
      for (int j = 0; j < i && !coincide; j++) {
        coincide = Math.hypot(at[0][i] - at[0][j], at[1][i] - at[1][j]) < 1e-3 * span;
      }
    }
    for (int i = 0; i < n && coincide; i++) {
      double golden = 2.399963229728653 * i;
      at[0][i] += 0.3 * span * Math.cos(golden);
      at[1][i] += 0.3 * span * Math.sin(golden);
    }
  }

  private static boolean[][] symmetric(int[][] neighbours) {
    int n = neighbours.length;
    boolean[][] linked = new boolean[n][n];
    for (int i = 0; i < n; i++) {
      for (int j : neighbours[i]) {
        linked[i][j] = true;
        linked[j][i] = true;
      }
    }
    return linked;
  }

  /**
   * Hops by breadth-first search; parts that are not connected lie a little further apart than the
   * longest path.
   */
  private static double[][] distances(boolean[][] linked) {
    int n = linked.length;
    double[][] hops = new double[n][n];
    double longest = 0;
    for (int source = 0; source < n; source++) {
      Arrays.fill(hops[source], -1);
      hops[source][source] = 0;
      ArrayDeque<Integer> queue = new ArrayDeque<>();
      queue.add(source);
      while (!queue.isEmpty()) {
        int i = queue.remove();
        for (int j = 0; j < n; j++) {
          if (linked[i][j] && hops[source][j] < 0) {
            hops[source][j] = hops[source][i] + 1;
            longest = Math.max(longest, hops[source][j]);
            queue.add(j);
          }
        }
      }
    }
    for (double[] row : hops) {
      for (int j = 0; j < n; j++) {
        row[j] = row[j] < 0 ? longest + 1.5 : row[j];
      }
    }
    return hops;
  }

  /**
   * Two leading eigenvectors of the doubly centred -d^2 / 2 by orthogonal iteration from the
   * circle.
   */
  private static void scale(double[][] distance, double[][] at) {
    int n = distance.length;
    double[][] b = new double[n][n];
    double[] rowMean = new double[n];
    double mean = 0;
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        rowMean[i] += distance[i][j] * distance[i][j] / n;
      }
      mean += rowMean[i] / n;
    }
    double shift = 0;
    for (int i = 0; i < n; i++) {
      double sum = 0;
      for (int j = 0; j < n; j++) {
        b[i][j] = -0.5 * (distance[i][j] * distance[i][j] - rowMean[i] - rowMean[j] + mean);
        sum += Math.abs(b[i][j]);
      }
      shift = Math.max(shift, sum);
    }
    // Graph distances are not Euclidean: a shift keeps large negative eigenvalues from winning the
    // iteration.
    for (int i = 0; i < n; i++) {
      b[i][i] += 0.25 * shift;
    }
    for (int sweep = 0; sweep < SCALING_SWEEPS; sweep++) {
      double[][] next = {times(b, at[0]), times(b, at[1])};
      normalize(next[0]);
      double dot = 0;
      for (int i = 0; i < n; i++) {
        dot += next[0][i] * next[1][i];
      }
      for (int i = 0; i < n; i++) {
        next[1][i] -= dot * next[0][i];
      }
      normalize(next[1]);
      at[0] = next[0];
      at[1] = next[1];
    }
  }

  private static double[] times(double[][] b, double[] v) {
    double[] product = new double[v.length];
    for (int i = 0; i < v.length; i++) {
      for (int j = 0; j < v.length; j++) {
        product[i] += b[i][j] * v[j];
      }
    }
    return product;
  }

  private static void normalize(double[] v) {
    double norm = Math.sqrt(Arrays.stream(v).map(x -> x * x).sum());
    for (int i = 0; i < v.length && norm > 1e-9; i++) {
      v[i] /= norm;
    }
  }

  private static double[][] majorize(double[][] distance, double[][] at) {
    int n = distance.length;
    double[][] next = new double[2][n];
    for (int i = 0; i < n; i++) {
      double weights = 0;
      for (int j = 0; j < n; j++) {
        if (i == j) {
          continue;
        }
        double dx = at[0][i] - at[0][j];
        double dy = at[1][i] - at[1][j];
        double apart = Math.hypot(dx, dy);
        double weight = 1 / (distance[i][j] * distance[i][j]);
        double pull = apart > 1e-9 ? distance[i][j] / apart : 0;
        next[0][i] += weight * (at[0][j] + pull * dx);
        next[1][i] += weight * (at[1][j] + pull * dy);
        weights += weight;
      }
      next[0][i] /= Math.max(weights, 1e-300);
      next[1][i] /= Math.max(weights, 1e-300);
    }
    return next;
  }

  private static double[][] fitted(double[][] at) {
    double[] low = {min(at[0]), min(at[1])};
    double span = Math.max(Math.max(max(at[0]) - low[0], max(at[1]) - low[1]), 1e-9);
    double[][] fitted = new double[2][at[0].length];
    for (int axis = 0; axis < 2; axis++) {
      double margin = (1 - (max(at[axis]) - low[axis]) / span) / 2;
      for (int i = 0; i < at[0].length; i++) {
        fitted[axis][i] = (at[axis][i] - low[axis]) / span + margin;
      }
    }
    return fitted;
  }

  private static double min(double[] v) {
    return Arrays.stream(v).min().orElse(0);
  }

  private static double max(double[] v) {
    return Arrays.stream(v).max().orElse(0);
  }
}
