/*
 * Codes of few bits per element, formulas in kith.h, per tier.
 *
 *   encode      reads x, minus, residual (4 B/element each), writes the message (bits/8) and the residual (4)
 *   measure     reads x, minus, residual; for blocks too long to stay in the caches between their scale and their codes
 *   accumulate  reads the messages (bits/8 each) and y (4), writes y (4)
 *   majority    reads rows/8 and writes 1/8 B/column
 *
 * ABSMAX with 8 bits moves 5 B/element and takes 13 instructions for 32 elements to measure and 38 to code, four a cycle:
 * 13 cycles; with what the scale of a block of 256 costs 22. A division of eight lanes alone takes 5, which is why
 * of_most() does without. QSGD has one each, and the words of philox.hpp, two thirds of its time.
 *
 * Work goes by packets of 32 columns, which fill whole words in every code; what is left of a row is done on padded
 * copies. Sums follow the tree of kith.h, with 64 lanes in every tier; the rest is element by element. So nothing depends
 * on the tier, on threads or on where the work was cut.
 * Sources: Alistarh et al. 2017 (QSGD), Horvath et al. 2022 (natural compression), Wen et al. 2017 (TernGrad), Seide et
 * al. 2014 (1-bit), Bernstein et al. 2018 (signs), Dettmers et al. 2022 (absmax by blocks).
 */
#include "quantize.hpp"

#include "philox.hpp"

namespace kith::KITH_TIER {

namespace {

typedef Vec<float> F;
typedef Mask<float> I;
typedef Bits<float> U;

constexpr int kLanesF = kLanes<float>;
constexpr int kVectors = static_cast<int>(kPacket) / kLanesF;
constexpr int64_t kChunk = 4096;
constexpr int64_t kTreeLanes = 64;
constexpr int32_t kInfinityBits = 0x7f800000;
// How far ahead of its use a line is asked for.
constexpr int64_t kAheadBytes = 1024;
// Columns that are measured before the ones before them are coded.
constexpr int64_t kMeasuredAhead = 2048;

KITH_INLINE F wide(float value) { return broadcast<float>(value); }
KITH_INLINE I whole(int32_t value) { return I{} + value; }
KITH_INLINE F to_float(I v) { return __builtin_convertvector(v, F); }
KITH_INLINE I to_int(F v) { return __builtin_convertvector(v, I); }  // towards zero
KITH_INLINE I bits_of(F v) { return bit_cast<I>(v); }
KITH_INLINE F float_of(I v) { return bit_cast<F>(v); }
KITH_INLINE I shift_right(I v, int by) { return bit_cast<I>(bit_cast<U>(v) >> by); }

// Integers in the order of floats, -0 below +0; its own inverse.
template <class V>
KITH_INLINE V ordered(V bits) {
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

#if defined(__FMA__)
KITH_INLINE bool any(I mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask(bit_cast<__m512i>(mask), bit_cast<__m512i>(mask)) != 0;
#else
  return _mm256_testz_si256(bit_cast<__m256i>(mask), bit_cast<__m256i>(mask)) == 0;
#endif
}
#endif

// The payload and sign of a NaN that arithmetic made differ between processors, so messages have neither.
KITH_INLINE I is_nan(I bits) { return (bits & 0x7fffffff) > kInfinityBits; }

/* ---- v ----------------------------------------------------------------------------------------------------------- */

// v of one row; x alone when `kPlain`.
template <bool kPlain>
struct SourceOf {
  const float* x;
  const float* minus;
  const float* e;

  KITH_INLINE F load(int64_t i) const {
    F v = KITH_TIER::load<float>(x + i);
    if constexpr (kPlain) return v;
    if (minus != nullptr) v = v - KITH_TIER::load<float>(minus + i);
    if (e != nullptr) v = KITH_TIER::load<float>(e + i) + v;
    return v;
  }
  // The lanes from n on are 0.
  KITH_INLINE F load_partial(int64_t i, int64_t n) const {
    F v = KITH_TIER::load_partial<float>(x + i, n);
    if constexpr (kPlain) return v;
    if (minus != nullptr) v = v - KITH_TIER::load_partial<float>(minus + i, n);
    if (e != nullptr) v = KITH_TIER::load_partial<float>(e + i, n) + v;
    return v;
  }
  KITH_INLINE float one(int64_t i) const {
    float v = x[i];
    if constexpr (kPlain) return v;
    if (minus != nullptr) v = v - minus[i];
    if (e != nullptr) v = e[i] + v;
    return v;
  }
  KITH_INLINE void prefetch(int64_t i) const {
    __builtin_prefetch(reinterpret_cast<const char*>(x + i) + kAheadBytes);
    if constexpr (kPlain) return;
    if (minus != nullptr) __builtin_prefetch(reinterpret_cast<const char*>(minus + i) + kAheadBytes);
    if (e != nullptr) __builtin_prefetch(reinterpret_cast<const char*>(e + i) + kAheadBytes);
  }
};
using Source = SourceOf<false>;

KITH_INLINE const float* row_of(const unsigned char* data, int64_t pitch, int64_t row) {
  return data == nullptr ? nullptr : reinterpret_cast<const float*>(data + row * pitch);
}
KITH_INLINE Source source_of(const QuantizeTask& task, int64_t row) {
  return Source{row_of(task.x, task.x_pitch, row), row_of(task.minus, task.minus_pitch, row),
                row_of(task.residual, task.residual_pitch, row)};
}

/* ---- scales -------------------------------------------------------------------------------------------------------- */

KITH_INLINE float fold(float* lanes) {
  for (int s = 32; s >= kLanesF; s /= 2) {
    for (int l = 0; l < s; l += kLanesF) {
      store<float>(lanes + l, load<float, float>(lanes + l) + load<float, float>(lanes + l + s));
    }
  }
  for (int s = kLanesF / 2; s >= 1; s /= 2) {
    for (int l = 0; l < s; l++) lanes[l] += lanes[l + s];
  }
  return lanes[0];
}

// Neighbours first, an odd last one moves up.
KITH_INLINE double pairwise(double* values, int64_t n) {
  while (n > 1) {
    const int64_t half = n / 2;
    for (int64_t i = 0; i < half; i++) values[i] = values[2 * i] + values[2 * i + 1];
    if (n % 2 != 0) values[half] = values[n - 1];
    n = half + n % 2;
  }
  return n == 0 ? 0.0 : values[0];
}

struct Square {
  static KITH_INLINE F step(F lane, F v) { return fma(v, v, lane); }
};
struct Absolute {
  static KITH_INLINE F step(F lane, F v) { return lane + abs(v); }
};
struct WhereOne {
  static KITH_INLINE F step(F lane, F v) { return lane + (v >= F{} ? v : F{}); }
};
struct WhereZero {
  static KITH_INLINE F step(F lane, F v) { return lane + (v >= F{} ? F{} : v); }
};

// The tree over n <= kQuantizePart elements; elements beyond the end add +0 to lanes, which changes none.
template <class Op, class S>
KITH_INLINE double tree_sum(const S& source, int64_t begin, int64_t n) {
  constexpr int kTreeVectors = static_cast<int>(kTreeLanes) / kLanesF;
  double sums[kQuantizePart / kChunk];
  int64_t chunks = 0;
  for (int64_t from = 0; from < n; from += kChunk) {
    const int64_t count = n - from < kChunk ? n - from : kChunk;
    F lane[kTreeVectors] = {};
    int64_t i = 0;
    for (; i + kTreeLanes <= count; i += kTreeLanes) {
      const int64_t at = begin + from + i;
      for (int64_t line = 0; line < kTreeLanes; line += 16) source.prefetch(at + line);
#pragma GCC unroll 16
      for (int l = 0; l < kTreeVectors; l++) lane[l] = Op::step(lane[l], source.load(at + l * kLanesF));
    }
    alignas(64) float lanes[kTreeLanes];
#pragma GCC unroll 16
    for (int l = 0; l < kTreeVectors; l++) store<float>(lanes + l * kLanesF, lane[l]);
    for (int64_t l = 0; i + l < count; l += kLanesF) {
      const int64_t at = begin + from + i + l;
      const int64_t rest = count - i - l;
      const F v = rest < kLanesF ? source.load_partial(at, rest) : source.load(at);
      store<float>(lanes + l, Op::step(load<float, float>(lanes + l), v));
    }
    sums[chunks++] = static_cast<double>(fold(lanes));
  }
  return pairwise(sums, chunks);
}

// Numbers of lanes, out of memory: GCC 12 would put them together in registers, one after the other.
template <int kApart>
struct Across {
  alignas(kVectorBytes) int32_t lane[kLanesF];
  constexpr Across() : lane() {
    for (int l = 0; l < kLanesF; l++) lane[l] = l ^ kApart;
  }
};
template <int kApart>
constexpr Across<kApart> kAcross{};

template <int kApart = kLanesF / 2>
KITH_INLINE int32_t largest(I v) {
  const I other = __builtin_shuffle(v, load_bytes<I>(kAcross<kApart>.lane));
  v = other > v ? other : v;
  if constexpr (kApart > 1) return largest<kApart / 2>(v);
  return v[0];
}

// The bits of the largest |v|; NaN is above infinity.
template <class S>
KITH_INLINE int32_t largest_absolute(const S& source, int64_t begin, int64_t n) {
  I best[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanesF <= n; i += 4 * kLanesF) {
    for (int64_t line = 0; line < 4 * kLanesF; line += 16) source.prefetch(begin + i + line);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
      const I a = bits_of(source.load(begin + i + k * kLanesF)) & 0x7fffffff;
      best[k] = a > best[k] ? a : best[k];
    }
  }
  for (; i < n; i += kLanesF) {
    const F v = n - i < kLanesF ? source.load_partial(begin + i, n - i) : source.load(begin + i);
    const I a = bits_of(v) & 0x7fffffff;
    best[0] = a > best[0] ? a : best[0];
  }
  best[0] = best[1] > best[0] ? best[1] : best[0];
  best[2] = best[3] > best[2] ? best[3] : best[2];
  return largest(best[2] > best[0] ? best[2] : best[0]);
}

template <class S>
KITH_INLINE void extremes(const S& source, int64_t begin, int64_t n, QuantizePart* part) {
  I low = whole(INT32_MAX), high = whole(INT32_MIN), nan{};
  int64_t i = 0;
  for (; i + kLanesF <= n; i += kLanesF) {
    if (i % 16 == 0) source.prefetch(begin + i);
    const F v = source.load(begin + i);
    nan |= v != v;
    const I key = ordered(bits_of(v));
    low = key < low ? key : low;
    high = key > high ? key : high;
  }
  part->low = -1 - largest(-1 - low);
  part->high = largest(high);
  part->nan = 0;
  for (int k = 0; k < kLanesF; k++) part->nan |= nan[k];
  for (; i < n; i++) {
    const float v = source.one(begin + i);
    const int32_t key = ordered(bit_cast<int32_t>(v));
    if (v != v) part->nan = -1;
    if (key < part->low) part->low = key;
    if (key > part->high) part->high = key;
  }
}

template <class S>
KITH_INLINE int64_t count_ones(const S& source, int64_t begin, int64_t n) {
  I count{};
  int64_t i = 0;
  for (; i + kLanesF <= n; i += kLanesF) count -= source.load(begin + i) >= F{};
  int64_t total = 0;
  for (int k = 0; k < kLanesF; k++) total += count[k];
  for (; i < n; i++) total += source.one(begin + i) >= 0 ? 1 : 0;
  return total;
}

template <class S>
__attribute__((noinline)) void measure_as(const QuantizeCode& code, const S& source, int64_t begin, int64_t n,
                                          QuantizePart* part) {
  *part = QuantizePart{};
  switch (code.kind) {
    case KITH_CODE_QSGD:
      if (code.norm == KITH_NORM_TWO) {
        part->sum1 = tree_sum<Square>(source, begin, n);
        return;
      }
      part->high = largest_absolute(source, begin, n);
      return;
    case KITH_CODE_ABSMAX:
      part->high = largest_absolute(source, begin, n);
      return;
    case KITH_CODE_SCALED_SIGN:
      part->sum1 = tree_sum<Absolute>(source, begin, n);
      return;
    case KITH_CODE_ONE_BIT:
      part->sum1 = tree_sum<WhereOne>(source, begin, n);
      part->sum0 = tree_sum<WhereZero>(source, begin, n);
      part->ones = count_ones(source, begin, n);
      return;
    default:
      extremes(source, begin, n, part);
      return;
  }
}

KITH_INLINE void measure_part(const QuantizeCode& code, const Source& source, int64_t begin, int64_t n,
                              QuantizePart* part) {
  if (source.minus == nullptr && source.e == nullptr) {
    measure_as(code, SourceOf<true>{source.x, nullptr, nullptr}, begin, n, part);
  } else {
    measure_as(code, source, begin, n, part);
  }
}

void measure(const QuantizeTask& task, int64_t row, int64_t column, int64_t n, QuantizePart* part) {
  measure_part(task.code, source_of(task, row), column, n, part);
}

KITH_INLINE bool finite(float v) { return (bit_cast<int32_t>(v) & 0x7fffffff) < kInfinityBits; }

KITH_INLINE int32_t settle_part(const QuantizeCode& code, const QuantizePart& part, int64_t n, float* scales) {
  bool fine = true;
  switch (code.kind) {
    case KITH_CODE_QSGD:
    case KITH_CODE_ABSMAX: {
      const float norm = code.kind == KITH_CODE_QSGD && code.norm == KITH_NORM_TWO
                             ? static_cast<float>(__builtin_sqrt(part.sum1))
                             : bit_cast<float>(part.high);
      const float q = static_cast<float>(code.levels);
      scales[0] = norm / q;
      fine = finite(scales[0]) && finite(scales[0] * q);
      break;
    }
    case KITH_CODE_SCALED_SIGN:
      scales[0] = static_cast<float>(part.sum1 / static_cast<double>(n));
      fine = finite(scales[0]);
      break;
    case KITH_CODE_ONE_BIT:
      scales[0] = part.ones == 0 ? 0.0f : static_cast<float>(part.sum1 / static_cast<double>(part.ones));
      scales[1] = part.ones == n ? 0.0f : static_cast<float>(part.sum0 / static_cast<double>(n - part.ones));
      fine = finite(scales[0]) && finite(scales[1]);
      break;
    default:
      scales[0] = bit_cast<float>(ordered(part.low));
      scales[1] = bit_cast<float>(ordered(part.high));
      fine = part.nan == 0 && finite(scales[0]) && finite(scales[1]) && finite(scales[0] + (scales[1] - scales[0]));
      break;
  }
  if (fine) return 0;
  scales[0] = __builtin_nanf("");
  scales[1] = scales[0];
  return 1;
}

__attribute__((noinline)) int32_t put_scales(const QuantizeTask& task, int64_t row, int64_t block,
                                             const QuantizePart& part, int64_t n) {
  float scales[2] = {};
  const int32_t found = settle_part(task.code, part, n, scales);
  unsigned char* const to = task.messages + row * task.messages_pitch + block * task.code.scales * 4;
  std::memcpy(to, scales, sizeof(float));
  if (task.code.scales == 2) std::memcpy(to + 4, scales + 1, sizeof(float));
  return found;
}

int32_t settle(const QuantizeTask& task, int64_t row, int64_t block, int64_t n, QuantizePart* parts,
               int64_t part_count) {
  for (int64_t p = 1; p < part_count; p++) {
    parts[0].ones += parts[p].ones;
    parts[0].nan |= parts[p].nan;
    if (parts[p].low < parts[0].low) parts[0].low = parts[p].low;
    if (parts[p].high > parts[0].high) parts[0].high = parts[p].high;
  }
  for (int64_t count = part_count; count > 1; count = count / 2 + count % 2) {
    for (int64_t i = 0; i < count / 2; i++) {
      parts[i].sum1 = parts[2 * i].sum1 + parts[2 * i + 1].sum1;
      parts[i].sum0 = parts[2 * i].sum0 + parts[2 * i + 1].sum0;
    }
    if (count % 2 != 0) {
      parts[count / 2].sum1 = parts[count - 1].sum1;
      parts[count / 2].sum0 = parts[count - 1].sum0;
    }
  }
  return put_scales(task, row, block, parts[0], n);
}

/* ---- codes: code() of v, and decode() of a code; both lane by lane ------------------------------------------------- */

// a and b are the scales; b of AFFINE is hi - lo, of integers Q times the scale; q is Q.
struct Scale {
  F a;
  F b;
  F q;
};

// Not for NaN.
KITH_INLINE F smaller(F a, F b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}
KITH_INLINE F within(F a, F bound) {
  a = smaller(a, bound);
  return a < -bound ? -bound : a;
}

template <int kBitsPerCode>
struct Levels {
  static constexpr int kBits = kBitsPerCode;
  static constexpr bool kSigned = true;
  static constexpr bool kScaled = true;
  static constexpr bool kRandom = false;
  static constexpr bool kClamped = true;
  static KITH_INLINE I code(F v, const Scale& s, F) { return of_normal(within(v, s.b), s); }
#if defined(__FMA__)
  // Codes of v without a division; false when one of them may be wrong. With inverse = 1 / a, v inverse is off by less
  // than 2^-16 of a level before it is rounded, so a level is right from which v, exactly, is 2^-12 less than half of a
  // level or more away.
  static KITH_INLINE bool of_most(const F* v, const Scale& s, F inverse, I* codes) {
    const F magic = wide(12582912.0f);
    I most{};
#pragma GCC unroll 8
    for (int k = 0; k < kVectors; k++) {
      const F shifted = fma(v[k], inverse, magic);
      const I rest = bits_of(fma(magic - shifted, s.a, v[k])) & 0x7fffffff;
      most = rest > most ? rest : most;
      codes[k] = bits_of(shifted) - bits_of(magic);
    }
    return !any(most > bits_of(s.a * wide(0.5f - 0x1p-12f)));
  }
#endif
  // No quotient by a scale that is not subnormal is nearer to Q + 1 than to Q.
  static KITH_INLINE I of_normal(F v, const Scale& s) {
    // To nearest even, as the last place of the sum is one.
    const F magic = wide(12582912.0f);
    const F shifted = v / s.a + magic;
    // Where f32 made the quotient a tie that it is not, the rest, which is exact, says so.
    const F rest = fma(magic - shifted, s.a, v);
    const F twice = rest + rest;
    return bits_of(shifted) - bits_of(magic) - (twice > s.a) + (twice < -s.a);
  }
  static KITH_INLINE F decode(I q, const Scale& s) { return s.a * to_float(q); }
};
// Rounds down, or up at random.
template <int kBitsPerCode>
struct RandomLevels : Levels<kBitsPerCode> {
  static constexpr bool kClamped = false;
  static constexpr bool kRandom = true;
  static KITH_INLINE I code(F v, const Scale& s, F u) {
    const F a = within(v / s.a, s.q);
    const I truncated = to_int(a);
    const I below = truncated + (to_float(truncated) > a);
    return below - (u < a - to_float(below));
  }
};
// Rounds magnitudes.
template <int kBitsPerCode>
struct Qsgd : Levels<kBitsPerCode> {
  static constexpr bool kClamped = false;
  static constexpr bool kRandom = true;
  static KITH_INLINE I code(F v, const Scale& s, F u) {
    F a = abs(v) / s.a;
    a = smaller(a, s.q);
    const I below = to_int(a);
    const I level = below - (u < a - to_float(below));
    const I sign = bits_of(v) >> 31;
    return (level ^ sign) - sign;
  }
};

struct Affine {
  static constexpr int kBits = 8;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = true;
  static constexpr bool kRandom = false;
  static constexpr bool kClamped = false;
  static KITH_INLINE I code(F v, const Scale& s, F) { return to_int(((v - s.a) / s.b) * wide(255.0f)); }
  static KITH_INLINE F decode(I q, const Scale& s) { return s.a + (to_float(q) / wide(255.0f)) * s.b; }
};

struct Means {
  static constexpr int kBits = 1;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = true;
  static constexpr bool kRandom = false;
  static constexpr bool kClamped = false;
  static KITH_INLINE I code(F v, const Scale&, F) { return v >= F{}; }
  static KITH_INLINE F decode(I q, const Scale& s) { return q != 0 ? s.a : s.b; }
};

struct Sign {
  static constexpr int kBits = 1;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = false;
  static constexpr bool kRandom = false;
  static constexpr bool kClamped = false;
  static KITH_INLINE I code(F v, const Scale&, F) { return v >= F{}; }
  static KITH_INLINE F decode(I q, const Scale&) { return q != 0 ? wide(1.0f) : wide(-1.0f); }
};

// Bit 8 is the sign.
struct Natural {
  static constexpr int kBits = 9;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = false;
  static constexpr bool kRandom = true;
  static constexpr bool kClamped = false;
  static KITH_INLINE I code(F v, const Scale&, F u) {
    const I bits = bits_of(v);
    const I exponent = (bits >> 23) & 255;
    const F fraction = to_float(bits & 0x7fffff) * wide(0x1p-23f);
    I rounded = exponent - (u < fraction);
    rounded = rounded > 254 ? whole(254) : rounded;
    rounded = exponent == 255 ? exponent : rounded;
    rounded = exponent == 0 ? I{} : rounded;
    return (rounded | (shift_right(bits, 31) << 8)) & ~(is_nan(bits) & 256);
  }
  static KITH_INLINE F decode(I q, const Scale&) {
    const I exponent = q & 255;
    const I power = (q >> 8) << 31 | exponent << 23;
    return float_of(exponent == 255 ? whole(0x7fc00000) : power);
  }
};

template <bool kStochastic>
struct Bf16 {
  static constexpr int kBits = 16;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = false;
  static constexpr bool kRandom = kStochastic;
  static constexpr bool kClamped = false;
  static KITH_INLINE I code(F v, const Scale&, F u) {
    const I bits = bits_of(v);
    I rounded;
    if constexpr (kStochastic) {
      rounded = shift_right(bits, 16) - (u < to_float(bits & 0xffff) * wide(0x1p-16f));
    } else {
      rounded = bit_cast<I>(round_bits_bf16<U>(v));
    }
    return is_nan(bits) ? whole(0x7fc0) : rounded;
  }
  static KITH_INLINE F decode(I q, const Scale&) { return float_of(q << 16); }
};

// kDrop: bits of the mantissa of f32 that go; kBias: of the exponent; kLargest: the code of the largest finite value.
template <bool kStochastic, int kDrop, int kBias, int32_t kLargest, bool kInfinities>
struct SmallFloat {
  static constexpr int kBits = 8;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = false;
  static constexpr bool kRandom = kStochastic;
  static constexpr bool kClamped = false;
  static constexpr int kMantissa = 23 - kDrop;
  static constexpr int32_t kRebias = (127 - kBias) << kMantissa;
  // Bits of the smallest normal value, and the unit of those below it.
  static constexpr int32_t kNormal = (128 - kBias) << 23;
  static constexpr int kUnitExponent = 1 - kBias - kMantissa;

  static KITH_INLINE F power(int exponent) { return float_of(whole((127 + exponent) << 23)); }

  static KITH_INLINE I code(F v, const Scale&, F u) {
    const I bits = bits_of(v);
    const I a = bits & 0x7fffffff;
    I normal, small;
    if constexpr (kStochastic) {
      const I below = a >> kDrop;
      const F rest = to_float(a & ((1 << kDrop) - 1)) * power(-kDrop);
      normal = below - (u < rest) - kRebias;
      const F units = float_of(a < kNormal ? a : I{}) * power(-kUnitExponent);
      small = to_int(units);
      small -= u < units - to_float(small);
    } else {
      normal = ((a + ((1 << (kDrop - 1)) - 1) + ((a >> kDrop) & 1)) >> kDrop) - kRebias;
      // The last place of 2^23 units is one unit, so the addition rounds.
      const F shift = power(kUnitExponent + 23);
      small = bits_of(float_of(a) + shift) - bits_of(shift);
    }
    I code = a < kNormal ? small : normal;
    code = code > kLargest ? whole(kLargest) : code;
    code = a >= kInfinityBits ? whole(kInfinities ? kLargest + 1 : 0x7f) : code;
    return is_nan(bits) ? whole(0x7f) : code | (shift_right(bits, 24) & 0x80);
  }
  static KITH_INLINE F decode(I q, const Scale&) {
    const I a = q & 0x7f;
    const F small = to_float(a) * power(kUnitExponent);
    I bits = (a + kRebias) << kDrop;
    bits = a < (1 << kMantissa) ? bits_of(small) : bits;
    if constexpr (kInfinities) bits = a == kLargest + 1 ? whole(kInfinityBits) : bits;
    bits = a > (kInfinities ? kLargest + 1 : kLargest) ? whole(0x7fc00000) : bits;
    return float_of(bits | (q & 0x80) << 24);
  }
};
template <bool kStochastic>
using E4m3 = SmallFloat<kStochastic, 20, 7, 0x7e, false>;
template <bool kStochastic>
using E5m2 = SmallFloat<kStochastic, 21, 15, 0x7b, true>;

/* ---- packing: 32 codes and `kBits` words --------------------------------------------------------------------------- */

#if defined(__AVX512F__)
// Bytes in order, from 32-bit lanes in order.
template <bool kSigned>
KITH_INLINE __m256i narrow(const __m512i* q) {
  const __m512i shorts = _mm512_packs_epi32(q[0], q[1]);
  const __m512i mixed = kSigned ? _mm512_packs_epi16(shorts, shorts) : _mm512_packus_epi16(shorts, shorts);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, mixed));
}
#elif defined(__AVX2__)
// Bytes in order, from 32-bit lanes in order.
template <bool kSigned>
KITH_INLINE __m256i narrow(const __m256i* q) {
  const __m256i low = _mm256_packs_epi32(q[0], q[1]);
  const __m256i high = _mm256_packs_epi32(q[2], q[3]);
  const __m256i mixed = kSigned ? _mm256_packs_epi16(low, high) : _mm256_packus_epi16(low, high);
  return _mm256_permutevar8x32_epi32(mixed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}
#endif

// kBits 1, 2, 4, 8 or 16; a code of one bit is the sign bit of its lane.
template <int kBits, bool kSigned>
KITH_INLINE void pack(const I* codes, void* words) {
#if defined(__AVX2__)
#if defined(__AVX512F__)
  const __m512i q[2] = {bit_cast<__m512i>(codes[0]), bit_cast<__m512i>(codes[1])};
#else
  const __m256i q[4] = {bit_cast<__m256i>(codes[0]), bit_cast<__m256i>(codes[1]), bit_cast<__m256i>(codes[2]),
                        bit_cast<__m256i>(codes[3])};
#endif
  static_assert(sizeof(q) == kVectors * sizeof(I));
  if constexpr (kBits == 1) {
    uint32_t bits = 0;
#if defined(__AVX512F__)
    bits = _mm512_movepi32_mask(q[0]) | static_cast<uint32_t>(_mm512_movepi32_mask(q[1])) << 16;
#else
    for (int k = 0; k < 4; k++) {
      bits |= static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(q[k]))) << (8 * k);
    }
#endif
    std::memcpy(words, &bits, sizeof(bits));
  } else if constexpr (kBits == 2) {
    const __m256i bytes = _mm256_and_si256(narrow<kSigned>(q), _mm256_set1_epi8(3));
    const __m256i nibbles = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x0401));
    const __m256i fours = _mm256_madd_epi16(nibbles, _mm256_set1_epi32(0x00100001));
    const __m128i low = _mm256_castsi256_si128(fours);
    const __m128i shorts = _mm_packs_epi32(low, _mm256_extracti128_si256(fours, 1));
    _mm_storel_epi64(static_cast<__m128i*>(words), _mm_packus_epi16(shorts, shorts));
  } else if constexpr (kBits == 4) {
    const __m256i bytes = _mm256_and_si256(narrow<kSigned>(q), _mm256_set1_epi8(15));
    const __m256i twos = _mm256_maddubs_epi16(bytes, _mm256_set1_epi16(0x1001));
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi16(twos, twos), 0x08);
    _mm_storeu_si128(static_cast<__m128i*>(words), _mm256_castsi256_si128(packed));
  } else if constexpr (kBits == 8) {
    _mm256_storeu_si256(static_cast<__m256i*>(words), narrow<kSigned>(q));
  } else {
    for (int k = 0; k < 2; k++) {
#if defined(__AVX512F__)
      const __m256i shorts = _mm512_cvtepi32_epi16(q[k]);
#else
      const __m256i mixed = _mm256_packus_epi32(q[2 * k], q[2 * k + 1]);
      const __m256i shorts = _mm256_permute4x64_epi64(mixed, 0xd8);
#endif
      _mm256_storeu_si256(static_cast<__m256i*>(words) + k, shorts);
    }
  }
#else
  uint32_t lanes[kPacket];
  std::memcpy(lanes, codes, sizeof(lanes));
  uint32_t packed[kBits];
  constexpr int kEach = 32 / kBits;
  for (int w = 0; w < kBits; w++) {
    uint32_t word = 0;
    for (int k = 0; k < kEach; k++) {
      const uint32_t code = kBits == 1 ? lanes[w * kEach + k] >> 31 : lanes[w * kEach + k] & ((1u << kBits) - 1);
      word |= code << (k * kBits);
    }
    packed[w] = word;
  }
  std::memcpy(words, packed, sizeof(packed));
#endif
}

#if defined(__AVX512F__)
// How far a code of a packet is below the top of its word.
template <int kBits>
struct Up {
  alignas(kVectorBytes) uint32_t by[2][16];
  constexpr Up() : by() {
    for (uint32_t c = 0; c < 32; c++) by[c / 16][c % 16] = 32 - kBits - c % (32 / kBits) * kBits;
  }
};
template <int kBits>
constexpr Up<kBits> kUp{};
#endif

template <int kBits, bool kSigned>
KITH_INLINE void unpack(const void* words, I* codes) {
#if defined(__AVX512F__)
  const unsigned char* bytes = static_cast<const unsigned char*>(words);
#pragma GCC unroll 2
  for (int k = 0; k < 2; k++) {
    __m512i q;
    if constexpr (kBits == 8) {
      const __m128i sixteen = load_bytes<__m128i>(bytes + 16 * k);
      q = kSigned ? _mm512_cvtepi8_epi32(sixteen) : _mm512_cvtepu8_epi32(sixteen);
    } else if constexpr (kBits == 16) {
      q = _mm512_cvtepu16_epi32(load_bytes<__m256i>(bytes + 32 * k));
    } else {
      // Sixteen codes of one word, or of two, each moved to the top of its lane and down again.
      constexpr int kEach = 32 / kBits;
      int32_t first, second;
      std::memcpy(&first, bytes + 16 * k / kEach * 4, sizeof(first));
      std::memcpy(&second, bytes + (16 * k + 8) / kEach * 4, sizeof(second));
      const __m512i word = kEach >= 16 ? _mm512_set1_epi32(first)
                                       : _mm512_inserti64x4(_mm512_set1_epi32(first), _mm256_set1_epi32(second), 1);
      const U top = bit_cast<U>(word) << load_bytes<U>(kUp<kBits>.by[k]);
      q = bit_cast<__m512i>(kSigned ? bit_cast<I>(top) >> (32 - kBits) : bit_cast<I>(top >> (32 - kBits)));
    }
    codes[k] = bit_cast<I>(q);
  }
#elif defined(__AVX2__)
  __m256i q[4];
  const unsigned char* bytes = static_cast<const unsigned char*>(words);
#pragma GCC unroll 4
  for (int k = 0; k < 4; k++) {
    if constexpr (kBits == 8) {
      const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + 8 * k));
      q[k] = kSigned ? _mm256_cvtepi8_epi32(eight) : _mm256_cvtepu8_epi32(eight);
    } else if constexpr (kBits == 16) {
      q[k] = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * k)));
    } else {
      // Eight codes of one word, each moved to the top of its lane and down again.
      constexpr int kEach = 32 / kBits;
      int32_t word;
      std::memcpy(&word, bytes + 8 * k / kEach * 4, sizeof(word));
      const int first = 32 - kBits - 8 * k % kEach * kBits;
      const __m256i up = _mm256_setr_epi32(first, first - kBits, first - 2 * kBits, first - 3 * kBits,
                                           first - 4 * kBits, first - 5 * kBits, first - 6 * kBits, first - 7 * kBits);
      const __m256i top = _mm256_sllv_epi32(_mm256_set1_epi32(word), up);
      q[k] = kSigned ? _mm256_srai_epi32(top, 32 - kBits) : _mm256_srli_epi32(top, 32 - kBits);
    }
  }
  std::memcpy(codes, q, sizeof(q));
#else
  uint32_t packed[kBits];
  std::memcpy(packed, words, sizeof(packed));
  int32_t lanes[kPacket];
  constexpr int kEach = 32 / kBits;
  for (int k = 0; k < static_cast<int>(kPacket); k++) {
    const uint32_t top = packed[k / kEach] << (32 - kBits - k % kEach * kBits);
    lanes[k] = kSigned ? static_cast<int32_t>(top) >> (32 - kBits) : static_cast<int32_t>(top >> (32 - kBits));
  }
  std::memcpy(codes, lanes, sizeof(lanes));
#endif
}

/* Where the codes of a packet lie in a message: one run of words, two for NATURAL. */
struct Place {
  unsigned char* codes;
  unsigned char* exponents;
};
template <class Coder>
KITH_INLINE void put(const I* codes, const Place& place) {
  if constexpr (Coder::kBits == 9) {
    I sign[kVectors];
    for (int k = 0; k < kVectors; k++) sign[k] = codes[k] << 23;
    pack<1, false>(sign, place.codes);
    I exponent[kVectors];
    for (int k = 0; k < kVectors; k++) exponent[k] = codes[k] & 255;
    pack<8, false>(exponent, place.exponents);
  } else {
    pack<Coder::kBits, Coder::kSigned>(codes, place.codes);
  }
}
template <class Coder>
KITH_INLINE void take(const Place& place, I* codes) {
  if constexpr (Coder::kBits == 9) {
    I sign[kVectors];
    unpack<1, false>(place.codes, sign);
    unpack<8, false>(place.exponents, codes);
    for (int k = 0; k < kVectors; k++) codes[k] |= sign[k] << 8;
  } else {
    unpack<Coder::kBits, Coder::kSigned>(place.codes, codes);
  }
}

template <class Coder>
KITH_INLINE Place place_of(const QuantizeCode& code, unsigned char* message, int64_t column) {
  unsigned char* codes = message + code.scale_words * 4;
  if constexpr (Coder::kBits == 9) {
    return Place{codes + column / 8, codes + (code.cols + 31) / 32 * 4 + column};
  } else {
    return Place{codes + column / 8 * Coder::kBits, nullptr};
  }
}
// Bytes in whole words of n codes.
constexpr int64_t code_bytes(int64_t bits, int64_t n) { return (n * bits + 31) / 32 * 4; }

/* Scales of the columns of a packet, as vectors of their elements. */
struct Scales {
  alignas(64) float a[kPacket];
  alignas(64) float b[kPacket];
  alignas(64) int32_t live[kPacket]; /* 0 where codes are 0 */
  int64_t block = -1;                /* that fills it; -1: several, or none */

  KITH_INLINE void set(const QuantizeCode& code, const float* scales, int64_t at, int64_t from, int64_t to) {
    float first, second = 0;
    int32_t alive = -1;
    if (code.scales == 1) {
      std::memcpy(&first, scales + at, sizeof(first));
      second = code.levels > 0 ? first * static_cast<float>(code.levels) : -first;
    } else {
      std::memcpy(&first, scales + 2 * at, sizeof(first));
      std::memcpy(&second, scales + 2 * at + 1, sizeof(second));
    }
    const bool nan = first != first;
    if (code.kind == KITH_CODE_AFFINE) {
      second = second - first;
      if (nan || second == 0) alive = 0;
    } else if (code.kind == KITH_CODE_QSGD || code.kind == KITH_CODE_ABSMAX) {
      if (nan || first == 0) alive = 0;
    } else if (nan) {
      alive = 0;
    }
    for (int64_t k = from; k < to; k++) {
      a[k] = first;
      b[k] = second;
      live[k] = alive;
    }
  }
  // For the n columns from `column` on.
  KITH_INLINE void cover(const QuantizeCode& code, const float* scales, int64_t column, int64_t n) {
    int64_t at = column / code.block;
    const int64_t end = (at + 1) * code.block;
    if (end - column >= n) {
      if (block != at) set(code, scales, at, 0, kPacket);
      block = at;
      return;
    }
    block = -1;
    for (int64_t k = 0; k < n;) {
      const int64_t stop = (at + 1) * code.block - column;
      set(code, scales, at++, k, stop < n ? stop : n);
      k = stop;
    }
    for (int64_t k = n; k < kPacket; k++) {
      a[k] = 0;
      b[k] = 0;
      live[k] = 0;
    }
  }
  KITH_INLINE Scale at(int k, F q) const {
    return Scale{load<float, float>(a + k * kLanesF), load<float, float>(b + k * kLanesF), q};
  }
};

/* ---- encode -------------------------------------------------------------------------------------------------------- */

// One packet of whole memory: `residual` is where v - decode goes, or NULL.
template <class Coder>
__attribute__((noinline)) F packet(const Source& source, int64_t at, const Scales& scales, F q, const F* u,
                                   float* residual, const Place& place, int64_t n) {
  F bad{};
  I codes[kVectors];
#pragma GCC unroll 8
  for (int k = 0; k < kVectors; k++) {
    const F v = source.load(at + k * kLanesF);
    Scale scale{};
    if constexpr (Coder::kScaled) scale = scales.at(k, q);
    codes[k] = Coder::code(v, scale, Coder::kRandom ? u[k] : F{});
    if constexpr (Coder::kScaled) codes[k] &= load_bytes<I>(scales.live + k * kLanesF);
    if (n < kPacket) {
      const Mask<float> inside = first_lanes<float>(n - k * kLanesF);
      codes[k] &= inside;
    }
    if constexpr (!Coder::kScaled) bad = watch<float>(bad, Coder::kBits == 16 ? Coder::decode(codes[k], scale) : v);
    if (residual != nullptr) store<float>(residual + k * kLanesF, v - Coder::decode(codes[k], scale));
  }
  put<Coder>(codes, place);
  return bad;
}

// Fills the scale of a block, and tells whether `run` may code with it.
template <class Coder>
KITH_INLINE bool scales_live(const QuantizeCode& code, const float* stored, int64_t at, Scale* scale) {
  const float first = stored[code.scales * at];
  float second = code.levels > 0 ? first * static_cast<float>(code.levels) : -first;
  if (code.scales == 2) second = stored[2 * at + 1];
  if (code.kind == KITH_CODE_AFFINE) second = second - first;
  scale->a = wide(first);
  scale->b = wide(second);
  if (first != first) return false;
  if (code.kind == KITH_CODE_AFFINE) return second != 0;
  return code.levels == 0 || (Coder::kClamped ? first >= 0x1p-126f : first > 0);
}

// Random numbers of a row, a stretch of packets at a time.
class Uniforms {
 public:
  KITH_INLINE Uniforms(const Philox& philox, const float* given) : philox_(philox), given_(given) {}

  // Of the packet from c on.
  KITH_INLINE void of(int64_t c, F* u) {
    if (given_ != nullptr) {
      for (int k = 0; k < kVectors; k++) u[k] = load<float, float>(given_ + c + k * kLanesF);
      return;
    }
    if (c < first_ || c >= first_ + kPhiloxWords) make(c);
    for (int k = 0; k < kVectors; k++) u[k] = made_[(c - first_) / kLanesF + k];
  }

 private:
  // Out of line: it needs every register.
  __attribute__((noinline)) void make(int64_t c) {
    first_ = c;
    philox_uniforms(philox_, c, made_);
  }

  const Philox& philox_;
  const float* const given_;
  int64_t first_ = -kPhiloxWords;
  F made_[kPhiloxWords / kLanesF];
};

// Whole packets of one block whose codes live, [from, to). Returns what `watch` saw.
template <class Coder, bool kPlain>
__attribute__((noinline)) F run(const QuantizeTask& task, const SourceOf<kPlain>& given, int64_t from, int64_t to,
                                const Scale& common, Uniforms& uniforms, float* residual, unsigned char* message) {
  const SourceOf<kPlain> source = given;
  const Scale scale = common;
  [[maybe_unused]] const F inverse = wide(1.0f) / scale.a;
  Place place = place_of<Coder>(task.code, message, from);
  F bad[kVectors] = {};
  for (int64_t c = from; c < to; c += kPacket) {
    // With scales, what is measured while the codes after these are made.
    constexpr int64_t kFurther = Coder::kScaled ? 768 : 0;
    source.prefetch(c + kFurther);
    source.prefetch(c + kFurther + 16);
    F u[kVectors];
    if constexpr (Coder::kRandom) uniforms.of(c, u);
    I codes[kVectors];
    F v[kVectors];
#pragma GCC unroll 8
    for (int k = 0; k < kVectors; k++) v[k] = source.load(c + k * kLanesF);
    if constexpr (Coder::kClamped) {
#if defined(__FMA__)
      if (__builtin_expect(!Coder::of_most(v, scale, inverse, codes), 0))
#endif
        for (int k = 0; k < kVectors; k++) codes[k] = Coder::of_normal(v[k], scale);
    }
#pragma GCC unroll 8
    for (int k = 0; k < kVectors; k++) {
      if constexpr (!Coder::kClamped) codes[k] = Coder::code(v[k], scale, Coder::kRandom ? u[k] : F{});
      if constexpr (!Coder::kScaled)
        bad[k] = watch<float>(bad[k], Coder::kBits == 16 ? Coder::decode(codes[k], scale) : v[k]);
      if constexpr (!kPlain) {
        if (residual != nullptr) store<float>(residual + c + k * kLanesF, v[k] - Coder::decode(codes[k], scale));
      }
    }
    put<Coder>(codes, place);
    place.codes += Coder::kBits == 9 ? 4 : 4 * Coder::kBits;
    if constexpr (Coder::kBits == 9) place.exponents += 32;
  }
  for (int k = 1; k < kVectors; k++) bad[0] = bad[0] + bad[k];
  return bad[0];
}

// Whole blocks [from, to) of a row. Returns 1 when one is not finite.
KITH_INLINE int32_t measure_blocks(const QuantizeTask& task, const Source& source, int64_t row, int64_t from,
                                   int64_t to) {
  int32_t found = 0;
  for (int64_t b = from; b < to; b += task.code.block) {
    const int64_t n = to - b < task.code.block ? to - b : task.code.block;
    QuantizePart part;
    measure_part(task.code, source, b, n, &part);
    found |= put_scales(task, row, b / task.code.block, part, n);
  }
  return found;
}

template <class Coder>
__attribute__((noinline)) int32_t encode_columns(const QuantizeTask& task, int64_t row, int64_t begin, int64_t end,
                                                 int64_t group, bool measured) {
  const QuantizeCode& code = task.code;
  const Source source = source_of(task, row);
  float* const residual =
      task.residual == nullptr ? nullptr : reinterpret_cast<float*>(task.residual + row * task.residual_pitch);
  unsigned char* const message = task.messages + row * task.messages_pitch;
  const float* const stored = reinterpret_cast<const float*>(message);
  const F q = wide(static_cast<float>(code.levels));
  const float* const given = row_of(task.uniforms, task.uniforms_pitch, row);
  const Philox philox(task.key0, task.key1, static_cast<uint32_t>(task.first_node + row), task.round, task.stream);
  Uniforms uniforms(philox, given);
  const bool plain = source.minus == nullptr && source.e == nullptr && residual == nullptr;
  // As much stays in the first-level cache.
  const bool ahead = group <= kMeasuredAhead;
  Scales scales;
  F bad{};
  int32_t found = 0;
  for (int64_t from = begin; from < end; from += group) {
    const int64_t to = end - from < group ? end : from + group;
    if constexpr (Coder::kScaled) {
      if (measured) {
        // The next blocks are measured first, so that nothing waits for the scale of these.
        if (from == begin) found |= measure_blocks(task, source, row, from, to);
        const int64_t next = end - to < group ? end : to + group;
        if (ahead) {
          found |= measure_blocks(task, source, row, to, next);
        } else if (from > begin) {
          found |= measure_blocks(task, source, row, from, to);
        }
        scales.block = -1;
      }
    }
    int64_t c = from;
    F u[kVectors];
    while (c + kPacket <= to) {
      const int64_t stop = c + (to - c) / kPacket * kPacket;
      int64_t run_end = stop;
      Scale scale{F{}, F{}, q};
      bool alive = true;
      if constexpr (Coder::kScaled) {
        const int64_t at = c / code.block;
        const int64_t block_end = (at + 1) * code.block;
        if (block_end < stop) run_end = c + (block_end - c) / kPacket * kPacket;
        alive = run_end > c && scales_live<Coder>(code, stored, at, &scale);
      }
      if (alive) {
        const F seen = plain ? run<Coder, true>(task, SourceOf<true>{source.x, nullptr, nullptr}, c, run_end, scale,
                                                uniforms, nullptr, message)
                             : run<Coder, false>(task, source, c, run_end, scale, uniforms, residual, message);
        bad = bad + seen;
        c = run_end;
        continue;
      }
      if constexpr (Coder::kScaled) scales.cover(code, stored, c, kPacket);
      if constexpr (Coder::kRandom) uniforms.of(c, u);
      bad = bad + packet<Coder>(source, c, scales, q, u, residual == nullptr ? nullptr : residual + c,
                                place_of<Coder>(code, message, c), kPacket);
      c += kPacket;
    }
    if (c == to) continue;
    // The rest of the row, on padded copies.
    const int64_t n = to - c;
    const size_t size = static_cast<size_t>(n) * sizeof(float);
    float xs[kPacket] = {}, ms[kPacket] = {}, es[kPacket] = {}, us[kPacket] = {}, after[kPacket];
    std::memcpy(xs, source.x + c, size);
    if (source.minus != nullptr) std::memcpy(ms, source.minus + c, size);
    if (source.e != nullptr) std::memcpy(es, source.e + c, size);
    const Source padded{xs, source.minus == nullptr ? nullptr : ms, source.e == nullptr ? nullptr : es};
    if constexpr (Coder::kScaled) scales.cover(code, stored, c, n);
    if constexpr (Coder::kRandom) {
      if (given == nullptr) {
        uniforms.of(c, u);
      } else {
        std::memcpy(us, given + c, size);
        std::memcpy(u, us, sizeof(us));
      }
    }
    unsigned char words[2][kPacket * 2];
    bad = bad +
          packet<Coder>(padded, 0, scales, q, u, residual == nullptr ? nullptr : after, Place{words[0], words[1]}, n);
    const Place place = place_of<Coder>(code, message, c);
    if constexpr (Coder::kBits == 9) {
      std::memcpy(place.codes, words[0], 4);
      std::memcpy(place.exponents, words[1], static_cast<size_t>(code_bytes(8, n)));
    } else {
      std::memcpy(place.codes, words[0], static_cast<size_t>(code_bytes(Coder::kBits, n)));
    }
    if (residual != nullptr) std::memcpy(residual + c, after, size);
  }
  return found | (any_nan<float>(bad) ? 1 : 0);
}

/* ---- accumulate ---------------------------------------------------------------------------------------------------- */

template <class Coder>
KITH_INLINE void forward(Place* place) {
  place->codes += Coder::kBits == 9 ? 4 : 4 * Coder::kBits;
  if constexpr (Coder::kBits == 9) place->exponents += 32;
}

template <class Coder>
KITH_INLINE Scale scale_of(const QuantizeCode& code, const unsigned char* message, int64_t block, F q) {
  Scale scale{F{}, F{}, q};
  if constexpr (Coder::kScaled) {
    const float* const scales = reinterpret_cast<const float*>(message);
    if (code.scales == 1) {
      scale.a = wide(scales[block]);
      scale.b = -scale.a;
    } else {
      scale.a = wide(scales[2 * block]);
      scale.b = wide(scales[2 * block + 1]);
      if (code.kind == KITH_CODE_AFFINE) scale.b = scale.b - scale.a;
    }
  }
  return scale;
}

// Whole packets [from, to) within one block.
template <class Coder>
__attribute__((noinline)) void sum_run(const QuantizeCode& code, const QuantizeSum& sum, int64_t block, int64_t from,
                                       int64_t to) {
  const F q = wide(static_cast<float>(code.levels));
  const bool zero = sum.from_zero != 0, past = sum.streaming != 0;
  if (sum.count == 1) {
    Place place = place_of<Coder>(code, const_cast<unsigned char*>(sum.messages[0]), from);
    const Scale scale = scale_of<Coder>(code, sum.messages[0], block, q);
    const F w = wide(sum.weights[0]);
    float* const y = sum.y;
    for (int64_t c = from; c < to; c += kPacket) {
      I codes[kVectors];
      take<Coder>(place, codes);
      forward<Coder>(&place);
      __builtin_prefetch(reinterpret_cast<const char*>(y + c) + kAheadBytes, 1);
      __builtin_prefetch(reinterpret_cast<const char*>(y + c) + kAheadBytes + 64, 1);
#pragma GCC unroll 8
      for (int k = 0; k < kVectors; k++) {
        float* const at = y + c + k * kLanesF;
        const F a = fma(w, Coder::decode(codes[k], scale), zero ? F{} : load<float, float>(at));
        if (past) {
          stream(at, a);
        } else {
          store<float>(at, a);
        }
      }
    }
    return;
  }
  Place places[kQuantizeEntries];
  Scale scales[kQuantizeEntries];
  for (int64_t e = 0; e < sum.count; e++) {
    places[e] = place_of<Coder>(code, const_cast<unsigned char*>(sum.messages[e]), from);
    scales[e] = scale_of<Coder>(code, sum.messages[e], block, q);
  }
  for (int64_t c = from; c < to; c += kPacket) {
    float* const y = sum.y + c;
    F a[kVectors];
#pragma GCC unroll 8
    for (int k = 0; k < kVectors; k++) a[k] = zero ? F{} : load<float, float>(y + k * kLanesF);
    for (int64_t e = 0; e < sum.count; e++) {
      I codes[kVectors];
      take<Coder>(places[e], codes);
      forward<Coder>(&places[e]);
      const F w = wide(sum.weights[e]);
#pragma GCC unroll 8
      for (int k = 0; k < kVectors; k++) a[k] = fma(w, Coder::decode(codes[k], scales[e]), a[k]);
    }
#pragma GCC unroll 8
    for (int k = 0; k < kVectors; k++) {
      if (past) {
        stream(y + k * kLanesF, a[k]);
      } else {
        store<float>(y + k * kLanesF, a[k]);
      }
    }
  }
}

// n <= kPacket columns from c on, of any blocks.
template <class Coder>
__attribute__((noinline)) void sum_packet(const QuantizeCode& code, const QuantizeSum& sum, int64_t c, int64_t n) {
  const F q = wide(static_cast<float>(code.levels));
  const size_t size = static_cast<size_t>(n) * sizeof(float);
  float* const y = sum.y + c;
  float padded[kPacket] = {};
  if (sum.from_zero == 0) std::memcpy(padded, y, size);
  F a[kVectors];
  std::memcpy(a, padded, sizeof(padded));
  Scales mixed;
  for (int64_t e = 0; e < sum.count; e++) {
    const Place place = place_of<Coder>(code, const_cast<unsigned char*>(sum.messages[e]), c);
    unsigned char words[2][kPacket * 2] = {};
    if constexpr (Coder::kBits == 9) {
      std::memcpy(words[0], place.codes, 4);
      std::memcpy(words[1], place.exponents, static_cast<size_t>(code_bytes(8, n)));
    } else {
      std::memcpy(words[0], place.codes, static_cast<size_t>(code_bytes(Coder::kBits, n)));
    }
    I codes[kVectors];
    take<Coder>(Place{words[0], words[1]}, codes);
    if constexpr (Coder::kScaled) {
      mixed.block = -1;
      mixed.cover(code, reinterpret_cast<const float*>(sum.messages[e]), c, n);
    }
    const F w = wide(sum.weights[e]);
    for (int k = 0; k < kVectors; k++) {
      Scale scale{F{}, F{}, q};
      if constexpr (Coder::kScaled) scale = mixed.at(k, q);
      a[k] = fma(w, Coder::decode(codes[k], scale), a[k]);
    }
  }
  std::memcpy(padded, a, sizeof(padded));
  std::memcpy(y, padded, size);
}

template <class Coder>
void accumulate_columns(const QuantizeCode& code, const QuantizeSum& sum, int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end;) {
    const int64_t block = Coder::kScaled ? c / code.block : 0;
    const int64_t block_end = Coder::kScaled ? (block + 1) * code.block : end;
    const int64_t stop = c + ((block_end < end ? block_end : end) - c) / kPacket * kPacket;
    if (stop > c) {
      sum_run<Coder>(code, sum, block, c, stop);
      c = stop;
    } else {
      const int64_t n = end - c < kPacket ? end - c : kPacket;
      sum_packet<Coder>(code, sum, c, n);
      c += n;
    }
  }
  if (sum.streaming != 0) stream_fence();
}

/* ---- which coder --------------------------------------------------------------------------------------------------- */

// Calls f with a value of the coder's type.
template <class Call>
KITH_INLINE auto with_coder(const QuantizeCode& code, Call f) {
  const bool random = code.stochastic != 0;
  switch (code.kind) {
    case KITH_CODE_QSGD:
      return code.bits == 2 ? f(Qsgd<2>{}) : code.bits == 4 ? f(Qsgd<4>{}) : f(Qsgd<8>{});
    case KITH_CODE_ABSMAX:
      if (code.bits == 4) return random ? f(RandomLevels<4>{}) : f(Levels<4>{});
      return random ? f(RandomLevels<8>{}) : f(Levels<8>{});
    case KITH_CODE_AFFINE:
      return f(Affine{});
    case KITH_CODE_ONE_BIT:
    case KITH_CODE_SCALED_SIGN:
      return f(Means{});
    case KITH_CODE_SIGN:
      return f(Sign{});
    case KITH_CODE_NATURAL:
      return f(Natural{});
    case KITH_CODE_BF16:
      return random ? f(Bf16<true>{}) : f(Bf16<false>{});
    case KITH_CODE_E4M3:
      return random ? f(E4m3<true>{}) : f(E4m3<false>{});
    default:
      return random ? f(E5m2<true>{}) : f(E5m2<false>{});
  }
}

int32_t encode(const QuantizeTask& task, int64_t row, int64_t begin, int64_t end, int64_t group, bool measured) {
  return with_coder(
      task.code, [&](auto coder) { return encode_columns<decltype(coder)>(task, row, begin, end, group, measured); });
}

// Decoding does not ask how a code was rounded.
void accumulate(const QuantizeCode& code, const QuantizeSum& sum, int64_t begin, int64_t end) {
  switch (code.kind) {
    case KITH_CODE_QSGD:
    case KITH_CODE_ABSMAX:
      return code.bits == 2   ? accumulate_columns<Levels<2>>(code, sum, begin, end)
             : code.bits == 4 ? accumulate_columns<Levels<4>>(code, sum, begin, end)
                              : accumulate_columns<Levels<8>>(code, sum, begin, end);
    case KITH_CODE_AFFINE:
      return accumulate_columns<Affine>(code, sum, begin, end);
    case KITH_CODE_ONE_BIT:
    case KITH_CODE_SCALED_SIGN:
      return accumulate_columns<Means>(code, sum, begin, end);
    case KITH_CODE_SIGN:
      return accumulate_columns<Sign>(code, sum, begin, end);
    case KITH_CODE_NATURAL:
      return accumulate_columns<Natural>(code, sum, begin, end);
    case KITH_CODE_BF16:
      return accumulate_columns<Bf16<false>>(code, sum, begin, end);
    case KITH_CODE_E4M3:
      return accumulate_columns<E4m3<false>>(code, sum, begin, end);
    default:
      return accumulate_columns<E5m2<false>>(code, sum, begin, end);
  }
}

/* ---- majority ------------------------------------------------------------------------------------------------------ */

// More rows than 2^31 - 1 have no message each.
constexpr int kPlanes = 32;

// a + b + c, bit by bit.
KITH_INLINE U add3(U a, U b, U c, U* carry) {
  const U half = a ^ b;
  *carry = (a & b) | (half & c);
  return half ^ c;
}

// Adds `carry` at the weight of the first plane.
KITH_INLINE void add_carry(U* planes, int count, U carry) {
  for (int p = 0; p < count; p++) {
    const U both = planes[p] & carry;
    planes[p] ^= carry;
    carry = both;
  }
}

// Bit c is 1 where at least `needed` of the rows have a 1. get(r) is row r, nothing from `rows` on.
template <class Get>
KITH_INLINE U vote(Get get, int64_t rows, int64_t needed, int count) {
  U ones{}, twos{}, fours{}, upper[kPlanes];
  for (int p = 3; p < count; p++) upper[p - 3] = U{};
  for (int64_t r = 0; r < rows; r += 8) {
    U two[4], four[2], eight;
    ones = add3(ones, get(r), get(r + 1), &two[0]);
    ones = add3(ones, get(r + 2), get(r + 3), &two[1]);
    twos = add3(twos, two[0], two[1], &four[0]);
    ones = add3(ones, get(r + 4), get(r + 5), &two[2]);
    ones = add3(ones, get(r + 6), get(r + 7), &two[3]);
    twos = add3(twos, two[2], two[3], &four[1]);
    fours = add3(fours, four[0], four[1], &eight);
    add_carry(upper, count - 3, eight);
  }
  U above{}, equal = ~U{};
  const auto compare = [&](U plane, int p) __attribute__((always_inline)) {
    const U wanted = (needed >> p & 1) != 0 ? ~U{} : U{};
    above |= equal & plane & ~wanted;
    equal &= ~(plane ^ wanted);
  };
  for (int p = count - 1; p >= 3; p--) compare(upper[p - 3], p);
  compare(fours, 2);
  compare(twos, 1);
  compare(ones, 0);
  return above | equal;
}

void majority(const unsigned char* messages, int64_t pitch, int64_t rows, int64_t cols, int64_t begin, int64_t end,
              unsigned char* out) {
  constexpr int64_t kWords = static_cast<int64_t>(sizeof(U)) / 4;
  int count = 3;
  while (count < kPlanes && (rows >> count) > 0) count++;
  const int64_t needed = rows / 2 + rows % 2;
  int64_t w = begin;
  if (rows % 8 == 0) {
    for (; w + kWords <= end; w += kWords) {
      const unsigned char* const from = messages + w * 4;
      const auto get = [&](int64_t r) __attribute__((always_inline)) { return load_bytes<U>(from + r * pitch); };
      store_bytes(out + w * 4, vote(get, rows, needed, count));
    }
  }
  for (; w < end; w += kWords) {
    const size_t size = static_cast<size_t>(end - w < kWords ? end - w : kWords) * 4;
    const auto get = [&](int64_t r) __attribute__((always_inline)) {
      U v{};
      if (r < rows) std::memcpy(&v, messages + r * pitch + w * 4, size);
      return v;
    };
    const U result = vote(get, rows, needed, count);
    std::memcpy(out + w * 4, &result, size);
  }
  if (end * 32 > cols && cols % 32 != 0) {
    uint32_t last;
    std::memcpy(&last, out + (end - 1) * 4, sizeof(last));
    last &= (1u << (cols % 32)) - 1;
    std::memcpy(out + (end - 1) * 4, &last, sizeof(last));
  }
}

}  // namespace

extern const QuantizeKernels quantize_kernels;
const QuantizeKernels quantize_kernels = {encode, measure, settle, accumulate, majority};

}  // namespace kith::KITH_TIER
