/**
 * Kith beside JCuda: a JCuda pointer as a matrix and a JCuda stream as a queue without a copy, and
 * the other way round.
 */
package dev.kith.jcuda;
