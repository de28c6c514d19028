/*
 * Random words for tier files: docs/randomness.md. Any element of any row, from (key, stream, node, round, form, index)
 * alone: Philox4x32-10 for public numbers, ChaCha20 (RFC 8439) for secret ones.
 */
#ifndef KITH_WORDS_HPP
#define KITH_WORDS_HPP

#include "noise.hpp"
#include "philox.hpp"
#include "tier.hpp"

namespace kith::KITH_TIER {

/* Rotations to the left; bytes move at once where there is an instruction for it. */
template <int n>
KITH_INLINE Bits<float> rotated(Bits<float> x) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  if constexpr (n == 16) {
    const __m256i order = _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, 13, 12, 15, 14, 9, 8,
                                          11, 10, 5, 4, 7, 6, 1, 0, 3, 2);
    return bit_cast<Bits<float>>(_mm256_shuffle_epi8(bit_cast<__m256i>(x), order));
  }
  if constexpr (n == 8) {
    const __m256i order = _mm256_set_epi8(14, 13, 12, 15, 10, 9, 8, 11, 6, 5, 4, 7, 2, 1, 0, 3, 14, 13, 12, 15, 10, 9,
                                          8, 11, 6, 5, 4, 7, 2, 1, 0, 3);
    return bit_cast<Bits<float>>(_mm256_shuffle_epi8(bit_cast<__m256i>(x), order));
  }
#endif
  return x << n | x >> (32 - n);
}

KITH_INLINE void quarter_round(Bits<float>& a, Bits<float>& b, Bits<float>& c, Bits<float>& d) {
  a += b, d = rotated<16>(d ^ a);
  c += d, b = rotated<12>(b ^ c);
  a += b, d = rotated<8>(d ^ a);
  c += d, b = rotated<7>(b ^ c);
}

/* Words that chacha() makes at a time: a block of 16 in each lane. */
inline constexpr int kChaChaWords = 16 * kLanes<float>;

/* ChaCha20: words [16 * block, 16 * block + kChaChaWords) into out. */
KITH_INLINE void chacha(const NoiseKey& key, int64_t block, uint32_t* out) {
  constexpr int L = kLanes<float>;
  typedef Bits<float> U;
  U lane, low, high;
  for (int l = 0; l < L; l++) {
    lane[l] = static_cast<uint32_t>(l);
    /* The first and the last 64 bits of each 128 of two vectors. */
    low[l] = static_cast<uint32_t>(l / 4 * 4 + l % 4 / 2 * L + l % 2);
    high[l] = low[l] + 2;
  }
  const uint32_t c0 = static_cast<uint32_t>(block);
  U start[16];
  start[0] = U{} + 0x61707865u, start[1] = U{} + 0x3320646eu;
  start[2] = U{} + 0x79622d32u, start[3] = U{} + 0x6b206574u;
  for (int w = 0; w < 8; w++) start[4 + w] = U{} + key.words[w];
  start[12] = lane + c0;
  start[13] = U{} + key.node;
  start[14] = U{} + key.round;
  start[15] = (U{} + (key.high | static_cast<uint32_t>(block >> 32))) + (start[12] < U{} + c0 ? U{} + 1u : U{});
  U x[16];
  for (int w = 0; w < 16; w++) x[w] = start[w];
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
  U even, odd;
  for (int l = 0; l < L; l++) {
    even[l] = static_cast<uint32_t>(l / 4 * 4 + l % 4 / 2 + l % 2 * L);
    odd[l] = even[l] + 2;
  }
#pragma GCC unroll 4
  for (int w = 0; w < 16; w += 4) {
    U v[4];
    for (int i = 0; i < 4; i++) v[i] = x[w + i] + start[w + i];
    /* Four words of one block to each 128 bits. */
    const U a = __builtin_shuffle(v[0], v[1], even), b = __builtin_shuffle(v[0], v[1], odd);
    const U c = __builtin_shuffle(v[2], v[3], even), d = __builtin_shuffle(v[2], v[3], odd);
    const U blocks[4] = {__builtin_shuffle(a, c, low), __builtin_shuffle(a, c, high), __builtin_shuffle(b, d, low),
                         __builtin_shuffle(b, d, high)};
    for (int i = 0; i < 4; i++) {
      uint32_t words[L];
      store_bytes(words, blocks[i]);
      for (int l = 0; l < L; l += 4) std::memcpy(out + (l + i) * 16 + w, words + l, 16);
    }
  }
}

/* Words that random_words() makes at most; a multiple of what either generator makes at a time. */
inline constexpr int64_t kWords = 256;

/* Words [first, first + n), n <= kWords; first is a multiple of 32. Up to kWords are written. */
KITH_INLINE void random_words(int32_t generator, const NoiseKey& key, int64_t first, int64_t n, uint32_t* out) {
  if (generator == KITH_PHILOX) {
    const Philox philox(key.words[0], key.words[1], key.node, key.round, key.high);
    Bits<float> words[kPhiloxWords / kLanes<float>];
    for (int64_t i = 0; i < n; i += kPhiloxWords) {
      philox_words(philox, first + i, words);
      std::memcpy(out + i, words, sizeof(words));
    }
  } else {
    for (int64_t i = 0; i < n; i += kChaChaWords) chacha(key, (first + i) / 16, out + i);
  }
}

}  // namespace kith::KITH_TIER

#endif
