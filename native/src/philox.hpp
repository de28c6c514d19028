/*
 * Philox4x32-10 for tier files: docs/randomness.md. Keys and counters are laid out there; this file is for form 0, where
 * element c takes word c mod 4 of block c / 4.
 *
 * A block's four words travel in 64-bit lanes: c0 and c2 in the lower halves, where the multiplication looks, c1 and c3
 * in the lower halves of the last products. What the upper halves hold never matters.
 */
#ifndef KITH_PHILOX_HPP
#define KITH_PHILOX_HPP

#include "tier.hpp"

namespace kith::KITH_TIER {

/* What all blocks of one (seed, stream, node, round) share. */
struct Philox {
  static constexpr int kRounds = 10;
  Bits<double> keys0[kRounds];
  Bits<double> keys1[kRounds];
  uint32_t node;
  uint32_t round_low;
  uint32_t high; /* word 3 but for the bits of the block index */

  KITH_INLINE Philox(uint32_t key0, uint32_t key1, uint32_t node_number, int64_t round, int32_t stream)
      : node(node_number),
        round_low(static_cast<uint32_t>(round)),
        high(static_cast<uint32_t>(stream) << 24 | static_cast<uint32_t>(round >> 32) << 8) {
    for (int r = 0; r < kRounds; r++) {
      keys0[r] = Bits<double>{} + (key0 + static_cast<uint32_t>(r) * 0x9E3779B9u);
      keys1[r] = Bits<double>{} + (key1 + static_cast<uint32_t>(r) * 0xBB67AE85u);
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

/* Lanes 0, 2, 4, ... of a and b in turn; lanes 1, 3, 5, ... of both. */
KITH_INLINE Bits<double> even_lanes(Bits<double> a, Bits<double> b) {
#if defined(__AVX512F__)
  return bit_cast<Bits<double>>(_mm512_unpacklo_epi64(bit_cast<__m512i>(a), bit_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return bit_cast<Bits<double>>(_mm256_unpacklo_epi64(bit_cast<__m256i>(a), bit_cast<__m256i>(b)));
#else
  return Bits<double>{a[0], b[0]};
#endif
}
KITH_INLINE Bits<double> odd_lanes(Bits<double> a, Bits<double> b) {
#if defined(__AVX512F__)
  return bit_cast<Bits<double>>(_mm512_unpackhi_epi64(bit_cast<__m512i>(a), bit_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return bit_cast<Bits<double>>(_mm256_unpackhi_epi64(bit_cast<__m256i>(a), bit_cast<__m256i>(b)));
#else
  return Bits<double>{a[1], b[1]};
#endif
}

/* u[k] = f32 uniform of element `first` + k for k in [0, 32); `first` is a multiple of 4. */
KITH_INLINE void uniforms32(const Philox& p, int64_t first, Vec<float>* u) {
  constexpr int L = kLanes<double>;
  constexpr int kGroups = 8 / L;
  static_assert(kGroups * L == 8);
  /* Lane l holds block l / 2 of its half of the group, so that the words come out in order. */
  Bits<double> place;
  for (int l = 0; l < L; l++) place[l] = static_cast<uint64_t>(l / 2 + l % 2 * (L / 2));
  const Bits<double> m0 = Bits<double>{} + 0xD2511F53u;
  const Bits<double> m1 = Bits<double>{} + 0xCD9E8D57u;
  Bits<double> c0[kGroups], c1[kGroups], c2[kGroups], c3[kGroups];
  for (int g = 0; g < kGroups; g++) {
    const Bits<double> block = place + static_cast<uint64_t>(first / 4 + g * L);
    c0[g] = block;
    c1[g] = Bits<double>{} + p.node;
    c2[g] = Bits<double>{} + p.round_low;
    c3[g] = (block >> 32) | p.high;
  }
#pragma GCC unroll 10
  for (int r = 0; r < Philox::kRounds; r++) {
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; g++) {
      const Bits<double> p0 = low_product(c0[g], m0);
      const Bits<double> p1 = low_product(c2[g], m1);
      c0[g] = (p1 >> 32) ^ c1[g] ^ p.keys0[r];
      c2[g] = (p0 >> 32) ^ c3[g] ^ p.keys1[r];
      c1[g] = p1;
      c3[g] = p0;
    }
  }
  for (int g = 0; g < kGroups; g++) {
    const Bits<double> low = (c0[g] & 0xffffffffu) | (c1[g] << 32);
    const Bits<double> high = (c2[g] & 0xffffffffu) | (c3[g] << 32);
    const Bits<double> words[2] = {even_lanes(low, high), odd_lanes(low, high)};
    for (int h = 0; h < 2; h++) {
      const Mask<float> upper = bit_cast<Mask<float>>(bit_cast<Bits<float>>(words[h]) >> 8);
      const Vec<float> scaled = (__builtin_convertvector(upper, Vec<float>) + broadcast(0.5f)) * broadcast(0x1p-24f);
      const Vec<float> most = broadcast(0x1.fffffep-1f);
      u[2 * g + h] = scaled < most ? scaled : most;
    }
  }
}

}  // namespace kith::KITH_TIER

#endif
