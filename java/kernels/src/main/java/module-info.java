/**
 * Native kernels for decentralized optimization, and the devices, queues and matrices that they run
 * on.
 *
 * <p>The module calls native code through the foreign-function API, which the JVM must be told:
 * start it with {@code --enable-native-access=dev.kith.kernels} on the module path (this also
 * satisfies {@code --illegal-native-access=deny}) or {@code --enable-native-access=ALL-UNNAMED} on
 * the class path.
 */
module dev.kith.kernels {
  requires jdk.jfr;

  exports dev.kith.device;
  exports dev.kith.kernel;
  exports dev.kith.random;
}
