/**
 * The operations: one class per kernel family, static methods that run on the queue of what they
 * write. Arguments are checked first and a mistake is an {@link java.lang.IllegalArgumentException}
 * with the offending value; then what the operation works on is borrowed, and something closed or
 * in use elsewhere is an {@link java.lang.IllegalStateException}; a dtype that the library lacks is
 * an {@link java.lang.UnsupportedOperationException}, and what goes wrong on the device a {@link
 * dev.kith.device.KithException}. Results have the same bits at any number of threads.
 */
package dev.kith.kernel;
