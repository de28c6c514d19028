/**
 * Kith for those who use JCuda. The modules of JCuda are automatic: {@code jcuda} and, where
 * products of cuBLAS are wanted, {@code jcublas}.
 */
module dev.kith.jcuda {
  requires transitive dev.kith.kernels;
  requires transitive jcuda;
  requires static jcublas;

  exports dev.kith.jcuda;
}
