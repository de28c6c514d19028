/*
 * Standard normals and Laplace numbers for tier files, one 32-bit word each: docs/randomness.md, "Kernel normals" and
 * "Laplace".
 */
#ifndef KITH_NORMAL_HPP
#define KITH_NORMAL_HPP

#include "noise.hpp"
#include "tier.hpp"

namespace kith::KITH_TIER {

inline constexpr double kCentral[] = KITH_NORMAL_CENTRAL;
inline constexpr double kLog[] = KITH_NORMAL_LOG;
inline constexpr double kTail[] = KITH_NORMAL_TAIL;

template <int N>
KITH_INLINE Vec<double> horner(const double (&c)[N], Vec<double> x) {
  Vec<double> a = broadcast(c[N - 1]);
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; i--) a = fma(a, x, broadcast(c[i]));
  return a;
}

/* Words at a time; positions fit a byte. */
inline constexpr int kNormals = 256;

struct Positions {
  uint8_t of[256][8];
  constexpr Positions() : of() {
    for (int mask = 0; mask < 256; mask++) {
      int n = 0;
      for (int i = 0; i < 8; i++) {
        if ((mask >> i) & 1) of[mask][n++] = static_cast<uint8_t>(i);
      }
    }
  }
};
inline constexpr Positions kPositions{};

/* p = 2^e (1 + m) with 1/sqrt(2) <= 1 + m < sqrt(2), for 2^-1022 <= p < 1/sqrt(2). */
KITH_INLINE void split(Vec<double> p, Vec<double>* e, Vec<double>* m) {
  const Bits<double> bits = bit_cast<Bits<double>>(p);
  const Bits<double> above = (bits - 0x3fe6a09e667f3bcdu) & 0xfff0000000000000u;
  *m = bit_cast<Vec<double>>(bits - above) - broadcast(1.0);
  /* e < 0 has the upper bits 0x1000 + e. */
  *e = bit_cast<Vec<double>>((above >> 52) + 0x4330000000000000u) - broadcast(0x1p52 + 0x1p12);
}

/* The mass beyond the quantile of s: (|s + 1/2| from 2^31 on) 2^-32, exact. */
KITH_INLINE Vec<double> mass_beyond(Vectors<double>::I s) {
  return (__builtin_convertvector((s ^ (s >> 31)) ^ 0x7fffffff, Vec<double>) + broadcast(0.5)) * broadcast(0x1p-32);
}

/* out[i] = normal of words[i] for i in [0, n), n a multiple of 8 and at most kNormals. Central ones at once; what lies in
   the tails is written again. */
KITH_INLINE void normals(const uint32_t* words, int n, float* out) {
  typedef Vectors<double>::F F;
  typedef Vectors<double>::I I;
  constexpr int L = kLanes<double>;
  constexpr int32_t kSign = static_cast<int32_t>(0x80000000u);
  uint8_t positions[kNormals + 8];
  int32_t tails[kNormals + 16];
  int count = 0;
#pragma GCC unroll 2
  for (int c = 0; c < n; c += 8) {
#pragma GCC unroll 4
    for (int g = 0; g < 8; g += L) {
      const I s = load_bytes<I>(words + c + g) ^ kSign;
      const Vec<double> q = (__builtin_convertvector(s, Vec<double>) + broadcast(0.5)) * broadcast(0x1p-32);
      store_bytes(out + c + g, __builtin_convertvector(q * horner(kCentral, q * q), F));
    }
#if defined(__AVX2__)
    const __m256i s = _mm256_xor_si256(load_bytes<__m256i>(words + c), _mm256_set1_epi32(kSign));
    const __m256i k = _mm256_xor_si256(s, _mm256_srai_epi32(s, 31));
    const int mask = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(k, _mm256_set1_epi32(kNormalTail - 1))));
    const uint8_t* const chosen = kPositions.of[mask];
    store_bytes(tails + count, _mm256_permutevar8x32_epi32(s, _mm256_cvtepu8_epi32(_mm_loadu_si64(chosen))));
    uint64_t eight;
    std::memcpy(&eight, chosen, 8);
    eight += 0x0101010101010101u * static_cast<uint64_t>(c);
    std::memcpy(positions + count, &eight, 8);
    count += __builtin_popcount(static_cast<unsigned>(mask));
#else
    for (int i = c; i < c + 8; i++) {
      const int32_t s = static_cast<int32_t>(words[i]) ^ kSign;
      tails[count] = s;
      positions[count] = static_cast<uint8_t>(i);
      count += (s ^ (s >> 31)) >= kNormalTail;
    }
#endif
  }
  float z[kNormals + 16];
  store_bytes(tails + count, I{});
#pragma GCC unroll 2
  for (int j = 0; j < count; j += L) {
    const I s = load_bytes<I>(tails + j);
    Vec<double> e, m;
    split(mass_beyond(s), &e, &m);
    const Vec<double> ln = fma(e, broadcast(kLn2), m * horner(kLog, m));
    const Vec<double> size = horner(kTail, sqrt(ln * broadcast(-2.0)) - broadcast(4.5));
    store_bytes(z + j, bit_cast<I>(__builtin_convertvector(size, F)) | (s & kSign));
  }
  for (int i = 0; i < count; i++) out[positions[i]] = z[i];
}

/* out[i] = Laplace of words[i] for i in [0, n), n a multiple of 8: -ln(2 p) with the sign of the side. */
KITH_INLINE void laplaces(const uint32_t* words, int n, float* out) {
  typedef Vectors<double>::F F;
  typedef Vectors<double>::I I;
  constexpr int L = kLanes<double>;
  constexpr int32_t kSign = static_cast<int32_t>(0x80000000u);
#pragma GCC unroll 2
  for (int c = 0; c < n; c += L) {
    const I s = load_bytes<I>(words + c) ^ kSign;
    Vec<double> e, m;
    split(mass_beyond(s), &e, &m);
    const Vec<double> ln = fma(e + broadcast(1.0), broadcast(kLn2), m * horner(kLog, m));
    store_bytes(out + c, bit_cast<I>(__builtin_convertvector(-ln, F)) | (s & kSign));
  }
}

}  // namespace kith::KITH_TIER

#endif
