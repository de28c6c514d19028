/** Runs of the command line: settings, the training loop with its snapshots, and what came out. */
package dev.kith.lab.experiment;
