/*
 * Philox4x32-10 for tier files: docs/randomness.md. Keys and counters are laid out there; this file is for form 0, where
 * element c takes word c mod 4 of block c / 4.
 *
 * A block's four words travel in 64-bit lanes: c0 and c2 in the lower halves, where the multiplication looks, c1 and c3
 * in the lower halves of the last products. What the upper halves of c0 and c2 hold never matters. What costs is the
 * number of instructions on vectors, 65 for as many blocks as there are lanes, so:
 *   - node and round are the same for all blocks, and what rounds 0 to 2 make of them is worked out once;
 *   - before its halves part, a product takes the key of its upper half and, in its lower half, that of the next round:
 *     so only every other round has keys to add;
 *   - the last round forms c0 and c2 in the upper halves, from where one shuffle puts the four words in order.
 *
 * With AVX2 that is 65 for 16 words: 18 products and 18 shifts, for which a core has two ports, and 29 for which it has
 * three. Three a cycle are 1.35 cycles a word, which nothing can beat; alone on a core 1.95 to 2.05 are reached, since
 * what 16 registers do not hold adds loads and stores, 440 instructions in all for 64 words. Tried and left: eight groups
 * at a time (1.75 alone, but a sixth slower where another thread shares the core), two (2.15), and shuffles of 32-bit
 * halves in place of some or all shifts (the same or slower). With AVX-512 the 65 make 32 words, on two ports in at least
 * 1.02 cycles each; 1.19 are reached.
 */
#ifndef KITH_PHILOX_HPP
#define KITH_PHILOX_HPP

#include "tier.hpp"

namespace kith::KITH_TIER {

/* What all blocks of one (seed, stream, node, round) share. */
struct Philox {
  static constexpr uint32_t kMultiplier0 = 0xD2511F53u;
  static constexpr uint32_t kMultiplier1 = 0xCD9E8D57u;
  /* Pairs of rounds that have keys: (2, 3), (4, 5), (6, 7), (8, 9). */
  static constexpr int kPairs = 4;
  Bits<double> keys0[kPairs];
  Bits<double> keys1[kPairs];
  Bits<double> first2;  /* c2 after round 0 is this ^ hi(p0) ^ the upper bits of the block index */
  Bits<double> second0; /* c0 after round 1 is this ^ hi(p1) */
  Bits<double> second2; /* c2 after round 1 is this ^ lo(p0 of round 0) */

  KITH_INLINE Philox(uint32_t key0, uint32_t key1, uint32_t node, int64_t round, int32_t stream)
      : Philox(key0, key1, node, static_cast<uint32_t>(round),
               static_cast<uint32_t>(stream) << 24 | static_cast<uint32_t>(round >> 32) << 8) {}
  /* The lower half of the round, and the last counter word but for the block index. */
  KITH_INLINE Philox(uint32_t key0, uint32_t key1, uint32_t node, uint32_t round, uint32_t high) {
    const auto k0 = [&](uint32_t r) { return key0 + r * 0x9E3779B9u; };
    const auto k1 = [&](uint32_t r) { return key1 + r * 0xBB67AE85u; };
    const uint64_t p1 = static_cast<uint64_t>(round) * kMultiplier1;
    const uint32_t c0 = static_cast<uint32_t>(p1 >> 32) ^ node ^ k0(0);
    const uint64_t p0 = static_cast<uint64_t>(c0) * kMultiplier0;
    first2 = Bits<double>{} + (high ^ k1(0));
    second0 = Bits<double>{} + (static_cast<uint32_t>(p1) ^ k0(1));
    second2 = Bits<double>{} + (static_cast<uint32_t>(p0 >> 32) ^ k1(1));
    for (uint32_t p = 0; p < kPairs; p++) {
      const uint32_t r = 2 * p + 2;
      /* c3 of round 2 is known. */
      const uint32_t upper1 = k1(r) ^ (p == 0 ? static_cast<uint32_t>(p0) : 0);
      keys0[p] = Bits<double>{} + (static_cast<uint64_t>(k0(r)) << 32 | k0(r + 1));
      keys1[p] = Bits<double>{} + (static_cast<uint64_t>(upper1) << 32 | k1(r + 1));
    }
  }
};

/* The product of the lower halves. */
KITH_INLINE Bits<double> low_product(Bits<double> a, Bits<double> b) {
#if defined(__AVX512F__)
  return bit_cast<Bits<double>>(_mm512_mul_epu32(bit_cast<__m512i>(a), bit_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return bit_cast<Bits<double>>(_mm256_mul_epu32(bit_cast<__m256i>(a), bit_cast<__m256i>(b)));
#elif defined(__x86_64__)
  return bit_cast<Bits<double>>(_mm_mul_epu32(bit_cast<__m128i>(a), bit_cast<__m128i>(b)));
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

/* From each pair of 64-bit lanes its first (odd 0) or second (odd 1): upper and lower half of a, then of b. */
template <int kOdd>
KITH_INLINE Bits<float> words_in_order(Bits<double> a, Bits<double> b) {
  [[maybe_unused]] constexpr int kOrder = kOdd == 0 ? 0x11 : 0xbb;
#if defined(__AVX512F__)
  /* GCC 12 warns of its own intrinsics at this width. */
  constexpr int k = 2 * kOdd;
  return __builtin_shufflevector(bit_cast<Bits<float>>(a), bit_cast<Bits<float>>(b), k + 1, k, k + 17, k + 16, k + 5,
                                 k + 4, k + 21, k + 20, k + 9, k + 8, k + 25, k + 24, k + 13, k + 12, k + 29, k + 28);
#elif defined(__AVX2__)
  return bit_cast<Bits<float>>(_mm256_shuffle_ps(bit_cast<__m256>(a), bit_cast<__m256>(b), kOrder));
#elif defined(__x86_64__)
  return bit_cast<Bits<float>>(_mm_shuffle_ps(bit_cast<__m128>(a), bit_cast<__m128>(b), kOrder));
#else
  return Bits<float>{static_cast<uint32_t>(a[kOdd] >> 32), static_cast<uint32_t>(a[kOdd]),
                     static_cast<uint32_t>(b[kOdd] >> 32), static_cast<uint32_t>(b[kOdd])};
#endif
}

/* Words that are made at a time: four groups of blocks hide each other's latency. */
inline constexpr int kPhiloxWords = 16 * kLanes<double>;

/* Words `first` to `first` + kPhiloxWords - 1, in order; `first` is a multiple of 4. */
KITH_INLINE void philox_words(const Philox& p, int64_t first, Bits<float>* words) {
  constexpr int L = kLanes<double>;
  constexpr int kGroups = 4;
  /* Lane l holds block l / 2 of its half of the group, so that the words come out in order. */
  Bits<double> place;
  for (int l = 0; l < L; l++) place[l] = static_cast<uint64_t>(l / 2 + l % 2 * (L / 2));
  const Bits<double> m0 = Bits<double>{} + Philox::kMultiplier0;
  const Bits<double> m1 = Bits<double>{} + Philox::kMultiplier1;
  Bits<double> c0[kGroups], c1[kGroups], c2[kGroups], c3[kGroups];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; g++) {
    const Bits<double> block = place + static_cast<uint64_t>(first / 4 + g * L);
    const Bits<double> p0 = low_product(block, m0);
    c1[g] = low_product(((p0 ^ block) >> 32) ^ p.first2, m1);
    c0[g] = (c1[g] >> 32) ^ p.second0;
    c2[g] = p0 ^ p.second2;
    c3[g] = Bits<double>{};
  }
#pragma GCC unroll 4
  for (int pair = 0; pair < Philox::kPairs; pair++) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; g++) {
      const Bits<double> p0 = low_product(c0[g], m0) ^ p.keys1[pair];
      const Bits<double> p1 = low_product(c2[g], m1) ^ p.keys0[pair];
      c0[g] = (p1 >> 32) ^ c1[g];
      c2[g] = pair == 0 ? p0 >> 32 : (p0 >> 32) ^ c3[g];
      c1[g] = p1;
      c3[g] = p0;
    }
    const bool last = pair == Philox::kPairs - 1;
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; g++) {
      const Bits<double> p0 = low_product(c0[g], m0);
      const Bits<double> p1 = low_product(c2[g], m1);
      c0[g] = last ? p1 ^ (c1[g] << 32) : (p1 >> 32) ^ c1[g];
      c2[g] = last ? p0 ^ (c3[g] << 32) : (p0 >> 32) ^ c3[g];
      c1[g] = p1;
      c3[g] = p0;
    }
  }
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; g++) {
    words[2 * g] = words_in_order<0>(c0[g], c2[g]);
    words[2 * g + 1] = words_in_order<1>(c0[g], c2[g]);
  }
}

/* The f32 uniform of each word: its upper 24 bits and a half, over 2^24, and below 1. */
KITH_INLINE Vec<float> uniforms_of(Bits<float> words) {
  const Vec<float> upper = __builtin_convertvector(bit_cast<Mask<float>>(words >> 8), Vec<float>);
#if defined(__FMA__)
  /* The same: a power of two commutes with rounding. */
  const Vec<float> scaled = fma(upper, broadcast(0x1p-24f), broadcast(0x1p-25f));
#else
  const Vec<float> scaled = (upper + broadcast(0.5f)) * broadcast(0x1p-24f);
#endif
  const Vec<float> most = broadcast(0x1.fffffep-1f);
#if defined(__AVX2__) && !defined(__AVX512F__)
  return _mm256_min_ps(scaled, most);
#else
  return scaled < most ? scaled : most;
#endif
}

/* kPhiloxWords f32 uniforms, of elements `first` and on; `first` is a multiple of 4. */
KITH_INLINE void philox_uniforms(const Philox& p, int64_t first, Vec<float>* u) {
  constexpr int kVectors = kPhiloxWords / kLanes<float>;
  Bits<float> words[kVectors];
  philox_words(p, first, words);
#pragma GCC unroll 8
  for (int k = 0; k < kVectors; k++) u[k] = uniforms_of(words[k]);
}

}  // namespace kith::KITH_TIER

#endif
