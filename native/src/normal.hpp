/*
 * Standard normals and Laplace numbers for tier files, one 32-bit word each: docs/randomness.md, "Kernel normals" and
 * "Laplace".
 *
 * With AVX2 four normals of the centre take 14 fma, two products and two conversions, 18 instructions for two ports: 2.25
 * cycles each. An eighth is of the tails, with 23 fma, a square root and some ten more: 0.9 cycles when shared by all.
 * With the word that is 4.5 cycles, 0.83 ns on two cores of 2.7 GHz; 6 are reached on one. Polynomials of several vectors
 * are evaluated in step, since the chain of one would fill the window in which the processor looks for work.
 */
#ifndef KITH_NORMAL_HPP
#define KITH_NORMAL_HPP

#include "noise.hpp"
#include "tier.hpp"

namespace kith::KITH_TIER {

inline constexpr double kCentral[] = KITH_NORMAL_CENTRAL;
inline constexpr double kLog[] = KITH_NORMAL_LOG;
inline constexpr double kTail[] = KITH_NORMAL_TAIL;

/* Of several arguments in step: one after the other their chains of fma would fill the processor's window. */
template <int N, int G>
KITH_INLINE void horner(const double (&c)[N], const Vec<double> (&x)[G], Vec<double> (&a)[G]) {
#pragma GCC unroll 16
  for (int g = 0; g < G; g++) a[g] = broadcast(c[N - 1]);
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; i--) {
    const Vec<double> next = broadcast(c[i]);
#pragma GCC unroll 16
    for (int g = 0; g < G; g++) a[g] = fma(a[g], x[g], next);
  }
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

/* (s + 1/2) 2^-32, exact. */
KITH_INLINE Vec<double> centred(Vectors<double>::I s) {
  const Vec<double> wide = __builtin_convertvector(s, Vec<double>);
#if defined(__FMA__)
  return fma(wide, broadcast(0x1p-32), broadcast(0x1p-33));
#else
  return (wide + broadcast(0.5)) * broadcast(0x1p-32);
#endif
}

/* The mass beyond the quantile of s: (|s + 1/2| from 2^31 on) 2^-32, exact. */
KITH_INLINE Vec<double> mass_beyond(Vectors<double>::I s) { return centred((s ^ (s >> 31)) ^ 0x7fffffff); }

/* Vectors of f64 that are worked on in step. */
inline constexpr int kInStep = 4;

/* out[i] = normal of words[i] for i in [0, n), n a multiple of 32 and at most kNormals. Central ones at once; what lies
   in the tails is written again. */
KITH_INLINE void normals(const uint32_t* words, int n, float* out) {
  typedef Vectors<double>::F F;
  typedef Vectors<double>::I I;
  constexpr int L = kLanes<double>;
  constexpr int kStep = kInStep * L;
  constexpr int32_t kSign = static_cast<int32_t>(0x80000000u);
  uint8_t positions[kNormals + 8];
  int32_t tails[kNormals + 32];
  int count = 0;
  for (int c = 0; c < n; c += kStep) {
    Vec<double> q[kInStep], square[kInStep], z[kInStep];
#pragma GCC unroll 16
    for (int g = 0; g < kInStep; g++) {
      q[g] = centred(load_bytes<I>(words + c + g * L) ^ kSign);
      square[g] = q[g] * q[g];
    }
    horner(kCentral, square, z);
#pragma GCC unroll 16
    for (int g = 0; g < kInStep; g++) {
      store_bytes(out + c + g * L, __builtin_convertvector(q[g] * z[g], F));
    }
  }
  for (int c = 0; c < n; c += 8) {
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
  float z[kNormals + 32];
  std::memset(tails + count, 0, kStep * sizeof(int32_t));
  for (int j = 0; j < count; j += kStep) {
    Vec<double> e[kInStep], m[kInStep], p[kInStep], size[kInStep];
#pragma GCC unroll 16
    for (int g = 0; g < kInStep; g++) split(mass_beyond(load_bytes<I>(tails + j + g * L)), &e[g], &m[g]);
    horner(kLog, m, p);
#pragma GCC unroll 16
    for (int g = 0; g < kInStep; g++) {
      const Vec<double> ln = fma(e[g], broadcast(kLn2), m[g] * p[g]);
      p[g] = sqrt(ln * broadcast(-2.0)) - broadcast(4.5);
    }
    horner(kTail, p, size);
#pragma GCC unroll 16
    for (int g = 0; g < kInStep; g++) {
      const I s = load_bytes<I>(tails + j + g * L);
      store_bytes(z + j + g * L, bit_cast<I>(__builtin_convertvector(size[g], F)) | (s & kSign));
    }
  }
  for (int i = 0; i < count; i++) out[positions[i]] = z[i];
}

/* out[i] = Laplace of words[i] for i in [0, n), n a multiple of 32: -ln(2 p) with the sign of the side. */
KITH_INLINE void laplaces(const uint32_t* words, int n, float* out) {
  typedef Vectors<double>::F F;
  typedef Vectors<double>::I I;
  constexpr int L = kLanes<double>;
  constexpr int32_t kSign = static_cast<int32_t>(0x80000000u);
  for (int c = 0; c < n; c += kInStep * L) {
    Vec<double> e[kInStep], m[kInStep], p[kInStep];
#pragma GCC unroll 16
    for (int g = 0; g < kInStep; g++) split(mass_beyond(load_bytes<I>(words + c + g * L) ^ kSign), &e[g], &m[g]);
    horner(kLog, m, p);
#pragma GCC unroll 16
    for (int g = 0; g < kInStep; g++) {
      const I s = load_bytes<I>(words + c + g * L) ^ kSign;
      const Vec<double> ln = fma(e[g] + broadcast(1.0), broadcast(kLn2), m[g] * p[g]);
      store_bytes(out + c + g * L, bit_cast<I>(__builtin_convertvector(-ln, F)) | (s & kSign));
    }
  }
}

}  // namespace kith::KITH_TIER

#endif
