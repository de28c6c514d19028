/*
 * quantize: rows into codes of few bits and messages into sums over neighbours, formulas in kith.h.
 *
 * Bytes per element: encode reads x, minus and residual (4 each; twice with scales) and writes bits/8 and the residual;
 * accumulate reads bits/8 for each entry of W and y (4, not where it starts at 0), writes y; majority reads rows/8 and
 * writes 1/8.
 * Launch: 256 threads, 64-bit indices.
 *   measure    64 threads for a chunk of 4,096 elements of a block, a lane of the tree of kith.h each
 *   settle     a block of threads for the chunks of a block of columns, level by level; only where there are several
 *   encode     a warp for 128 columns, a lane an element, so that all accesses are whole lines; codes meet in words by
 *              exchange of lanes; a lane computes one Philox block, which serves four elements
 *   accumulate a thread for four columns of a row, 16 bytes of y
 *   majority   a thread for a word of all rows, counts in bit planes
 * Registers (sm_90): see the table in cuda/README.md.
 * Determinism: no order depends on the launch; the bits are the CPU's. Flags are ORed.
 * Emulated: all.
 */
#include "convert.hpp"
#include "cuda_weights.hpp"
#include "host.hpp"
#include "launch.hpp"
#include "philox.hpp"
#include "quantize_checks.hpp"

namespace kith {

namespace {

constexpr int kThreads = 256;
constexpr int kPerMultiprocessor = 8;
constexpr unsigned kAll = 0xffffffffu;
constexpr int kWarp = 32;
constexpr int64_t kChunk = 4096;
constexpr int kTreeLanes = 64;
constexpr int kPackets = 4;                    // of a warp at a time
constexpr int64_t kSpan = kPackets * kPacket;  // columns
constexpr int kQuad = 4;                       // columns of a thread that decodes
constexpr int32_t kInfinityBits = 0x7f800000;

struct Encoding {
  QuantizeCode code;
  const unsigned char* x;
  const unsigned char* minus;
  const unsigned char* uniforms;
  unsigned char* residual;
  unsigned char* messages;
  int32_t* flags;
  int64_t x_pitch; /* bytes, as the others */
  int64_t minus_pitch;
  int64_t uniforms_pitch;
  int64_t residual_pitch;
  int64_t messages_pitch;
  int64_t rows;
  int64_t round;
  int64_t first_node;
  QuantizePart* parts; /* NULL: a block is one chunk */
  QuantizePart* other;
  int64_t block_chunks;
  int64_t row_chunks;
  uint32_t key0;
  uint32_t key1;
  int32_t stream;
  int32_t reserved;
};

KITH_DEVICE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

KITH_DEVICE int32_t int_of(float v) { return static_cast<int32_t>(__float_as_uint(v)); }
KITH_DEVICE float float_of(int32_t bits) { return __uint_as_float(static_cast<uint32_t>(bits)); }

// Integers in the order of floats, -0 below +0; its own inverse.
KITH_DEVICE int32_t ordered(int32_t bits) { return bits ^ ((bits >> 31) & 0x7fffffff); }

KITH_DEVICE float element(const unsigned char* data, int64_t pitch, int64_t row, int64_t c) {
  return reinterpret_cast<const float*>(data + row * pitch)[c];
}

KITH_DEVICE float value_of(const Encoding& e, int64_t row, int64_t c) {
  float v = element(e.x, e.x_pitch, row, c);
  if (e.minus != nullptr) v = v - element(e.minus, e.minus_pitch, row, c);
  if (e.residual != nullptr) v = element(e.residual, e.residual_pitch, row, c) + v;
  return v;
}

KITH_DEVICE void raise(const Encoding& e, int64_t row) {
  if (e.flags != nullptr) atomicOr(e.flags + row, 1);
}

/* ---- scales -------------------------------------------------------------------------------------------------------- */

KITH_DEVICE QuantizePart joined(const QuantizePart& a, const QuantizePart& b) {
  QuantizePart c = {};
  c.sum1 = a.sum1 + b.sum1;
  c.sum0 = a.sum0 + b.sum0;
  c.ones = a.ones + b.ones;
  c.low = a.low < b.low ? a.low : b.low;
  c.high = a.high > b.high ? a.high : b.high;
  c.nan = a.nan | b.nan;
  return c;
}

KITH_DEVICE void put_scales(const Encoding& e, int64_t row, int64_t block, const QuantizePart& part, int64_t n) {
  float a = 0, b = 0;
  bool fine = true;
  switch (e.code.kind) {
    case KITH_CODE_QSGD:
    case KITH_CODE_ABSMAX: {
      const bool two = e.code.kind == KITH_CODE_QSGD && e.code.norm == KITH_NORM_TWO;
      const float norm = two ? static_cast<float>(root(part.sum1)) : float_of(part.high);
      const float q = static_cast<float>(e.code.levels);
      a = quotient(norm, q);
      fine = !not_finite(a) && !not_finite(a * q);
      break;
    }
    case KITH_CODE_SCALED_SIGN:
      a = static_cast<float>(quotient(part.sum1, static_cast<double>(n)));
      fine = !not_finite(a);
      break;
    case KITH_CODE_ONE_BIT:
      if (part.ones > 0) a = static_cast<float>(quotient(part.sum1, static_cast<double>(part.ones)));
      if (part.ones < n) b = static_cast<float>(quotient(part.sum0, static_cast<double>(n - part.ones)));
      fine = !not_finite(a) && !not_finite(b);
      break;
    default:
      a = float_of(ordered(part.low));
      b = float_of(ordered(part.high));
      fine = part.nan == 0 && !not_finite(a) && !not_finite(b) && !not_finite(a + (b - a));
      break;
  }
  if (!fine) {
    raise(e, row);
    a = float_of(0x7fc00000);
    b = a;
  }
  float* const scales = reinterpret_cast<float*>(e.messages + row * e.messages_pitch) + block * e.code.scales;
  scales[0] = a;
  if (e.code.scales == 2) scales[1] = b;
}

enum Measure : int { kSquares, kLargest, kAbsolute, kMeans, kExtremes };

template <int kMeasure>
KITH_KERNEL(kThreads)
void measure(Encoding e) {
  KITH_SHARED(float, first, kThreads);
  KITH_SHARED(float, second, kThreads);
  KITH_SHARED(int32_t, least, kThreads);
  KITH_SHARED(int32_t, most, kThreads);
  constexpr int kGroups = kThreads / kTreeLanes;
  const int lane = static_cast<int>(threadIdx.x) % kTreeLanes;
  const int64_t group = static_cast<int64_t>(threadIdx.x) / kTreeLanes;
  const int64_t items = e.rows * e.row_chunks;
  for (int64_t base = static_cast<int64_t>(blockIdx.x) * kGroups; base < items;
       base += static_cast<int64_t>(gridDim.x) * kGroups) {
    const int64_t item = base + group;
    const bool active = item < items;
    const int64_t row = active ? item / e.row_chunks : 0;
    const int64_t in_row = active ? item - row * e.row_chunks : 0;
    const int64_t block = in_row / e.block_chunks;
    const int64_t begin = block * e.code.block;
    const int64_t end = smaller(e.code.cols, begin + e.code.block);
    const int64_t column = begin + (in_row - block * e.block_chunks) * kChunk;
    const int64_t n = active ? smaller(kChunk, end - column) : 0;
    float one = 0, zero = 0;
    int32_t low = kMeasure == kExtremes ? 0x7fffffff : 0;
    int32_t high = kMeasure == kExtremes ? -0x7fffffff - 1 : 0;
    int32_t nan = 0;
    for (int64_t i = lane; i < n; i += kTreeLanes) {
      const float v = value_of(e, row, column + i);
      const int32_t bits = int_of(v);
      if (kMeasure == kSquares) one = fused(v, v, one);
      if (kMeasure == kAbsolute) one = one + fabsf(v);
      if (kMeasure == kLargest) high = (bits & 0x7fffffff) > high ? bits & 0x7fffffff : high;
      if (kMeasure == kMeans) {
        const bool bit = v >= 0.0f;
        one = one + (bit ? v : 0.0f);
        zero = zero + (bit ? 0.0f : v);
        high += bit ? 1 : 0;
      }
      if (kMeasure == kExtremes) {
        const int32_t key = ordered(bits);
        low = key < low ? key : low;
        high = key > high ? key : high;
        nan |= v != v ? 1 : 0;
      }
    }
    first[threadIdx.x] = one;
    if (kMeasure == kMeans) second[threadIdx.x] = zero;
    if (kMeasure == kExtremes) least[threadIdx.x] = low;
    most[threadIdx.x] = high;
    const bool any = kMeasure == kExtremes && __syncthreads_or(nan) != 0;
    if (kMeasure != kExtremes) __syncthreads();
    if (lane < kWarp) {
      const unsigned far = threadIdx.x + kWarp;
      one = one + first[far];
      if (kMeasure == kMeans) zero = zero + second[far];
      if (kMeasure == kExtremes) {
        const int32_t beyond = least[far];
        low = beyond < low ? beyond : low;
      }
      const int32_t above = most[far];
      high = kMeasure == kMeans ? high + above : above > high ? above : high;
      for (int s = kWarp / 2; s >= 1; s /= 2) {
        one = one + __shfl_down_sync(kAll, one, s);
        if (kMeasure == kMeans) zero = zero + __shfl_down_sync(kAll, zero, s);
        if (kMeasure == kExtremes) {
          const int32_t down = __shfl_down_sync(kAll, low, s);
          low = down < low ? down : low;
        }
        const int32_t up = __shfl_down_sync(kAll, high, s);
        high = kMeasure == kMeans ? high + up : up > high ? up : high;
      }
    }
    // Which of the groups met a NaN, where one of them did.
    if (any) {
      __syncthreads();
      most[threadIdx.x] = nan;
      __syncthreads();
      nan = 0;
      if (lane == 0) {
        for (int k = 0; k < kTreeLanes; k++) nan |= most[threadIdx.x + static_cast<unsigned>(k)];
      }
    }
    if (lane == 0 && active) {
      QuantizePart part = {};
      part.sum1 = static_cast<double>(one);
      part.sum0 = static_cast<double>(zero);
      part.ones = kMeasure == kMeans ? high : 0;
      part.low = low;
      part.high = high;
      part.nan = nan;
      if (e.parts != nullptr) {
        e.parts[item] = part;
      } else {
        put_scales(e, row, block, part, n);
      }
    }
    __syncthreads();
  }
}

// Neighbours first, an odd last one moves up.
KITH_KERNEL(kThreads)
void settle(Encoding e) {
  const int64_t items = e.rows * e.code.blocks;
  for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
    const int64_t row = item / e.code.blocks;
    const int64_t block = item - row * e.code.blocks;
    const int64_t n = smaller(e.code.block, e.code.cols - block * e.code.block);
    const int64_t at = row * e.row_chunks + block * e.block_chunks;
    QuantizePart* from = e.parts + at;
    QuantizePart* to = e.other + at;
    for (int64_t count = (n + kChunk - 1) / kChunk; count > 1;) {
      const int64_t half = count / 2;
      const int64_t next = half + count % 2;
      for (int64_t i = threadIdx.x; i < next; i += kThreads) {
        to[i] = i < half ? joined(from[2 * i], from[2 * i + 1]) : from[count - 1];
      }
      __syncthreads();
      QuantizePart* const swap = from;
      from = to;
      to = swap;
      count = next;
    }
    if (threadIdx.x == 0) put_scales(e, row, block, from[0], n);
    __syncthreads();
  }
}

}  // namespace

/* ---- codes: code() of v, and decode() of a code --------------------------------------------------------------------- */

namespace codes {

// a and b are the scales; b of AFFINE is hi - lo, of integers Q times the scale; live: codes are not 0.
struct Scale {
  float a;
  float b;
  float q;
  bool live;
};

KITH_DEVICE Scale scale_from(const QuantizeCode& code, const unsigned char* message, int64_t block) {
  const float* const scales = reinterpret_cast<const float*>(message) + block * code.scales;
  Scale s;
  s.a = scales[0];
  s.q = static_cast<float>(code.levels);
  const bool nan = s.a != s.a;
  s.live = !nan;
  if (code.scales == 2) {
    s.b = scales[1];
    if (code.kind == KITH_CODE_AFFINE) {
      s.b = s.b - s.a;
      s.live = !nan && s.b != 0.0f;
    }
  } else if (code.levels > 0) {
    s.b = s.a * s.q;
    s.live = !nan && s.a != 0.0f;
  } else {
    s.b = -s.a;
  }
  return s;
}

KITH_DEVICE float within(float a, float low, float high) {
  a = a > high ? high : a;
  return a < low ? low : a;
}

template <int kBitsPerCode>
struct Levels {
  static constexpr int kBits = kBitsPerCode;
  static constexpr bool kSigned = true;
  static constexpr bool kScaled = true;
  static constexpr bool kRandom = false;
  static KITH_DEVICE int32_t code(float v, const Scale& s, float) {
    v = within(v, -s.b, s.b);
    // To nearest even, as the last place of the sum is one.
    const float magic = 12582912.0f;
    const float shifted = quotient(v, s.a) + magic;
    // Where f32 made the quotient a tie that it is not, the rest, which is exact, says so.
    const float rest = fused(magic - shifted, s.a, v);
    const float twice = rest + rest;
    return int_of(shifted) - int_of(magic) + (twice > s.a ? 1 : 0) - (twice < -s.a ? 1 : 0);
  }
  static KITH_DEVICE float decode(int32_t q, const Scale& s) { return s.a * static_cast<float>(q); }
};
// Rounds down, or up at random.
template <int kBitsPerCode>
struct RandomLevels : Levels<kBitsPerCode> {
  static constexpr bool kRandom = true;
  static KITH_DEVICE int32_t code(float v, const Scale& s, float u) {
    const float a = within(quotient(v, s.a), -s.q, s.q);
    const int32_t truncated = static_cast<int32_t>(a);
    const int32_t below = truncated - (static_cast<float>(truncated) > a ? 1 : 0);
    return below + (u < a - static_cast<float>(below) ? 1 : 0);
  }
};
// Rounds magnitudes.
template <int kBitsPerCode>
struct Qsgd : Levels<kBitsPerCode> {
  static constexpr bool kRandom = true;
  static KITH_DEVICE int32_t code(float v, const Scale& s, float u) {
    float a = quotient(fabsf(v), s.a);
    a = a > s.q ? s.q : a;
    const int32_t below = static_cast<int32_t>(a);
    const int32_t level = below + (u < a - static_cast<float>(below) ? 1 : 0);
    return int_of(v) < 0 ? -level : level;
  }
};

struct Affine {
  static constexpr int kBits = 8;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = true;
  static constexpr bool kRandom = false;
  static KITH_DEVICE int32_t code(float v, const Scale& s, float) {
    return static_cast<int32_t>(quotient(v - s.a, s.b) * 255.0f);
  }
  static KITH_DEVICE float decode(int32_t q, const Scale& s) {
    return s.a + quotient(static_cast<float>(q), 255.0f) * s.b;
  }
};

struct Means {
  static constexpr int kBits = 1;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = true;
  static constexpr bool kRandom = false;
  static KITH_DEVICE int32_t code(float v, const Scale&, float) { return v >= 0.0f ? 1 : 0; }
  static KITH_DEVICE float decode(int32_t q, const Scale& s) { return q != 0 ? s.a : s.b; }
};

struct Sign {
  static constexpr int kBits = 1;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = false;
  static constexpr bool kRandom = false;
  static KITH_DEVICE int32_t code(float v, const Scale&, float) { return v >= 0.0f ? 1 : 0; }
  static KITH_DEVICE float decode(int32_t q, const Scale&) { return q != 0 ? 1.0f : -1.0f; }
};

// Bit 8 is the sign.
struct Natural {
  static constexpr int kBits = 9;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = false;
  static constexpr bool kRandom = true;
  static KITH_DEVICE int32_t code(float v, const Scale&, float u) {
    const int32_t bits = int_of(v);
    const int32_t exponent = (bits >> 23) & 255;
    const int32_t sign = bits < 0 ? 256 : 0;
    if (exponent == 255) return (bits & 0x7fffffff) > kInfinityBits ? 255 : sign | 255;
    if (exponent == 0) return sign;
    const float fraction = static_cast<float>(bits & 0x7fffff) * 0x1p-23f;
    const int32_t rounded = exponent + (u < fraction ? 1 : 0);
    return sign | (rounded > 254 ? 254 : rounded);
  }
  static KITH_DEVICE float decode(int32_t q, const Scale&) {
    const uint32_t exponent = static_cast<uint32_t>(q) & 255u;
    return __uint_as_float(exponent == 255u ? 0x7fc00000u : static_cast<uint32_t>(q) >> 8 << 31 | exponent << 23);
  }
};

template <bool kStochastic>
struct ShortFloat {
  static constexpr int kBits = 16;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = false;
  static constexpr bool kRandom = kStochastic;
  static KITH_DEVICE int32_t code(float v, const Scale&, float u) {
    const uint32_t bits = __float_as_uint(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fc0;
    if (!kStochastic) return to_bf16(v).bits;
    const float rest = static_cast<float>(bits & 0xffffu) * 0x1p-16f;
    return static_cast<int32_t>((bits >> 16) + (u < rest ? 1u : 0u));
  }
  static KITH_DEVICE float decode(int32_t q, const Scale&) { return __uint_as_float(static_cast<uint32_t>(q) << 16); }
};

// kDrop: bits of the mantissa of f32 that go; kBias: of the exponent; kLargest: the code of the largest finite value.
template <bool kStochastic, int kDrop, int kBias, int32_t kLargest, bool kInfinities>
struct SmallFloat {
  static constexpr int kBits = 8;
  static constexpr bool kSigned = false;
  static constexpr bool kScaled = false;
  static constexpr bool kRandom = kStochastic;
  static constexpr int kMantissa = 23 - kDrop;
  static constexpr int32_t kRebias = (127 - kBias) << kMantissa;
  // Bits of the smallest normal value, and the unit of those below it.
  static constexpr int32_t kNormal = (128 - kBias) << 23;
  static constexpr int kUnitExponent = 1 - kBias - kMantissa;

  static KITH_DEVICE float power(int exponent) { return float_of((127 + exponent) << 23); }

  static KITH_DEVICE int32_t code(float v, const Scale&, float u) {
    const int32_t bits = int_of(v);
    const int32_t a = bits & 0x7fffffff;
    const int32_t sign = bits < 0 ? 0x80 : 0;
    if (a > kInfinityBits) return 0x7f;
    if (a == kInfinityBits) return sign | (kInfinities ? kLargest + 1 : 0x7f);
    int32_t code;
    if (a < kNormal) {
      if (kStochastic) {
        const float units = float_of(a) * power(-kUnitExponent);
        code = static_cast<int32_t>(units);
        code += u < units - static_cast<float>(code) ? 1 : 0;
      } else {
        // The last place of 2^23 units is one unit, so the addition rounds.
        const float shift = power(kUnitExponent + 23);
        code = int_of(float_of(a) + shift) - int_of(shift);
      }
    } else if (kStochastic) {
      const float rest = static_cast<float>(a & ((1 << kDrop) - 1)) * power(-kDrop);
      code = (a >> kDrop) + (u < rest ? 1 : 0) - kRebias;
    } else {
      code = ((a + ((1 << (kDrop - 1)) - 1) + ((a >> kDrop) & 1)) >> kDrop) - kRebias;
    }
    return sign | (code > kLargest ? kLargest : code);
  }
  static KITH_DEVICE float decode(int32_t q, const Scale&) {
    const int32_t a = q & 0x7f;
    const uint32_t sign = (static_cast<uint32_t>(q) & 0x80u) << 24;
    int32_t bits = (a + kRebias) << kDrop;
    if (a < (1 << kMantissa)) bits = int_of(static_cast<float>(a) * power(kUnitExponent));
    if (kInfinities && a == kLargest + 1) bits = kInfinityBits;
    if (a > (kInfinities ? kLargest + 1 : kLargest)) bits = 0x7fc00000;
    return __uint_as_float(static_cast<uint32_t>(bits) | sign);
  }
};
template <bool kStochastic>
using E4m3 = SmallFloat<kStochastic, 20, 7, 0x7e, false>;
template <bool kStochastic>
using E5m2 = SmallFloat<kStochastic, 21, 15, 0x7b, true>;

}  // namespace codes

namespace {

using namespace codes;

/* ---- encode -------------------------------------------------------------------------------------------------------- */

// Lane 0, 32/kBits, ... has the word of its and the following lanes' codes.
template <int kBits>
KITH_DEVICE uint32_t packed(int32_t code, unsigned lane) {
  if (kBits == 1) return __ballot_sync(kAll, code != 0);
  constexpr unsigned kEach = 32 / kBits;
  uint32_t word = (static_cast<uint32_t>(code) & ((1u << (kBits % 32)) - 1u)) << (lane % kEach * kBits);
  for (unsigned s = 1; s < kEach; s *= 2) word |= __shfl_xor_sync(kAll, word, static_cast<int>(s));
  return word;
}

// Writes the words of 32 codes; those of columns beyond the row are 0 and their words are not there.
template <int kBits>
KITH_DEVICE void put(uint32_t* words, int64_t column, int64_t cols, int32_t code, unsigned lane) {
  constexpr unsigned kEach = 32 / kBits;
  const uint32_t word = packed<kBits>(code, lane);
  if (lane % kEach == 0 && column < cols) words[column / kEach] = word;
}

template <class Coder>
KITH_KERNEL(kThreads)
void encode(Encoding e) {
  const QuantizeCode& code = e.code;
  const unsigned lane = threadIdx.x % kWarp;
  const int64_t spans = (code.cols + kSpan - 1) / kSpan;
  const int64_t items = e.rows * spans;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * (kThreads / kWarp);
  for (int64_t item = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp; item < items;
       item += warps) {
    const int64_t row = item / spans;
    const int64_t base = (item - row * spans) * kSpan;
    unsigned char* const message = e.messages + row * e.messages_pitch;
    float v[kPackets];
    KITH_UNROLL
    for (int p = 0; p < kPackets; p++) {
      const int64_t c = base + p * kPacket + lane;
      v[p] = c < code.cols ? value_of(e, row, c) : 0.0f;
    }
    float u[kPackets] = {};
    if (Coder::kRandom) {
      if (e.uniforms != nullptr) {
        KITH_UNROLL
        for (int p = 0; p < kPackets; p++) {
          const int64_t c = base + p * kPacket + lane;
          u[p] = c < code.cols ? element(e.uniforms, e.uniforms_pitch, row, c) : 0.0f;
        }
      } else {
        const PhiloxWords w =
            philox(e.key0, e.key1, static_cast<uint32_t>(e.first_node + row), e.round, e.stream, base / 4 + lane);
        KITH_UNROLL
        for (int p = 0; p < kPackets; p++) {
          const int from = p * (kWarp / 4) + static_cast<int>(lane) / 4;
          uint32_t word = 0;
          KITH_UNROLL
          for (int k = 0; k < 4; k++) {
            const uint32_t there = __shfl_sync(kAll, w.v[k], from);
            word = lane % 4 == static_cast<unsigned>(k) ? there : word;
          }
          u[p] = uniform_of(word);
        }
      }
    }
    const int64_t block = base / code.block;
    const int64_t offset = base - block * code.block;
    bool bad = false;
    KITH_UNROLL
    for (int p = 0; p < kPackets; p++) {
      const int64_t c = base + p * kPacket + lane;
      const bool inside = c < code.cols;
      Scale scale = {0.0f, 0.0f, 0.0f, true};
      if (Coder::kScaled && inside) {
        const int64_t beyond = offset + p * kPacket + lane;
        const int64_t further =
            beyond < code.block ? 0
            : code.block >= kSpan
                ? 1
                : static_cast<int64_t>(static_cast<uint32_t>(beyond) / static_cast<uint32_t>(code.block));
        scale = scale_from(code, message, block + further);
      }
      int32_t q = 0;
      if (inside && scale.live) q = Coder::code(v[p], scale, u[p]);
      if (inside) {
        const float decoded = Coder::decode(q, scale);
        if (!Coder::kScaled) bad |= not_finite(Coder::kBits == 16 ? decoded : v[p]);
        if (e.residual != nullptr) {
          reinterpret_cast<float*>(e.residual + row * e.residual_pitch)[c] = v[p] - decoded;
        }
      }
      uint32_t* const codes = reinterpret_cast<uint32_t*>(message) + code.scale_words;
      if constexpr (Coder::kBits == 9) {
        put<1>(codes, c, code.cols, q >> 8, lane);
        put<8>(codes + (code.cols + 31) / 32, c, code.cols, q, lane);
      } else {
        put<Coder::kBits>(codes, c, code.cols, q, lane);
      }
    }
    if (!Coder::kScaled && __any_sync(kAll, bad) && lane == 0) raise(e, row);
  }
}

/* ---- accumulate ---------------------------------------------------------------------------------------------------- */

struct Summing {
  QuantizeCode code;
  const unsigned char* messages;
  const unsigned char* halo;
  unsigned char* y;
  int64_t messages_pitch; /* bytes, as the others */
  int64_t halo_pitch;
  int64_t y_pitch;
  int64_t message_rows;
  int64_t rows;           /* of W */
  const int64_t* offsets; /* NULL: the identity */
  const Weight<float>* entries;
  const int32_t* used;        /* NULL: all columns */
  const int32_t* output_rows; /* NULL: row r */
  int32_t from_zero;
  int32_t aligned; /* rows of y begin on 16 bytes */
};

// Four codes from column c on, a multiple of 4; bits beyond the message are not read.
template <class Coder>
KITH_DEVICE void take(const QuantizeCode& code, const unsigned char* message, int64_t c, int32_t (&q)[kQuad]) {
  const uint32_t* const codes = reinterpret_cast<const uint32_t*>(message) + code.scale_words;
  if constexpr (Coder::kBits == 9) {
    const uint32_t signs = codes[c / 32] >> (c % 32);
    const uint32_t exponents = codes[(code.cols + 31) / 32 + c / 4];
    for (int k = 0; k < kQuad; k++) {
      q[k] = static_cast<int32_t>((signs >> k & 1u) << 8 | (exponents >> 8 * k & 255u));
    }
  } else if constexpr (Coder::kBits == 16) {
    const uint32_t low = codes[c / 2];
    const uint32_t high = c + 2 < code.cols ? codes[c / 2 + 1] : 0u;
    q[0] = static_cast<int32_t>(low & 0xffffu);
    q[1] = static_cast<int32_t>(low >> 16);
    q[2] = static_cast<int32_t>(high & 0xffffu);
    q[3] = static_cast<int32_t>(high >> 16);
  } else {
    constexpr int kEach = 32 / Coder::kBits;
    const uint32_t word = codes[c / kEach] >> (c % kEach * Coder::kBits);
    for (int k = 0; k < kQuad; k++) {
      const uint32_t top = word >> k * Coder::kBits << (32 - Coder::kBits);
      q[k] = Coder::kSigned ? static_cast<int32_t>(top) >> (32 - Coder::kBits)
                            : static_cast<int32_t>(top >> (32 - Coder::kBits));
    }
  }
}

template <class Coder>
KITH_KERNEL(kThreads)
void accumulate(Summing s) {
  const QuantizeCode& code = s.code;
  const int64_t quads = (code.cols + kQuad - 1) / kQuad;
  for (int64_t quad = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; quad < quads;
       quad += static_cast<int64_t>(gridDim.x) * kThreads) {
    const int64_t c = quad * kQuad;
    const int n = static_cast<int>(smaller(kQuad, code.cols - c));
    int64_t block = 0, inside = 0;
    if (Coder::kScaled) {
      block = c / code.block;
      inside = c - block * code.block;
    }
    const bool one_block = !Coder::kScaled || code.block - inside >= n;
    for (int64_t r = blockIdx.y; r < s.rows; r += gridDim.y) {
      const int64_t out = s.output_rows == nullptr ? r : s.output_rows[r];
      float* const y = reinterpret_cast<float*>(s.y + out * s.y_pitch) + c;
      const bool whole = s.aligned != 0 && n == kQuad;
      float a[kQuad] = {};
      if (s.from_zero == 0) {
        if (whole) {
          const Pack<float, kQuad> in = load_pack<kQuad>(y);
          for (int k = 0; k < kQuad; k++) a[k] = in.v[k];
        } else {
          for (int k = 0; k < n; k++) a[k] = y[k];
        }
      }
      const int64_t first = s.offsets == nullptr ? 0 : s.offsets[r];
      const int64_t last = s.offsets == nullptr ? 1 : s.offsets[r + 1];
      for (int64_t i = first; i < last; i++) {
        float w = 1.0f;  // fma(1, m, a) = a + m
        int64_t j = r;
        if (s.offsets != nullptr) {
          const Weight<float> entry = s.entries[i];
          w = entry.value;
          j = s.used == nullptr ? entry.slot : s.used[entry.slot];
        }
        const unsigned char* const message =
            j < s.message_rows ? s.messages + j * s.messages_pitch : s.halo + (j - s.message_rows) * s.halo_pitch;
        int32_t q[kQuad];
        take<Coder>(code, message, c, q);
        Scale scale = {0.0f, 0.0f, 0.0f, true};
        if (Coder::kScaled) scale = scale_from(code, message, block);
        for (int k = 0; k < n; k++) {
          if (!one_block) scale = scale_from(code, message, block + (inside + k) / code.block);
          a[k] = fused(w, Coder::decode(q[k], scale), a[k]);
        }
      }
      if (whole) {
        Pack<float, kQuad> result;
        for (int k = 0; k < kQuad; k++) result.v[k] = a[k];
        store_pack<kQuad>(y, result);
      } else {
        for (int k = 0; k < n; k++) y[k] = a[k];
      }
    }
  }
}

/* ---- majority ------------------------------------------------------------------------------------------------------ */

constexpr int kPlanes = 32;

struct Vote {
  const unsigned char* messages;
  uint32_t* out;
  int64_t pitch; /* bytes */
  int64_t rows;
  int64_t cols;
  int64_t words;
  int32_t planes; /* bits of the number of rows */
  int32_t reserved;
};

// a + b + c, bit by bit.
KITH_DEVICE uint32_t add3(uint32_t a, uint32_t b, uint32_t c, uint32_t* carry) {
  const uint32_t half = a ^ b;
  *carry = (a & b) | (half & c);
  return half ^ c;
}

KITH_KERNEL(kThreads) void majority(Vote vote) {
  const int64_t needed = vote.rows / 2 + vote.rows % 2;
  for (int64_t w = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; w < vote.words;
       w += static_cast<int64_t>(gridDim.x) * kThreads) {
    uint32_t planes[kPlanes] = {};
    for (int64_t r = 0; r < vote.rows; r += 8) {
      uint32_t in[8];
      KITH_UNROLL
      for (int k = 0; k < 8; k++) {
        in[k] = r + k < vote.rows ? reinterpret_cast<const uint32_t*>(vote.messages + (r + k) * vote.pitch)[w] : 0u;
      }
      uint32_t twos[4], fours[2], carry;
      planes[0] = add3(planes[0], in[0], in[1], &twos[0]);
      planes[0] = add3(planes[0], in[2], in[3], &twos[1]);
      planes[0] = add3(planes[0], in[4], in[5], &twos[2]);
      planes[0] = add3(planes[0], in[6], in[7], &twos[3]);
      planes[1] = add3(planes[1], twos[0], twos[1], &fours[0]);
      planes[1] = add3(planes[1], twos[2], twos[3], &fours[1]);
      planes[2] = add3(planes[2], fours[0], fours[1], &carry);
      KITH_UNROLL
      for (int p = 3; p < kPlanes; p++) {
        if (p < vote.planes) {
          const uint32_t both = planes[p] & carry;
          planes[p] ^= carry;
          carry = both;
        }
      }
    }
    uint32_t above = 0, equal = ~0u;
    KITH_UNROLL
    for (int p = kPlanes - 1; p >= 0; p--) {
      const uint32_t wanted = (needed >> p & 1) != 0 ? ~0u : 0u;
      above |= equal & planes[p] & ~wanted;
      equal &= ~(planes[p] ^ wanted);
    }
    const int64_t left = vote.cols - w * 32;
    vote.out[w] = (above | equal) & (left < 32 ? (1u << left) - 1u : ~0u);
  }
}

int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }
int64_t pitch_of(const Matrix& m) { return m.stride * m.element_bytes(); }

void launch_measure(Entry& entry, const Encoding& e) {
  const unsigned blocks = entry.grid(cut_into(e.rows * e.row_chunks, kThreads / kTreeLanes), kPerMultiprocessor);
  const auto launch = [&](void (*kernel)(Encoding)) {
    entry.launched(KITH_LAUNCH(kernel, blocks, kThreads, 0, entry.stream(), e));
  };
  switch (e.code.kind) {
    case KITH_CODE_QSGD:
      return launch(e.code.norm == KITH_NORM_TWO ? measure<kSquares> : measure<kLargest>);
    case KITH_CODE_ABSMAX:
      return launch(measure<kLargest>);
    case KITH_CODE_SCALED_SIGN:
      return launch(measure<kAbsolute>);
    case KITH_CODE_ONE_BIT:
      return launch(measure<kMeans>);
    default:
      return launch(measure<kExtremes>);
  }
}

void launch_encode(Entry& entry, const Encoding& e) {
  const int64_t spans = cut_into(e.code.cols, kSpan);
  const unsigned blocks = entry.grid(cut_into(e.rows * spans, kThreads / kWarp), kPerMultiprocessor);
  const auto launch = [&](void (*kernel)(Encoding)) {
    entry.launched(KITH_LAUNCH(kernel, blocks, kThreads, 0, entry.stream(), e));
  };
  const bool random = e.code.stochastic != 0;
  switch (e.code.kind) {
    case KITH_CODE_QSGD:
      return launch(e.code.bits == 2 ? encode<Qsgd<2>> : e.code.bits == 4 ? encode<Qsgd<4>> : encode<Qsgd<8>>);
    case KITH_CODE_ABSMAX:
      if (e.code.bits == 4) return launch(random ? encode<RandomLevels<4>> : encode<Levels<4>>);
      return launch(random ? encode<RandomLevels<8>> : encode<Levels<8>>);
    case KITH_CODE_AFFINE:
      return launch(encode<Affine>);
    case KITH_CODE_ONE_BIT:
    case KITH_CODE_SCALED_SIGN:
      return launch(encode<Means>);
    case KITH_CODE_SIGN:
      return launch(encode<Sign>);
    case KITH_CODE_NATURAL:
      return launch(encode<Natural>);
    case KITH_CODE_BF16:
      return launch(random ? encode<ShortFloat<true>> : encode<ShortFloat<false>>);
    case KITH_CODE_E4M3:
      return launch(random ? encode<E4m3<true>> : encode<E4m3<false>>);
    default:
      return launch(random ? encode<E5m2<true>> : encode<E5m2<false>>);
  }
}

void launch_accumulate(Entry& entry, const Summing& s) {
  const int64_t across = cut_into(cut_into(s.code.cols, kQuad), kThreads);
  const unsigned blocks = entry.grid(across, kPerMultiprocessor);
  const int64_t wanted = entry.multiprocessors() * kPerMultiprocessor / static_cast<int64_t>(blocks) + 1;
  const unsigned down = static_cast<unsigned>(s.rows < wanted ? s.rows : wanted);
  const auto launch = [&](void (*kernel)(Summing)) {
    entry.launched(KITH_LAUNCH(kernel, dim3(blocks, down), kThreads, 0, entry.stream(), s));
  };
  switch (s.code.kind) {
    case KITH_CODE_QSGD:
    case KITH_CODE_ABSMAX:
      return launch(s.code.bits == 2   ? accumulate<Levels<2>>
                    : s.code.bits == 4 ? accumulate<Levels<4>>
                                       : accumulate<Levels<8>>);
    case KITH_CODE_AFFINE:
      return launch(accumulate<Affine>);
    case KITH_CODE_ONE_BIT:
    case KITH_CODE_SCALED_SIGN:
      return launch(accumulate<Means>);
    case KITH_CODE_SIGN:
      return launch(accumulate<Sign>);
    case KITH_CODE_NATURAL:
      return launch(accumulate<Natural>);
    case KITH_CODE_BF16:
      return launch(accumulate<ShortFloat<false>>);
    case KITH_CODE_E4M3:
      return launch(accumulate<E4m3<false>>);
    default:
      return launch(accumulate<E5m2<false>>);
  }
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_quantize(kith_queue* queue, const kith_code* code, const kith_draw* draw, const kith_matrix* x,
                          const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* messages,
                          const kith_matrix* flags, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_quantize");
  QuantizeOperands operands;
  if (!check_quantize(entry, code, draw, x, minus, residual, messages, flags, &operands)) return entry.status();
  Encoding e = {};
  e.code = operands.code;
  e.rows = operands.x.rows;
  if (e.rows == 0 || e.code.cols == 0) return entry.finish();
  e.x = operands.x.data;
  e.x_pitch = pitch_of(operands.x);
  e.minus = operands.minus.data;
  e.minus_pitch = pitch_of(operands.minus);
  e.uniforms = operands.uniforms.data;
  e.uniforms_pitch = pitch_of(operands.uniforms);
  e.residual = operands.residual.data;
  e.residual_pitch = pitch_of(operands.residual);
  e.messages = operands.messages.data;
  e.messages_pitch = pitch_of(operands.messages);
  e.flags = reinterpret_cast<int32_t*>(operands.flags.data);
  e.key0 = operands.key0;
  e.key1 = operands.key1;
  e.round = operands.round;
  e.first_node = operands.first_node;
  e.stream = operands.stream;
  if (e.code.scales > 0) {
    e.block_chunks = cut_into(e.code.block, kChunk);
    const int64_t last = e.code.cols - (e.code.blocks - 1) * e.code.block;
    e.row_chunks = (e.code.blocks - 1) * e.block_chunks + cut_into(last, kChunk);
    if (e.block_chunks > 1) {
      const int64_t parts = e.rows * e.row_chunks;
      e.parts = static_cast<QuantizePart*>(entry.scratch(2 * parts * static_cast<int64_t>(sizeof(QuantizePart))));
      if (e.parts == nullptr) return entry.status();
      e.other = e.parts + parts;
    }
    launch_measure(entry, e);
    if (e.parts != nullptr) {
      const unsigned blocks = entry.grid(e.rows * e.code.blocks, kPerMultiprocessor);
      entry.launched(KITH_LAUNCH(settle, blocks, kThreads, 0, entry.stream(), e));
    }
  }
  launch_encode(entry, e);
  return entry.finish();
}

kith_status kith_quantize_accumulate(kith_queue* queue, const kith_weights* weights, const kith_code* code,
                                     const kith_matrix* messages, const kith_matrix* halo, int32_t add,
                                     const kith_matrix* y, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_quantize_accumulate");
  QuantizeSumOperands operands;
  if (!check_quantize_accumulate(entry, weights, code, messages, halo, add, y, &operands)) return entry.status();
  Summing s = {};
  s.code = operands.code;
  s.messages = operands.messages.data;
  s.messages_pitch = pitch_of(operands.messages);
  s.message_rows = operands.messages.rows;
  s.halo = operands.halo.data;
  s.halo_pitch = pitch_of(operands.halo);
  s.y = operands.y.data;
  s.y_pitch = pitch_of(operands.y);
  s.rows = operands.y.rows;
  if (weights != nullptr) {
    const CudaWeights* const w = static_cast<const CudaWeights*>(weights);
    if (w->dense) return entry.fail(KITH_UNSUPPORTED, "the weights are dense; messages are summed with sparse ones");
    entry.use(w->memory);
    s.rows = w->rows;
    s.offsets = w->offsets;
    s.entries = static_cast<const Weight<float>*>(w->links[0]);
    s.used = w->used;
    s.output_rows = w->output_rows;
  }
  if (s.rows == 0 || s.code.cols == 0) return entry.finish();
  s.from_zero = add == 0 ? 1 : 0;
  s.aligned = reinterpret_cast<uintptr_t>(s.y) % 16 == 0 && (operands.y.rows <= 1 || s.y_pitch % 16 == 0) ? 1 : 0;
  launch_accumulate(entry, s);
  return entry.finish();
}

kith_status kith_sign_majority(kith_queue* queue, const kith_matrix* messages, int64_t cols, const kith_matrix* out,
                               kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_sign_majority");
  Matrix from, to;
  if (!check_majority(entry, messages, cols, out, &from, &to)) return entry.status();
  Vote vote = {};
  vote.words = cut_into(cols, 32);
  if (vote.words == 0) return entry.finish();
  vote.messages = from.data;
  vote.out = reinterpret_cast<uint32_t*>(to.data);
  vote.pitch = pitch_of(from);
  vote.rows = from.rows;
  vote.cols = cols;
  vote.planes = 3;
  while (vote.planes < kPlanes && (vote.rows >> vote.planes) > 0) vote.planes++;
  const unsigned blocks = entry.grid(cut_into(vote.words, kThreads), kPerMultiprocessor);
  entry.launched(KITH_LAUNCH(majority, blocks, kThreads, 0, entry.stream(), vote));
  return entry.finish();
}

}  // extern "C"
