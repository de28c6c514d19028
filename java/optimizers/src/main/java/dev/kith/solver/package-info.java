/**
 * Solvers of many small problems at once, one per row: linear systems given by a product, and what
 * quasi-Newton methods remember. A row that is done is not touched again, so that each ends with
 * the bits that it has alone. Nothing here knows a network.
 */
package dev.kith.solver;
