/*
 * The random words of docs/randomness.md on the device, block by block, and the keys of a field: into scratch for the
 * kernels of a call, out of pinned memory, where secret ones are overwritten, and wiped when its work is done.
 */
#ifndef KITH_CUDA_GENERATORS_HPP
#define KITH_CUDA_GENERATORS_HPP

#include "host.hpp"
#include "launch.hpp"
#include "noise_checks.hpp"

namespace kith {

namespace {

constexpr int kKeyThreads = 256;
constexpr int kKeyPerMultiprocessor = 8;
constexpr int kKeyWords = static_cast<int>(sizeof(NoiseKey) / 4);
static_assert(sizeof(NoiseKey) % 4 == 0);

/* ---- words --------------------------------------------------------------------------------------------------------- */

/* Block b of a row; kWords of it. */
struct Philox {
  static constexpr int kWords = 4;
  static KITH_DEVICE void block(const NoiseKey& key, int64_t b, uint32_t (&out)[kWords]) {
    uint32_t k0 = key.words[0], k1 = key.words[1];
    uint32_t c0 = static_cast<uint32_t>(b);
    uint32_t c1 = key.node;
    uint32_t c2 = key.round;
    uint32_t c3 = key.high | static_cast<uint32_t>(b >> 32);
    KITH_UNROLL
    for (int r = 0; r < 10; r++) {
      const uint64_t p0 = static_cast<uint64_t>(c0) * 0xD2511F53u;
      const uint64_t p1 = static_cast<uint64_t>(c2) * 0xCD9E8D57u;
      c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c1 = static_cast<uint32_t>(p1);
      c3 = static_cast<uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
  }
};

struct ChaCha {
  static constexpr int kWords = 16;
  static KITH_DEVICE uint32_t rotated(uint32_t x, int n) { return x << n | x >> (32 - n); }
  static KITH_DEVICE void quarter_round(uint32_t& a, uint32_t& b, uint32_t& c, uint32_t& d) {
    a += b, d = rotated(d ^ a, 16);
    c += d, b = rotated(b ^ c, 12);
    a += b, d = rotated(d ^ a, 8);
    c += d, b = rotated(b ^ c, 7);
  }
  static KITH_DEVICE void block(const NoiseKey& key, int64_t b, uint32_t (&x)[kWords]) {
    const uint32_t start[kWords] = {0x61707865u,
                                    0x3320646eu,
                                    0x79622d32u,
                                    0x6b206574u,
                                    key.words[0],
                                    key.words[1],
                                    key.words[2],
                                    key.words[3],
                                    key.words[4],
                                    key.words[5],
                                    key.words[6],
                                    key.words[7],
                                    static_cast<uint32_t>(b),
                                    key.node,
                                    key.round,
                                    key.high | static_cast<uint32_t>(b >> 32)};
    KITH_UNROLL
    for (int w = 0; w < kWords; w++) x[w] = start[w];
    for (int r = 0; r < 10; r++) {
      quarter_round(x[0], x[4], x[8], x[12]);
      quarter_round(x[1], x[5], x[9], x[13]);
      quarter_round(x[2], x[6], x[10], x[14]);
      quarter_round(x[3], x[7], x[11], x[15]);
      quarter_round(x[0], x[5], x[10], x[15]);
      quarter_round(x[1], x[6], x[11], x[12]);
      quarter_round(x[2], x[7], x[8], x[13]);
      quarter_round(x[3], x[4], x[9], x[14]);
    }
    KITH_UNROLL
    for (int w = 0; w < kWords; w++) x[w] += start[w];
  }
};

/* ---- keys ---------------------------------------------------------------------------------------------------------- */

// Takes keys out of pinned memory, and overwrites secret ones there.
KITH_KERNEL(kKeyThreads) void keep(uint32_t* pinned, int64_t count, int32_t secret, uint32_t* keys) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kKeyThreads + threadIdx.x; i < count;
       i += static_cast<int64_t>(gridDim.x) * kKeyThreads) {
    keys[i] = pinned[i];
    if (secret != 0) pinned[i] = 0;
  }
}

KITH_KERNEL(kKeyThreads) void wipe(uint32_t* keys, int64_t count) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kKeyThreads + threadIdx.x; i < count;
       i += static_cast<int64_t>(gridDim.x) * kKeyThreads) {
    keys[i] = 0;
  }
}

int64_t key_words(const kith_field& field) { return field.count * kKeyWords; }

unsigned key_blocks(Entry& entry, const kith_field& field) {
  return entry.grid((key_words(field) + kKeyThreads - 1) / kKeyThreads, kKeyPerMultiprocessor);
}

// The keys at `scratch`, which has room for key_words() words; NULL (and status() set) when memory is out.
const NoiseKey* take_keys(Entry& entry, const kith_field& field, void* scratch) {
  if (field.count > 0) {
    NoiseKey* const pinned = static_cast<NoiseKey*>(entry.host_scratch(key_words(field) * 4));
    if (pinned == nullptr) return nullptr;
    noise_keys(field, pinned);
    entry.launched(KITH_LAUNCH(keep, key_blocks(entry, field), kKeyThreads, 0, entry.stream(),
                               reinterpret_cast<uint32_t*>(pinned), key_words(field),
                               field.generator == KITH_CHACHA ? 1 : 0, static_cast<uint32_t*>(scratch)));
  }
  return static_cast<const NoiseKey*>(scratch);
}

void drop_keys(Entry& entry, const kith_field& field, void* scratch) {
  if (field.generator != KITH_CHACHA || field.count == 0) return;
  entry.launched(KITH_LAUNCH(wipe, key_blocks(entry, field), kKeyThreads, 0, entry.stream(),
                             static_cast<uint32_t*>(scratch), key_words(field)));
}

}  // namespace

}  // namespace kith

#endif
