module dev.kith.check {
  requires dev.kith.kernels;
}
