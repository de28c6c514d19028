/*
 * Storage types on the device, with the bits of the CPU library: widening is exact, narrowing rounds to nearest even once
 * (f64 to a 16-bit type through f32 rounded to odd), NaN stays a quiet NaN. And 16-byte accesses, and fault reports.
 */
#ifndef KITH_CUDA_CONVERT_HPP
#define KITH_CUDA_CONVERT_HPP

#include <cstdint>

#include "host.hpp"
#include "kith.h"
#include "launch.hpp"

#if defined(__CUDACC__)
#include <cuda_fp16.h>
#endif

namespace kith {

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

/* kith_dtype of a storage type. */
template <class S>
struct DtypeOf;
template <>
struct DtypeOf<float> {
  static constexpr int32_t value = KITH_F32;
};
template <>
struct DtypeOf<double> {
  static constexpr int32_t value = KITH_F64;
};
template <>
struct DtypeOf<bf16> {
  static constexpr int32_t value = KITH_BF16;
};
template <>
struct DtypeOf<f16> {
  static constexpr int32_t value = KITH_F16;
};
template <>
struct DtypeOf<int32_t> {
  static constexpr int32_t value = KITH_I32;
};

/* ---- f32 to and from 16 bits -------------------------------------------------------------------------------------- */

KITH_DEVICE bf16 to_bf16(float x) {
  const uint32_t bits = __float_as_uint(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t quiet = (bits >> 16) | 0x40u;
  return bf16{static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded)};
}
KITH_DEVICE float from_bf16(bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }

/* The plain twins of the conversions that the hardware has. */
KITH_DEVICE f16 to_f16_plain(float x) {
  const uint32_t bits = __float_as_uint(x);
  const uint32_t a = bits & 0x7fffffffu;
  const uint32_t sign = (bits >> 16) & 0x8000u;
  // Below 2^-14 the addition of 0.5, whose last place is 2^-24, does the rounding.
  const uint32_t small = __float_as_uint(__uint_as_float(a) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (a + 0xc8000fffu + ((a >> 13) & 1u)) >> 13;
  uint32_t r = a < 0x38800000u ? small : normal;
  if (a >= 0x47800000u) r = 0x7c00u;
  if (a > 0x7f800000u) r = 0x7e00u | ((a >> 13) & 0x3ffu);
  return f16{static_cast<uint16_t>(r | sign)};
}
KITH_DEVICE float from_f16_plain(f16 x) {
  const uint32_t h = x.bits;
  const uint32_t a = (h & 0x7fffu) << 13;
  uint32_t r = __float_as_uint(__uint_as_float(a) * 0x1p112f);
  if (a >= 0x0f800000u) r = a | 0x7f800000u;
  if (a > 0x0f800000u) r |= 0x400000u;
  return __uint_as_float(r | ((h & 0x8000u) << 16));
}

#if defined(__CUDACC__)
KITH_DEVICE f16 to_f16(float x) { return f16{__half_as_ushort(__float2half_rn(x))}; }
KITH_DEVICE float from_f16(f16 x) { return __half2float(__ushort_as_half(x.bits)); }
#else
KITH_DEVICE f16 to_f16(float x) { return to_f16_plain(x); }
KITH_DEVICE float from_f16(f16 x) { return from_f16_plain(x); }
#endif

/* f64 to f32 rounded to odd, from which rounding to a 16-bit type rounds as if once. */
KITH_DEVICE float to_odd(double x) {
  const float s = static_cast<float>(x);
  const double magnitude = fabs(x);
  const double back = fabs(static_cast<double>(s));
  uint32_t bits = __float_as_uint(s);
  if ((bits & 1u) == 0) {
    if (back < magnitude) bits += 1;
    if (back > magnitude) bits -= 1;
  }
  return __uint_as_float(bits);
}

/* ---- any to any --------------------------------------------------------------------------------------------------- */

/* widen<T>(s): a stored element in the compute type T (float or double). */
template <class T>
KITH_DEVICE T widen(float x) {
  return static_cast<T>(x);
}
template <class T>
KITH_DEVICE T widen(double x) {
  return static_cast<T>(x);
}
template <class T>
KITH_DEVICE T widen(bf16 x) {
  return static_cast<T>(from_bf16(x));
}
template <class T>
KITH_DEVICE T widen(f16 x) {
  return static_cast<T>(from_f16(x));
}

/* Narrow<S>::from(t): t rounded to the storage type S. */
template <class S>
struct Narrow;
template <>
struct Narrow<float> {
  static KITH_DEVICE float from(float x) { return x; }
  static KITH_DEVICE float from(double x) { return static_cast<float>(x); }
};
template <>
struct Narrow<double> {
  static KITH_DEVICE double from(float x) { return static_cast<double>(x); }
  static KITH_DEVICE double from(double x) { return x; }
};
template <>
struct Narrow<bf16> {
  static KITH_DEVICE bf16 from(float x) { return to_bf16(x); }
  static KITH_DEVICE bf16 from(double x) { return to_bf16(to_odd(x)); }
};
template <>
struct Narrow<f16> {
  static KITH_DEVICE f16 from(float x) { return to_f16(x); }
  static KITH_DEVICE f16 from(double x) { return to_f16(to_odd(x)); }
};
template <class S, class T>
KITH_DEVICE S narrow(T x) {
  return Narrow<S>::from(x);
}
/* t rounded to S and widened again. */
template <class S, class T>
KITH_DEVICE T rounded(T x) {
  return widen<T>(Narrow<S>::from(x));
}

/* ---- arithmetic of the compute type ------------------------------------------------------------------------------- */

KITH_DEVICE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
KITH_DEVICE double fused(double a, double b, double c) { return fma(a, b, c); }
KITH_DEVICE float root(float x) { return __fsqrt_rn(x); }
KITH_DEVICE double root(double x) { return sqrt(x); }
KITH_DEVICE float quotient(float a, float b) { return __fdiv_rn(a, b); }
KITH_DEVICE double quotient(double a, double b) { return a / b; }
KITH_DEVICE float magnitude(float x) { return fabsf(x); }
KITH_DEVICE double magnitude(double x) { return fabs(x); }
/* NaN or infinite. */
KITH_DEVICE bool not_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) == 0x7f800000u; }
KITH_DEVICE bool not_finite(double x) {
  return (static_cast<unsigned long long>(__double_as_longlong(x)) & 0x7ff0000000000000ull) == 0x7ff0000000000000ull;
}

/* ---- accesses ----------------------------------------------------------------------------------------------------- */

/* N neighbouring elements, moved as one access of up to 16 bytes where sizeof(S) * N allows. Address aligned to the size
   of the pack (16 at most). */
template <class S, int N>
struct alignas(sizeof(S) * N < 16 ? sizeof(S) * N : 16) Pack {
  S v[N];
};
template <int N, class S>
KITH_DEVICE Pack<S, N> load_pack(const S* p) {
  return *reinterpret_cast<const Pack<S, N>*>(p);
}
template <int N, class S>
KITH_DEVICE void store_pack(S* p, const Pack<S, N>& pack) {
  *reinterpret_cast<Pack<S, N>*>(p) = pack;
}

/* Elements from p on up to the next address that is a multiple of 16, at most n. */
template <class S>
KITH_DEVICE int64_t head_of(const S* p, int64_t n) {
  const int64_t head = static_cast<int64_t>((16 - reinterpret_cast<uintptr_t>(p) % 16) % 16 / sizeof(S));
  return head < n ? head : n;
}

/* ---- faults ------------------------------------------------------------------------------------------------------- */

/* Notes that the value at a position is out of range. The first call of a queue keeps its lowest position. */
KITH_DEVICE void report(const FaultTicket& ticket, int64_t position, int32_t value) {
  const unsigned before = atomicCAS(&ticket.record->call, 0u, ticket.call);
  if (before != 0 && before != ticket.call) return;
  if (before == 0) {
    ticket.record->kind = ticket.kind;
    ticket.record->limit = ticket.limit;
    ticket.record->width = ticket.width;
    ticket.record->operation = ticket.operation;
  }
  const unsigned long long place = position < 0xffffffffll ? static_cast<unsigned long long>(position) : 0xffffffffull;
  atomicMin(&ticket.record->key, place << 32 | static_cast<uint32_t>(value));
}

}  // namespace kith

#endif
