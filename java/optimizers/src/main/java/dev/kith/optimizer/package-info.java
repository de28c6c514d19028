/**
 * Decentralized optimizers. Each class carries the name that its algorithm has in the literature,
 * and owns the rows of its process in the stacked state X: row i is the parameter vector of node i.
 * The same class runs in one process and on a cluster, and gives the same bits.
 */
package dev.kith.optimizer;
