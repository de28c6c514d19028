/* Between blocks.cpp, which runs the blocks of a launch, and runtime.cpp, which has queues and memory. */
#ifndef KITH_EMULATION_INTERNAL_HPP
#define KITH_EMULATION_INTERNAL_HPP

#include <cstdint>
#include <string>

#include "emulation.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define KITH_ADDRESS_SANITIZER 1
#else
#define KITH_ADDRESS_SANITIZER 0
#endif

namespace kith::emulation {

/* From the environment, read once; README.md has the list. */
struct Settings {
  uint64_t seed;
  bool checks;
  uint64_t leaks; /* 0: not reported; 1: reported; 2: they end the process with 1 too */
  int threads;
  int devices;
  int driver;
  int architecture;
  size_t memory;
  uint64_t lost_after; /* 0: never */
};
const Settings& settings();

constexpr size_t kSharedStatic = 48 << 10; /* bytes that need no cudaFuncSetAttribute */
constexpr size_t kSharedMost = 227 << 10;  /* of any architecture */
constexpr unsigned kMostThreads = 1024;

/* Bytes of shared memory that a block may ask for: CUDA C++ Programming Guide, compute capabilities. */
constexpr size_t shared_most(int architecture) {
  if (architecture < 80) return 64 << 10;
  if (architecture == 80 || architecture == 87) return 163 << 10;
  return architecture >= 90 && architecture < 120 ? kSharedMost : 99 << 10;
}

/* Small, fast and the same everywhere. */
struct Random {
  uint64_t state;
  explicit Random(uint64_t seed) : state(seed) {}
  uint64_t next() { /* splitmix64 */
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  uint32_t below(uint32_t n) { return static_cast<uint32_t>((next() >> 32) * n >> 32); }
};

struct Finding {
  cudaError_t error = cudaSuccess;
  std::string text;
};
/* Runs a launch to its end; one at a time in the process. */
Finding run(const Kernel& kernel, uint64_t seed);

}  // namespace kith::emulation

#endif
