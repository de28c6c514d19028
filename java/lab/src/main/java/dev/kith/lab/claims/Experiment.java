package dev.kith.lab.claims;

/**
 * Measures what a claim is about, with the library's public classes on the device of the setting.
 */
@FunctionalInterface
interface Experiment {
  Measurement run(Setting setting);
}
