/*
 * Public random numbers: how a kith_draw is checked, and Philox4x32-10 one block at a time, for code that is compiled
 * once; tier files have philox.hpp. docs/randomness.md.
 */
#ifndef KITH_DRAW_HPP
#define KITH_DRAW_HPP

#include "arguments.hpp"

namespace kith {

struct Draw {
  uint32_t key0;
  uint32_t key1;
  int64_t round;
  int64_t first_node;
  int32_t stream;
};

/* The first output of SplitMix64: the two words of Philox's key, the first in the lower half. */
inline uint64_t key_of(int64_t seed) {
  uint64_t z = static_cast<uint64_t>(seed) + 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

/* What the generator is to draw for this many rows. */
inline bool check_generator(Arguments& entry, const kith_draw* draw, int64_t rows, Draw* out) {
  if (draw->round < 0 || draw->round >= int64_t{1} << 40) {
    entry.fail(KITH_INVALID, "the round is %lld; use 0 to 2^40 - 1", static_cast<long long>(draw->round));
    return false;
  }
  const int64_t nodes = int64_t{1} << 31;
  if (draw->first_node < 0 || draw->first_node > nodes || rows > nodes - draw->first_node) {
    entry.fail(KITH_INVALID, "the first node is %lld with %lld rows; nodes are 0 to 2^31 - 1",
               static_cast<long long>(draw->first_node), static_cast<long long>(rows));
    return false;
  }
  if (draw->stream < 1 || draw->stream > 255) {
    entry.fail(KITH_INVALID, "the stream is %d; tags are 1 to 255", draw->stream);
    return false;
  }
  const uint64_t z = key_of(draw->seed);
  *out = {static_cast<uint32_t>(z), static_cast<uint32_t>(z >> 32), draw->round, draw->first_node, draw->stream};
  return true;
}

/* The words 4 * block to 4 * block + 3, form 0, of row `row`. */
inline void draw_words(const Draw& draw, int64_t row, int64_t block, uint32_t words[4]) {
  uint32_t key0 = draw.key0, key1 = draw.key1;
  uint32_t c0 = static_cast<uint32_t>(block);
  uint32_t c1 = static_cast<uint32_t>(draw.first_node + row);
  uint32_t c2 = static_cast<uint32_t>(draw.round);
  uint32_t c3 = static_cast<uint32_t>(draw.stream) << 24 | static_cast<uint32_t>(draw.round >> 32) << 8 |
                static_cast<uint32_t>(block >> 32);
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
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

}  // namespace kith

#endif
