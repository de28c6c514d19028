/**
 * What is minimised: the local objectives of the nodes, {@link dev.kith.problem.Problem}, and what
 * an objective can do beyond gradients, one small interface each.
 */
package dev.kith.problem;
