package dev.kith.bench;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * What a workload computes. X is rows x cols, rows are nodes; all matrices are f32 where nothing
 * else is said.
 */
enum Operation {
  /** Y = W X on a ring with Metropolis weights: 1/3 for a node and for both its neighbours. */
  MIX_RING("mixing", 8),
  /** Y = W X on an Erdos-Renyi graph of mean degree 8 with Metropolis weights. */
  MIX_ER8("mixing", 8),
  /** Y = W X with a dense W. */
  MIX_DENSE("mixing", 8),
  /** Y = W X on a random regular graph of degree 4: many nodes, short rows. */
  MIX_REGULAR4("mixing", 8),
  /** Y = W (X - eta G) on a ring, the fused step of decentralized SGD. */
  ATC_RING("mixing", 12),
  /** Both halves of gradient tracking on a ring: X' = W (X - eta Y), Y' = W (Y + G' - G). */
  DSGT_RING("mixing", 28),
  /** y = x / 2 on one row, a call with next to no work. */
  CALL("mixing", 8),
  /** The 2-norm of every row. */
  ROWNORM("reduction", 4),
  /** (1/n) sum_i |x_i - mean|^2, without storing the mean. */
  CONSENSUS("reduction", 4),
  /** The matrix of the dot products of all rows. */
  GRAM("reduction", 4),
  /** One step of AdamW on one row, in place: x, m, v and a gradient of f32. */
  ADAMW("step", 28),
  /** The same with a gradient of bf16. */
  ADAMW_BF16GRAD("step", 26),
  /** One step of SGD with momentum 0.9 on one row, in place. */
  HEAVY_BALL("step", 20),
  /** C = A B of square matrices. */
  MULTIPLY("product", 12),
  /**
   * Five iterations of Newton-Schulz with Muon's polynomial on one matrix of no more rows than
   * columns, a power of two.
   */
  NEWTON_SCHULZ("product", 8),
  /** The largest hundredth of a row, as columns and values. */
  TOPK("sparsify", 4),
  /** The same with error feedback: what is not sent is added next time. */
  TOPK_EF("sparsify", 12),
  /**
   * Y = P Q' with P = X Q, its columns made orthonormal, and Q = X' P, of rank 4: one row is a
   * square tensor, which is compressed and decompressed.
   */
  POWERSGD_R4("lowrank", 12),
  /** A message of a row: bytes in blocks of 256 that share a scale. */
  INT8_QUANTIZE("quantize", 5),
  /** y += decode(m) for such a message. */
  INT8_ACCUMULATE("quantize", 9),
  /** A message of a row by QSGD: 7 levels of the 2-norm of 512 elements, rounded at random. */
  QSGD4("quantize", 4.5),
  /** A message of the signs of a row. */
  SIGN_PACK("quantize", 4.125),
  /** The signs that most of the rows have, from a message of each row. */
  SIGN_MAJORITY("quantize", 0.125),
  /** Y = W decode(M) on a ring, M the messages of {@link #INT8_QUANTIZE} of all rows. */
  ROUND_INT8_RING("quantize", 10),
  /** Random words of a public seed: Philox. */
  PHILOX("noise", 4),
  /** Random words of a secret: ChaCha20. */
  CHACHA20("noise", 4),
  /** Normals of a public seed. */
  NORMAL("noise", 4),
  /** X += F Z with a dense F and normals Z of a public seed, a row for each node. */
  CORN("noise", 8),
  /**
   * Y = W (X - eta G + E Z) on a ring, the step of {@link #ATC_RING} with pairwise noise: E has a
   * column of sigma and -sigma for each edge, and Z a row of normals of a public seed.
   */
  PAIRWISE_RING("noise", 12),
  /** x += sum_k c_k z_k for 16 rows of normals, each of a seed of its own. */
  PERTURB16_GAUSSIAN("noise", 8),
  /** The same with rows of signs. */
  PERTURB16_RADEMACHER("noise", 8),
  /** One step of AdaHessian on one row, in place: x, m, v, a gradient and a product Hz. */
  ADAHESSIAN("curvature", 32),
  /** One step of Sophia-G on one row, in place: x, m, a gradient and an estimate. */
  SOPHIA("curvature", 24),
  /** One iteration of OASIS with a step size that is given: statistics, then the step. */
  OASIS("curvature", 48),
  /** One iteration of conjugate gradient but for the product: two dot products, then updates. */
  CG("curvature", 44),
  /**
   * An iteration of L-BFGS with 10 pairs but for the gradient and the line search: the newest pair
   * is formed, the products of all 21 vectors with the newest three, and their combination.
   */
  LBFGS_M10("curvature", 204),
  /** Ten steps of SOAP, with one refresh of the bases: each row is a square matrix. */
  SOAP("curvature", 8),
  /**
   * The polar factor of each row, which is a tall matrix of {@link PolarReference#COLS} columns.
   */
  POLAR("factorization", 8),
  /** Y = X, rounded to bf16. */
  CONVERT_BF16("memory", 6),
  /** Y = X with the rows in a shuffled order. */
  GATHER("memory", 8);

  private final String family;
  private final double bytesPerElement;

  Operation(String family, double bytesPerElement) {
    this.family = family;
    this.bytesPerElement = bytesPerElement;
  }

  /** The family of kernels, as in the file names of {@code native/src}. */
  String family() {
    return family;
  }

  /** Bytes that must be moved for one element of X, each stream once; without scales of blocks. */
  double bytesPerElement() {
    return bytesPerElement;
  }

  /** The name in row names: {@code mix-ring}. */
  String text() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  static Operation named(String text) {
    return Arrays.stream(values())
        .filter(operation -> operation.text().equals(text))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "there is no benchmark '"
                        + text
                        + "'; the known ones are "
                        + Arrays.stream(values())
                            .map(Operation::text)
                            .collect(Collectors.joining(", "))));
  }
}
