/**
 * What a node sends instead of its whole row: {@link dev.kith.compress.Compressor} describes a
 * compression, {@link dev.kith.compress.Codec} does it on a device, {@link
 * dev.kith.compress.Messages} are the encoded rows, and {@code docs/wire-format.md} is how they
 * travel. {@link dev.kith.compress.ErrorFeedback}, {@link dev.kith.compress.Ef21} and {@link
 * dev.kith.compress.Diana} repair what compression loses.
 */
package dev.kith.compress;
