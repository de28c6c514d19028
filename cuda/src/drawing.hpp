/*
 * Random numbers for kernels: the elements of a distribution, as many as a block of a generator gives.
 * docs/randomness.md.
 */
#ifndef KITH_CUDA_DRAWING_HPP
#define KITH_CUDA_DRAWING_HPP

#include "convert.hpp"
#include "generators.hpp"

namespace kith {

namespace {

/* ---- distributions ------------------------------------------------------------------------------------------------- */

template <int N>
KITH_DEVICE double horner(const double (&c)[N], double x) {
  double a = c[N - 1];
  KITH_UNROLL
  for (int i = N - 2; i >= 0; i--) a = fused(a, x, c[i]);
  return a;
}

// ln of the mass p beyond the quantile of s, times 2^shift.
KITH_DEVICE double log_beyond(int32_t s, double shift) {
  constexpr double kLog[] = KITH_NORMAL_LOG;
  const double p = (static_cast<double>((s ^ (s >> 31)) ^ 0x7fffffff) + 0.5) * 0x1p-32;
  // p = 2^e (1 + m) with 1/sqrt(2) <= 1 + m < sqrt(2)
  const int64_t bits = __double_as_longlong(p);
  const int64_t above = (bits - 0x3fe6a09e667f3bcd) >> 52;
  const double m = __longlong_as_double(bits - above * (int64_t{1} << 52)) - 1.0;
  return fused(static_cast<double>(above) + shift, kLn2, m * horner(kLog, m));
}

KITH_DEVICE float with_sign(float size, int32_t s) {
  return __uint_as_float(__float_as_uint(size) | (static_cast<uint32_t>(s) & 0x80000000u));
}

KITH_DEVICE float normal(uint32_t word) {
  const int32_t s = static_cast<int32_t>(word ^ 0x80000000u);
  if ((s ^ (s >> 31)) < kNormalTail) {
    constexpr double kCentral[] = KITH_NORMAL_CENTRAL;
    const double q = (static_cast<double>(s) + 0.5) * 0x1p-32;
    return static_cast<float>(q * horner(kCentral, q * q));
  }
  constexpr double kTail[] = KITH_NORMAL_TAIL;
  return with_sign(static_cast<float>(horner(kTail, root(log_beyond(s, 0.0) * -2.0) - 4.5)), s);
}

KITH_DEVICE float number(int32_t distribution, uint32_t word) {
  if (distribution == KITH_NORMAL) return normal(word);
  if (distribution == KITH_UNIFORM) {
    const float u = (static_cast<float>(word >> 8) + 0.5f) * 0x1p-24f;
    return u < 0x1.fffffep-1f ? u : 0x1.fffffep-1f;
  }
  const int32_t s = static_cast<int32_t>(word ^ 0x80000000u);
  return with_sign(static_cast<float>(-log_beyond(s, 1.0)), s);
}

KITH_DEVICE float sign(uint32_t word, int64_t c) {
  return __uint_as_float((word >> (c % 32) & 1u) << 31 | 0x3f800000u);
}

// Columns that a thread draws at a time.
template <class Generator>
KITH_DEVICE int64_t group_of(int32_t distribution) {
  return distribution == KITH_RADEMACHER ? 32 : Generator::kWords;
}

// put(i, z) for the columns c + i of a group from c on, as far as n.
template <class Generator, class Put>
KITH_DEVICE void draw(const NoiseKey& key, int32_t distribution, int64_t c, int64_t n, Put put) {
  uint32_t words[Generator::kWords];
  if (distribution == KITH_RADEMACHER) {
    const int64_t w = c / 32;
    Generator::block(key, w / Generator::kWords, words);
    uint32_t word = 0;
    KITH_UNROLL
    for (int i = 0; i < Generator::kWords; i++) word = i == w % Generator::kWords ? words[i] : word;
    for (int64_t i = 0; i < n; i++) put(i, sign(word, i));
    return;
  }
  Generator::block(key, c / Generator::kWords, words);
  KITH_UNROLL
  for (int i = 0; i < Generator::kWords; i++) {
    if (i < n) put(i, number(distribution, words[i]));
  }
}

}  // namespace

}  // namespace kith

#endif
