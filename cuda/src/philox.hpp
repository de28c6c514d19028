/*
 * Philox4x32-10 on the device: docs/randomness.md. Form 0: element c takes word c mod 4 of block c / 4.
 */
#ifndef KITH_CUDA_PHILOX_HPP
#define KITH_CUDA_PHILOX_HPP

#include <cstdint>

#include "launch.hpp"

namespace kith {

struct PhiloxWords {
  uint32_t v[4];
};

/* The words of one block of (key, stream, node, round). */
KITH_DEVICE PhiloxWords philox(uint32_t key0, uint32_t key1, uint32_t node, int64_t round, int32_t stream,
                               int64_t block) {
  uint32_t c0 = static_cast<uint32_t>(block);
  uint32_t c1 = node;
  uint32_t c2 = static_cast<uint32_t>(round);
  uint32_t c3 = static_cast<uint32_t>(stream) << 24 | static_cast<uint32_t>(round >> 32) << 8 |
                static_cast<uint32_t>(block >> 32);
  KITH_UNROLL
  for (int r = 0; r < 10; r++) {
    const uint64_t p0 = static_cast<uint64_t>(c0) * 0xD2511F53u;
    const uint64_t p1 = static_cast<uint64_t>(c2) * 0xCD9E8D57u;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ key0;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ key1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return PhiloxWords{{c0, c1, c2, c3}};
}

/* f32 uniform in (0, 1) of a word. */
KITH_DEVICE float uniform_of(uint32_t word) {
  const float u = (static_cast<float>(word >> 8) + 0.5f) * 0x1p-24f;
  return u < 0x1.fffffep-1f ? u : 0x1.fffffep-1f;
}

}  // namespace kith

#endif
