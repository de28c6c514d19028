/*
 * What tier files (FAMILY.cpp, compiled once per tier with -DKITH_TIER=scalar|v2|v3|v4) are written with: vectors of
 * the tier's width, exact fma, loads and stores of every dtype.
 *
 * A tier file may include only <cstdint>, <cstring>, <cmath>, this header and its FAMILY.hpp (plain structs), and puts
 * everything into namespace kith::KITH_TIER. Nothing with a name outside that namespace may be emitted: the linker
 * keeps one copy of a function of one name, and a copy compiled for AVX-512 would then run on a machine without it. So:
 * no standard library templates, no static or thread_local objects with constructors, no allocation.
 *
 * Vec<T>: kLanes<T> elements of the compute type T (float or double). Operators work lane by lane; comparisons give
 * Mask<T> (all ones or zero per lane); `mask ? a : b` selects.
 */
#ifndef KITH_TIER_HPP
#define KITH_TIER_HPP

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kith.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef KITH_TIER
#error "tier.hpp belongs to files that are compiled with -DKITH_TIER=..."
#endif

#define KITH_INLINE inline __attribute__((always_inline))

namespace kith::KITH_TIER {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

/* Storage types beside float, double and int32_t. */
struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
struct Vectors;
template <>
struct Vectors<float> {
  static constexpr int n = kLanes<float>;
  typedef float V __attribute__((vector_size(kVectorBytes)));
  typedef int32_t M __attribute__((vector_size(kVectorBytes)));
  typedef uint32_t U __attribute__((vector_size(kVectorBytes)));
  typedef uint16_t H __attribute__((vector_size(kVectorBytes / 2)));
};
template <>
struct Vectors<double> {
  static constexpr int n = kLanes<double>;
  typedef double V __attribute__((vector_size(kVectorBytes)));
  typedef int64_t M __attribute__((vector_size(kVectorBytes)));
  typedef uint64_t U __attribute__((vector_size(kVectorBytes)));
  /* As many lanes of narrower types. */
  typedef float F __attribute__((vector_size(kVectorBytes / 2)));
  typedef int32_t I __attribute__((vector_size(kVectorBytes / 2)));
  typedef uint32_t J __attribute__((vector_size(kVectorBytes / 2)));
  typedef uint16_t H __attribute__((vector_size(kVectorBytes / 4)));
};
template <class T>
using Vec = typename Vectors<T>::V;
template <class T>
using Mask = typename Vectors<T>::M;
template <class T>
using Bits = typename Vectors<T>::U;

template <class To, class From>
KITH_INLINE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(To));
  return to;
}

/* Any address: vectors at addresses that need no alignment. */
template <class V>
KITH_INLINE V load_bytes(const void* p) {
  V v;
  std::memcpy(&v, p, sizeof(V));
  return v;
}
template <class V>
KITH_INLINE void store_bytes(void* p, const V& v) {
  std::memcpy(p, &v, sizeof(V));
}

template <class T>
KITH_INLINE Vec<T> broadcast(T value) {
  return Vec<T>{} + value - Vec<T>{};
}
template <>
KITH_INLINE Vec<float> broadcast<float>(float value) {
#if defined(__AVX512F__)
  return _mm512_set1_ps(value);
#elif defined(__AVX2__)
  return _mm256_set1_ps(value);
#else
  return Vec<float>{value, value, value, value};
#endif
}
template <>
KITH_INLINE Vec<double> broadcast<double>(double value) {
#if defined(__AVX512F__)
  return _mm512_set1_pd(value);
#elif defined(__AVX2__)
  return _mm256_set1_pd(value);
#else
  return Vec<double>{value, value};
#endif
}

/* ---- fma: one rounding, on every tier --------------------------------------------------------------------------- */

#if defined(__FMA__)
KITH_INLINE float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
KITH_INLINE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
KITH_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#else
  return _mm256_fmadd_ps(a, b, c);
#endif
}
KITH_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#else
  return _mm256_fmadd_pd(a, b, c);
#endif
}
#else
/*
 * Without the instruction: the product of two f32 is exact in f64, the sum is rounded to odd there (53 bits are more
 * than 24 + 2), and the conversion to f32 then rounds as if once (Boldo and Melquiond, "Emulation of FMA and correctly
 * rounded sums", IEEE Trans. Computers 57(4), 2008, theorem 3.1). Rounding to odd: where TwoSum left an error and the
 * last bit is even, step to the neighbour on the error's side. Comparisons with NaN are false, so NaN and infinities
 * pass unchanged.
 */
KITH_INLINE Vec<double> sum_to_odd(Vec<double> p, Vec<double> c) {
  const Vec<double> s = p + c;
  const Vec<double> t = s - p;
  const Vec<double> error = (p - (s - t)) + (c - t);
  const Vec<double> zero{};
  const Mask<double> up = error > zero;
  const Mask<double> down = error < zero;
  const Mask<double> bits = bit_cast<Mask<double>>(s);
  const Mask<double> even = (bits & 1) - 1;
  const Mask<double> negative = s < zero;
  /* Away from zero is +1 on the bits of either sign; towards zero is -1. */
  const Mask<double> towards_zero = (up & negative) | (down & ~negative);
  return bit_cast<Vec<double>>(bits + ((up | down) & even & (towards_zero | 1)));
}
KITH_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  typedef Vectors<double>::F Half;
  Half ha[2], hb[2], hc[2], hr[2];
  std::memcpy(ha, &a, sizeof(a));
  std::memcpy(hb, &b, sizeof(b));
  std::memcpy(hc, &c, sizeof(c));
  for (int i = 0; i < 2; i++) {
    const Vec<double> p = __builtin_convertvector(ha[i], Vec<double>) * __builtin_convertvector(hb[i], Vec<double>);
    hr[i] = __builtin_convertvector(sum_to_odd(p, __builtin_convertvector(hc[i], Vec<double>)), Half);
  }
  return load_bytes<Vec<float>>(hr);
}
KITH_INLINE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
KITH_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  Vec<double> r;
  for (int i = 0; i < kLanes<double>; i++) r[i] = __builtin_fma(a[i], b[i], c[i]);
  return r;
}
KITH_INLINE float fma(float a, float b, float c) { return fma(broadcast(a), broadcast(b), broadcast(c))[0]; }
#endif

/* ---- square root, absolute value, selection --------------------------------------------------------------------- */

KITH_INLINE Vec<float> sqrt(Vec<float> a) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(a);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(a);
#elif defined(__x86_64__)
  return _mm_sqrt_ps(a);
#else
  for (int i = 0; i < kLanes<float>; i++) a[i] = __builtin_sqrtf(a[i]);
  return a;
#endif
}
KITH_INLINE Vec<double> sqrt(Vec<double> a) {
#if defined(__AVX512F__)
  return _mm512_sqrt_pd(a);
#elif defined(__AVX2__)
  return _mm256_sqrt_pd(a);
#elif defined(__x86_64__)
  return _mm_sqrt_pd(a);
#else
  for (int i = 0; i < kLanes<double>; i++) a[i] = __builtin_sqrt(a[i]);
  return a;
#endif
}

KITH_INLINE Vec<float> abs(Vec<float> a) { return bit_cast<Vec<float>>(bit_cast<Bits<float>>(a) & 0x7fffffffu); }
KITH_INLINE Vec<double> abs(Vec<double> a) {
  return bit_cast<Vec<double>>(bit_cast<Bits<double>>(a) & 0x7fffffffffffffffull);
}

/* Ones in the first n lanes (n may be above kLanes<T>). */
template <class T>
KITH_INLINE Mask<T> first_lanes(int64_t n) {
  Vec<T> numbers;
  for (int i = 0; i < kLanes<T>; i++) numbers[i] = static_cast<T>(i);
  return numbers < broadcast<T>(static_cast<T>(n));
}

/* +0 where x is finite, NaN where it is not, added to acc: any_nan(acc) tells whether some x was NaN or infinite. */
template <class T>
KITH_INLINE Vec<T> watch(Vec<T> acc, Vec<T> x) {
#if defined(__FMA__)
  return fma(x, Vec<T>{}, acc);
#else
  return acc + x * Vec<T>{};
#endif
}
template <class T>
KITH_INLINE bool any_nan(Vec<T> acc) {
  bool found = false;
  for (int i = 0; i < kLanes<T>; i++) found |= acc[i] != acc[i];
  return found;
}

/* ---- rounding to and widening from 16-bit types ----------------------------------------------------------------- */

/* U is a vector of unsigned 32-bit lanes, holding 16 bits each where it stands for a narrow value. */
template <class U, class F>
KITH_INLINE U round_bits_bf16(F x) {
  const U bits = bit_cast<U>(x);
  const U rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const U quiet = (bits >> 16) | 0x40u;
  return (bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded;
}
template <class F, class U>
KITH_INLINE F widen_bits_bf16(U bits) {
  return bit_cast<F>(bits << 16);
}
template <class U, class F>
KITH_INLINE U round_bits_f16(F x) {
  const U bits = bit_cast<U>(x);
  const U a = bits & 0x7fffffffu;
  const U sign = (bits >> 16) & 0x8000u;
  /* Below 2^-14 the addition of 0.5, whose last place is 2^-24, does the rounding. */
  const U small = bit_cast<U>(bit_cast<F>(a) + 0.5f) - 0x3f000000u;
  const U normal = (a + 0xc8000fffu + ((a >> 13) & 1u)) >> 13;
  const U quiet = 0x7e00u | ((a >> 13) & 0x3ffu);
  const U infinite = (a & 0u) + 0x7c00u;
  U r = a < 0x38800000u ? small : normal;
  r = a >= 0x47800000u ? infinite : r;
  r = a > 0x7f800000u ? quiet : r;
  return r | sign;
}
template <class F, class U>
KITH_INLINE F widen_bits_f16(U h) {
  const U a = (h & 0x7fffu) << 13;
  const U scaled = bit_cast<U>(bit_cast<F>(a) * 0x1p112f);
  const U special = a | 0x7f800000u;
  const U quiet = special | 0x400000u;
  U r = a >= 0x0f800000u ? special : scaled;
  r = a > 0x0f800000u ? quiet : r;
  return bit_cast<F>(r | ((h & 0x8000u) << 16));
}

/* f64 to f32 rounded to odd, from which rounding to a 16-bit type rounds as if once. */
KITH_INLINE Vectors<double>::F narrow_to_odd(Vec<double> x) {
  typedef Vectors<double>::F F;
  typedef Vectors<double>::I I;
  const F s = __builtin_convertvector(x, F);
  const Vec<double> back = __builtin_convertvector(s, Vec<double>);
  const I below = __builtin_convertvector(abs(back) < abs(x), I);
  const I above = __builtin_convertvector(abs(back) > abs(x), I);
  const I bits = bit_cast<I>(s);
  const I even = (bits & 1) - 1;
  return bit_cast<F>(bits + ((below | above) & even & (above | 1)));
}

/* ---- loads: Load<T, S>::full(p) gives kLanes<T> elements of storage type S as Vec<T> ---------------------------- */

template <class T, class S>
struct Memory;

template <>
struct Memory<float, float> {
  static KITH_INLINE Vec<float> load(const float* p) { return load_bytes<Vec<float>>(p); }
  static KITH_INLINE void store(float* p, Vec<float> v) { store_bytes(p, v); }
};
template <>
struct Memory<double, double> {
  static KITH_INLINE Vec<double> load(const double* p) { return load_bytes<Vec<double>>(p); }
  static KITH_INLINE void store(double* p, Vec<double> v) { store_bytes(p, v); }
};
template <>
struct Memory<double, float> {
  typedef Vectors<double>::F F;
  static KITH_INLINE Vec<double> load(const float* p) { return __builtin_convertvector(load_bytes<F>(p), Vec<double>); }
  static KITH_INLINE void store(float* p, Vec<double> v) { store_bytes(p, __builtin_convertvector(v, F)); }
};
template <>
struct Memory<float, bf16> {
  typedef Vectors<float>::H H;
  typedef Vectors<float>::U U;
  static KITH_INLINE Vec<float> load(const bf16* p) {
    return widen_bits_bf16<Vec<float>>(__builtin_convertvector(load_bytes<H>(p), U));
  }
  static KITH_INLINE void store(bf16* p, Vec<float> v) {
    store_bytes(p, __builtin_convertvector(round_bits_bf16<U>(v), H));
  }
};
template <>
struct Memory<float, f16> {
  typedef Vectors<float>::H H;
  typedef Vectors<float>::U U;
  static KITH_INLINE Vec<float> load(const f16* p) {
#if defined(__AVX512F__)
    return _mm512_cvtph_ps(load_bytes<__m256i>(p));
#elif defined(__F16C__)
    return _mm256_cvtph_ps(load_bytes<__m128i>(p));
#else
    return widen_bits_f16<Vec<float>>(__builtin_convertvector(load_bytes<H>(p), U));
#endif
  }
  static KITH_INLINE void store(f16* p, Vec<float> v) {
#if defined(__AVX512F__)
    store_bytes(p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__F16C__)
    store_bytes(p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#else
    store_bytes(p, __builtin_convertvector(round_bits_f16<U>(v), H));
#endif
  }
};
template <>
struct Memory<double, bf16> {
  typedef Vectors<double>::F F;
  typedef Vectors<double>::H H;
  typedef Vectors<double>::J J;
  static KITH_INLINE Vec<double> load(const bf16* p) {
    return __builtin_convertvector(widen_bits_bf16<F>(__builtin_convertvector(load_bytes<H>(p), J)), Vec<double>);
  }
  static KITH_INLINE void store(bf16* p, Vec<double> v) {
    store_bytes(p, __builtin_convertvector(round_bits_bf16<J>(narrow_to_odd(v)), H));
  }
};
template <>
struct Memory<double, f16> {
  typedef Vectors<double>::F F;
  typedef Vectors<double>::H H;
  typedef Vectors<double>::J J;
  static KITH_INLINE Vec<double> load(const f16* p) {
    return __builtin_convertvector(widen_bits_f16<F>(__builtin_convertvector(load_bytes<H>(p), J)), Vec<double>);
  }
  static KITH_INLINE void store(f16* p, Vec<double> v) {
    store_bytes(p, __builtin_convertvector(round_bits_f16<J>(narrow_to_odd(v)), H));
  }
};

/* kLanes<T> elements of storage type S at p, widened to the compute type T. */
template <class T, class S>
KITH_INLINE Vec<T> load(const S* p) {
  return Memory<T, S>::load(p);
}
/* v rounded to nearest even into S. */
template <class T, class S>
KITH_INLINE void store(S* p, Vec<T> v) {
  Memory<T, S>::store(p, v);
}
/* The first n (0 < n < kLanes<T>) elements only; the other lanes are +0. */
template <class T, class S>
KITH_INLINE Vec<T> load_partial(const S* p, int64_t n) {
  S buffer[kLanes<T>] = {};
  std::memcpy(buffer, p, static_cast<size_t>(n) * sizeof(S));
  return load<T, S>(buffer);
}
template <class T, class S>
KITH_INLINE void store_partial(S* p, Vec<T> v, int64_t n) {
  S buffer[kLanes<T>];
  store<T, S>(buffer, v);
  std::memcpy(p, buffer, static_cast<size_t>(n) * sizeof(S));
}
/* v rounded to S and widened again. */
template <class S, class T>
KITH_INLINE Vec<T> rounded(Vec<T> v) {
  S buffer[kLanes<T>];
  store<T, S>(buffer, v);
  return load<T, S>(buffer);
}

/* ---- streaming stores ------------------------------------------------------------------------------------------- */

/* Past the caches; p aligned to kVectorBytes. Call stream_fence() once before the block ends. */
KITH_INLINE void stream(float* p, Vec<float> v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, v);
#elif defined(__x86_64__)
  _mm_stream_ps(p, v);
#else
  store_bytes(p, v);
#endif
}
KITH_INLINE void stream(double* p, Vec<double> v) {
#if defined(__AVX512F__)
  _mm512_stream_pd(p, v);
#elif defined(__AVX2__)
  _mm256_stream_pd(p, v);
#elif defined(__x86_64__)
  _mm_stream_pd(p, v);
#else
  store_bytes(p, v);
#endif
}
KITH_INLINE void stream_fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

/* ---- shapes: the same code for whole vectors and for the rest of a row ------------------------------------------- */

/* The kith_dtype of the compute type T. */
template <class T>
inline constexpr int32_t kNative = sizeof(T) == 4 ? KITH_F32 : KITH_F64;

/* U whole vectors. */
template <class T, int U>
struct Full {
  static constexpr int count = U;
  static constexpr int whole() { return U; }
  static constexpr int64_t part() { return 0; }
  template <class S>
  KITH_INLINE void load(const S* p, Vec<T>* v) const {
    for (int u = 0; u < U; u++) v[u] = KITH_TIER::load<T>(p + u * kLanes<T>);
  }
  template <class S>
  KITH_INLINE void store(S* p, const Vec<T>* v) const {
    for (int u = 0; u < U; u++) KITH_TIER::store<T>(p + u * kLanes<T>, v[u]);
  }
  KITH_INLINE void stream(T* p, const Vec<T>* v) const {
    for (int u = 0; u < U; u++) KITH_TIER::stream(p + u * kLanes<T>, v[u]);
  }
};

/* The first n elements of one vector, 0 < n < kLanes<T>; the other lanes are +0 when loaded and not stored. */
template <class T>
struct Part {
  static constexpr int count = 1;
  int64_t n;
  static constexpr int whole() { return 0; }
  int64_t part() const { return n; }
  template <class S>
  KITH_INLINE void load(const S* p, Vec<T>* v) const {
    v[0] = load_partial<T>(p, n);
  }
  template <class S>
  KITH_INLINE void store(S* p, const Vec<T>* v) const {
    store_partial<T>(p, v[0], n);
  }
  KITH_INLINE void stream(T* p, const Vec<T>* v) const { store_partial<T>(p, v[0], n); }
};

/* Calls f(shape, c) for shapes that cover [from, to): U vectors at a time, then one, then a part. Write f as
   [&](auto shape, int64_t c) __attribute__((always_inline)) { Vec<T> v[shape.count]; ... }. */
template <class T, int U, class F>
KITH_INLINE void for_shapes(int64_t from, int64_t to, F f) {
  int64_t c = from;
  for (; c + U * kLanes<T> <= to; c += U * kLanes<T>) f(Full<T, U>{}, c);
  for (; c + kLanes<T> <= to; c += kLanes<T>) f(Full<T, 1>{}, c);
  if (c < to) f(Part<T>{to - c}, c);
}

/* Narrow elements are read and written out of line, four cache lines of the compute type at a time: that costs little
   and keeps tier files small. whole > 0: that many vectors; whole == 0: the first n elements of one. */
namespace {
template <class T, class S>
void load_vectors(const S* p, int whole, int64_t n, Vec<T>* v) {
  if (whole == 0) v[0] = load_partial<T>(p, n);
  for (int u = 0; u < whole; u++) v[u] = load<T>(p + u * kLanes<T>);
}
template <class T>
__attribute__((noinline, unused)) void load_narrow(const unsigned char* row, int32_t dtype, int64_t c, int whole,
                                                   int64_t n, Vec<T>* v) {
  if (dtype == KITH_BF16) {
    load_vectors<T>(reinterpret_cast<const bf16*>(row) + c, whole, n, v);
  } else if (dtype == KITH_F16) {
    load_vectors<T>(reinterpret_cast<const f16*>(row) + c, whole, n, v);
  } else {
    load_vectors<T>(reinterpret_cast<const float*>(row) + c, whole, n, v);
  }
}
template <class T, class S>
void store_vectors(S* p, int whole, int64_t n, const Vec<T>* v) {
  if (whole == 0) store_partial<T>(p, v[0], n);
  for (int u = 0; u < whole; u++) store<T>(p + u * kLanes<T>, v[u]);
}
template <class T>
__attribute__((noinline, unused)) void store_narrow(unsigned char* row, int32_t dtype, int64_t c, int whole, int64_t n,
                                                    const Vec<T>* v) {
  if (dtype == KITH_BF16) {
    store_vectors<T>(reinterpret_cast<bf16*>(row) + c, whole, n, v);
  } else if (dtype == KITH_F16) {
    store_vectors<T>(reinterpret_cast<f16*>(row) + c, whole, n, v);
  } else {
    store_vectors<T>(reinterpret_cast<float*>(row) + c, whole, n, v);
  }
}
}  // namespace

/* Element c of a row of any floating dtype that is not wider than T. */
template <class T, class Shape>
KITH_INLINE void load_any(const Shape& shape, const unsigned char* row, int32_t dtype, int64_t c, Vec<T>* v) {
  if (dtype == kNative<T>) {
    shape.load(reinterpret_cast<const T*>(row) + c, v);
  } else {
    load_narrow<T>(row, dtype, c, shape.whole(), shape.part(), v);
  }
}
template <class T, class Shape>
KITH_INLINE void store_any(const Shape& shape, unsigned char* row, int32_t dtype, int64_t c, const Vec<T>* v) {
  if (dtype == kNative<T>) {
    shape.store(reinterpret_cast<T*>(row) + c, v);
  } else {
    store_narrow<T>(row, dtype, c, shape.whole(), shape.part(), v);
  }
}

}  // namespace kith::KITH_TIER

#endif
