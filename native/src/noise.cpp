/*
 * noise: y(i) = [y(i) +] sum_k c_ik z_k, rows z_k of random numbers that are made where they are summed.
 *
 * Words by Philox4x32-10 or ChaCha20 (words.hpp), at most 256 at a time; normals and Laplace numbers by the inverse of
 * their distribution functions in f64, one word each (normal.hpp). Without W a row is drawn and stored in strips. With W
 * the z of a tile of columns are made once, in cache, and all rows of y that W writes take their sums from there, by fma
 * in stored order; rows of a dense W four at a time. Signs stay bits until they meet their factor: 8 elements of a product
 * take a byte, a row of a table of sign bits, an exclusive or and an addition.
 *
 * Sixteen directions of signs: 16 times 5 instructions for 8 elements and 2 cycles for 32 signs, four instructions a cycle:
 * 3.5 cycles an element on one core, 0.65 ns on two of 2.7 GHz. Kept as floats they took 9.
 *
 * Bytes per element: one write of y, and a read with add. Determinism: an element depends on its address alone and a sum
 * on the order of W, not on tiles. Supported range: columns up to 2^42. Sources: Salmon et al., SC 2011; RFC 8439.
 */
#include "noise.hpp"

#include "normal.hpp"
#include "tier.hpp"
#include "words.hpp"

namespace kith::KITH_TIER {

namespace {

constexpr int64_t kStrip = 256;          // of a row at a time
constexpr int64_t kSigns = 32 * kWords;  // columns whose signs are kWords words
static_assert(kStrip == kWords && kStrip <= kNormals && kNoiseSigns <= kSigns);

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t up_to_grain(int64_t n) { return (n + kNoiseGrain - 1) / kNoiseGrain * kNoiseGrain; }

#if !defined(__AVX512F__)
/* The sign bits that as many bits as a vector has lanes stand for; at most 8 KiB, which stay in the first-level cache. */
template <class T, class Word>
struct SignTable {
  alignas(kVectorBytes) Word of[1 << kLanes<T>][kLanes<T>];
  constexpr SignTable() : of() {
    for (int bits = 0; bits < 1 << kLanes<T>; bits++) {
      for (int l = 0; l < kLanes<T>; l++) of[bits][l] = static_cast<Word>(bits >> l & 1) << (8 * sizeof(Word) - 1);
    }
  }
};
constexpr SignTable<float, uint32_t> kFloatSigns{};
constexpr SignTable<double, uint64_t> kDoubleSigns{};
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
#endif

/* The sign bit in lanes whose element of a row of signs is -1, bit c mod 32 of word c / 32; c a multiple of kLanes<T>. */
template <class T>
KITH_INLINE Bits<T> signs_at(const uint32_t* words, int64_t c) {
#if defined(__AVX512F__)
  const uint32_t bits = words[c / 32] >> (c % 32);
  if constexpr (sizeof(T) == 4) {
    return bit_cast<Bits<T>>(_mm512_maskz_set1_epi32(static_cast<__mmask16>(bits), INT32_MIN));
  } else {
    return bit_cast<Bits<T>>(_mm512_maskz_set1_epi64(static_cast<__mmask8>(bits), INT64_MIN));
  }
#else
  unsigned bits = reinterpret_cast<const unsigned char*>(words)[c / 8];
  if constexpr (kLanes<T> < 8) bits = bits >> (c % 8) & ((1u << kLanes<T>)-1);
  if constexpr (sizeof(T) == 4) {
    return load_bytes<Bits<T>>(kFloatSigns.of[bits]);
  } else {
    return load_bytes<Bits<T>>(kDoubleSigns.of[bits]);
  }
#endif
}

/* a times the signs, which is exact. */
template <class T>
KITH_INLINE Vec<T> times_signs(Vec<T> a, Bits<T> signs) {
  return bit_cast<Vec<T>>(bit_cast<Bits<T>>(a) ^ signs);
}

/* z of one source for columns [begin, begin + n), begin a multiple of kNoiseGrain; n is rounded up to that. Not signs. */
__attribute__((noinline)) void draw(const NoiseTask& task, const NoiseKey& key, int64_t begin, int64_t n, float* z) {
  uint32_t words[kWords];
  for (int64_t c = 0; c < n; c += kStrip) {
    const int strip = static_cast<int>(least(kStrip, up_to_grain(n - c)));
    random_words(task.generator, key, begin + c, strip, words);
    switch (task.distribution) {
      case KITH_UNIFORM:
        for (int i = 0; i < strip; i += kLanes<float>) {
          store_bytes(z + c + i, uniforms_of(load_bytes<Bits<float>>(words + i)));
        }
        break;
      case KITH_NORMAL:
        normals(words, strip, z + c);
        break;
      default:
        laplaces(words, strip, z + c);
    }
  }
}

void words_row(const NoiseTask& task, int64_t row, int64_t begin, int64_t end) {
  unsigned char* const y = task.y + row * task.pitch;
  uint32_t words[kWords];
  for (int64_t c = begin; c < end; c += kStrip) {
    const int64_t n = least(kStrip, end - c);
    random_words(task.generator, task.keys[row], c, n, words);
    float* const out = reinterpret_cast<float*>(y) + c;
    if (task.streaming != 0 && n == kStrip) {
      for (int64_t i = 0; i < n; i += kLanes<float>) stream(out + i, load_bytes<Vec<float>>(words + i));
    } else {
      std::memcpy(out, words, static_cast<size_t>(n) * 4);
    }
  }
  if (task.streaming != 0) stream_fence();
}

/* The words of the signs of columns [begin, begin + n), n <= kSigns; begin a multiple of 1024. Up to kWords are written. */
KITH_INLINE void draw_signs(const NoiseTask& task, const NoiseKey& key, int64_t begin, int64_t n, uint32_t* words) {
  random_words(task.generator, key, begin / 32, (n + 31) / 32, words);
}

template <class T>
void scaled_row(const NoiseTask& task, int64_t row, int64_t begin, int64_t end) {
  T* const y = reinterpret_cast<T*>(task.y + row * task.pitch);
  const Vec<T> s = broadcast(static_cast<T>(task.scale));
  const bool add = task.add != 0, past = task.streaming != 0;
  const auto put = [&](auto shape, int64_t c, const Vec<T>* a) __attribute__((always_inline)) {
    if (past) {
      shape.stream(y + c, a);
    } else {
      shape.store(y + c, a);
    }
  };
  if (task.distribution == KITH_RADEMACHER) {
    uint32_t words[kWords];
    for (int64_t c = begin; c < end; c += kSigns) {
      const int64_t n = least(kSigns, end - c);
      draw_signs(task, task.keys[row], c, n, words);
      for_shapes<T, 4>(
          0, n, [&](auto shape, int64_t i) __attribute__((always_inline)) {
            Vec<T> a[shape.count];
            if (add) shape.load(y + c + i, a);
            for (int u = 0; u < shape.count; u++) {
              const Vec<T> v = times_signs<T>(s, signs_at<T>(words, i + u * kLanes<T>));
              a[u] = add ? a[u] + v : v;
            }
            put(shape, c + i, a);
          });
    }
  } else {
    float z[kStrip];
    for (int64_t c = begin; c < end; c += kStrip) {
      const int64_t n = least(kStrip, end - c);
      draw(task, task.keys[row], c, n, z);
      for_shapes<T, 4>(
          0, n, [&](auto shape, int64_t i) __attribute__((always_inline)) {
            Vec<T> v[shape.count], a[shape.count];
            shape.load(z + i, v);
            if (add) shape.load(y + c + i, a);
            for (int u = 0; u < shape.count; u++) a[u] = add ? fma(s, v[u], a[u]) : s * v[u];
            put(shape, c + i, a);
          });
    }
  }
  if (past) stream_fence();
}

/* The rows of z of a tile: numbers. */
template <class T>
struct Numbers {
  typedef Vec<T> V;
  static constexpr int kAlone = 4; /* vectors of a row that is summed alone */
  const float* z;
  int64_t pitch;
  template <class Shape>
  KITH_INLINE void load(const Shape& shape, int64_t k, int64_t c, V* v) const {
    shape.load(z + k * pitch + c, v);
  }
  static KITH_INLINE Vec<T> added(Vec<T> factor, V v, Vec<T> a) { return fma(factor, v, a); }
};

/* And signs, as words: 1/32 of the bytes, and for each product an exclusive or. The sum is that of the fma, since the
   product is exact. */
template <class T>
struct Signs {
  typedef Bits<T> V;
  static constexpr int kAlone = 8;
  const uint32_t* words;
  int64_t pitch;
  template <class Shape>
  KITH_INLINE void load(const Shape& shape, int64_t k, int64_t c, V* v) const {
#pragma GCC unroll 8
    for (int u = 0; u < shape.count; u++) v[u] = signs_at<T>(words + k * pitch, c + u * kLanes<T>);
  }
  static KITH_INLINE Vec<T> added(Vec<T> factor, V v, Vec<T> a) { return a + times_signs<T>(factor, v); }
};

/* R rows of y over n columns; entry k of row r has the factor k * R + r and the row columns[k] of z, or k. */
template <class T, int R, int U, class Z>
KITH_INLINE void sum_rows(T* const (&y)[R], bool add, const Z& z, const int32_t* columns, int64_t entries,
                          const T* factors, int64_t n) {
  for_shapes<T, U>(
      0, n, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<T> a[R][shape.count];
        typename Z::V v[shape.count];
        for (int r = 0; r < R; r++) {
          if (add) {
            shape.load(y[r] + c, a[r]);
          } else {
            for (int u = 0; u < shape.count; u++) a[r][u] = Vec<T>{};
          }
        }
        for (int64_t k = 0; k < entries; k++) {
          z.load(shape, columns != nullptr ? columns[k] : k, c, v);
          for (int r = 0; r < R; r++) {
            const Vec<T> factor = broadcast(factors[k * R + r]);
            for (int u = 0; u < shape.count; u++) a[r][u] = Z::added(factor, v[u], a[r][u]);
          }
        }
        for (int r = 0; r < R; r++) shape.store(y[r] + c, a[r]);
      });
}

/* Rows of W over n columns whose z are made. The i-th of them is row of(i) of W, and has its columns at row(i). */
template <class T, class Z, class Row>
KITH_INLINE void sum_tile(const NoiseTask& task, const Z& z, int64_t n, T* factors, Row row) {
  constexpr int64_t R = kNoiseRows;
  const auto of = [&](int64_t i) { return task.taken != nullptr ? task.taken[i] : i; };
  int64_t i = 0;
  if (task.offsets == nullptr) {
    for (; i + R <= task.rows; i += R) {
      for (int64_t r = 0; r < R; r++) {
        const double* const w = task.values + of(i + r) * task.count;
        for (int64_t k = 0; k < task.count; k++) factors[k * R + r] = static_cast<T>(task.scale * w[k]);
      }
      T* const y[R] = {row(i), row(i + 1), row(i + 2), row(i + 3)};
      sum_rows<T, R, 2>(y, task.add != 0, z, nullptr, task.count, factors, n);
    }
  }
  for (; i < task.rows; i++) {
    const int64_t first = task.offsets != nullptr ? task.offsets[of(i)] : of(i) * task.count;
    const int64_t entries = task.offsets != nullptr ? task.offsets[of(i) + 1] - first : task.count;
    for (int64_t k = 0; k < entries; k++) factors[k] = static_cast<T>(task.scale * task.values[first + k]);
    T* const y[1] = {row(i)};
    sum_rows<T, 1, Z::kAlone>(y, task.add != 0, z, task.offsets != nullptr ? task.columns + first : nullptr, entries,
                              factors, n);
  }
}

template <class T>
void sums(const NoiseTask& task, int64_t begin, int64_t end, void* z_space, void* factor_space) {
  T* const factors = static_cast<T*>(factor_space);
  for (int64_t c = begin; c < end; c += task.tile) {
    const int64_t n = least(task.tile, end - c);
    const auto row = [&](int64_t i) {
      const int64_t out = task.output_rows != nullptr ? task.output_rows[i] : i;
      return reinterpret_cast<T*>(task.y + out * task.pitch) + c;
    };
    if (task.distribution == KITH_RADEMACHER) {
      uint32_t* const words = static_cast<uint32_t*>(z_space);
      for (int64_t k = 0; k < task.count; k++) {
        uint32_t drawn[kWords];
        draw_signs(task, task.keys[k], c, n, drawn);
        std::memcpy(words + k * task.z_pitch, drawn, static_cast<size_t>(n + 31) / 32 * 4);
      }
      sum_tile<T>(task, Signs<T>{words, task.z_pitch}, n, factors, row);
    } else {
      float* const z = static_cast<float*>(z_space);
      for (int64_t k = 0; k < task.count; k++) draw(task, task.keys[k], c, n, z + k * task.z_pitch);
      sum_tile<T>(task, Numbers<T>{z, task.z_pitch}, n, factors, row);
    }
  }
}

void draw_source(const NoiseTask& task, int64_t k, int64_t begin, int64_t n, float* z) {
  if (task.distribution != KITH_RADEMACHER) return draw(task, task.keys[k], begin, n, z);
  const int64_t end = begin + up_to_grain(n);
  uint32_t words[kWords];
  for (int64_t c = begin; c < end;) {
    /* Generators start at a multiple of 32 words. */
    const int64_t from = c / 1024 * 1024;
    const int64_t to = least(from + 1024, end);
    random_words(task.generator, task.keys[k], from / 32, 32, words);
    for (; c < to; c += kLanes<float>) {
      store_bytes(z + (c - begin), times_signs<float>(broadcast(1.0f), signs_at<float>(words, c - from)));
    }
  }
}

template <class T>
void add_scaled(const NoiseTask& task, const float* z, int64_t n, void* to) {
  const T factor = static_cast<T>(task.scale);
  T* const y[1] = {static_cast<T*>(to)};
  sum_rows<T, 1, 4>(y, true, Numbers<T>{z, 0}, nullptr, 1, &factor, n);
}

template <class T>
void add_tile(const NoiseTask& task, const float* z, int64_t n, unsigned char* y, int64_t pitch, void* factors) {
  sum_tile<T>(task, Numbers<T>{z, task.z_pitch}, n, static_cast<T*>(factors),
              [&](int64_t i) { return reinterpret_cast<T*>(y + i * pitch); });
}

}  // namespace

extern const NoiseKernels noise_kernels;
const NoiseKernels noise_kernels = {
    words_row,
    {scaled_row<float>, scaled_row<double>},
    draw_source,
    {add_scaled<float>, add_scaled<double>},
    {add_tile<float>, add_tile<double>},
    {sums<float>, sums<double>},
};

}  // namespace kith::KITH_TIER
