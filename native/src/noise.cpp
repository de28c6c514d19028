/*
 * noise: y(i) = [y(i) +] sum_k c_ik z_k, rows z_k of random numbers that are made where they are summed.
 *
 * Words by Philox4x32-10 or ChaCha20 (words.hpp), at most 256 at a time; normals and Laplace numbers by the inverse of
 * their distribution functions in f64, one word each (normal.hpp). Without W a row is drawn and stored in strips. With W
 * the z of a tile of columns are made once, in cache, and all rows of y that W writes take their sums from there, by fma
 * in stored order; rows of a dense W four at a time.
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

constexpr int64_t kStrip = 256;   // of a row at a time
constexpr int64_t kSigns = 1024;  // columns of 32 words of signs
static_assert(kStrip == kWords && kStrip <= kNormals);

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t up_to_grain(int64_t n) { return (n + kNoiseGrain - 1) / kNoiseGrain * kNoiseGrain; }

/* Bit i of the words: 1 or -1 at z[i], n a multiple of kNoiseGrain. */
KITH_INLINE void signs(const uint32_t* words, int64_t n, float* z) {
  constexpr int L = kLanes<float>;
  Bits<float> bit;
  for (int l = 0; l < L; l++) bit[l] = 1u << l;
  for (int64_t c = 0; c < n; c += 32) {
    const Bits<float> word = Bits<float>{} + words[c / 32];
#pragma GCC unroll 8
    for (int g = 0; g < 32; g += L) {
      const Bits<float> set = bit_cast<Bits<float>>((word >> g & bit) == bit);
      store_bytes(z + c + g, (set & 0x80000000u) | 0x3f800000u);
    }
  }
}

/* z of one source for columns [begin, begin + n), begin a multiple of kNoiseGrain; n is rounded up to that. */
__attribute__((noinline)) void draw(const NoiseTask& task, const NoiseKey& key, int64_t begin, int64_t n, float* z) {
  uint32_t words[kWords];
  if (task.distribution == KITH_RADEMACHER) {
    /* From a multiple of 32 words on, where generators start. */
    for (int64_t c = begin / kSigns * kSigns; c < begin + n; c += kSigns) {
      const int64_t from = c < begin ? begin : c;
      const int64_t to = least(c + kSigns, begin + up_to_grain(n));
      random_words(task.generator, key, c / 32, kSigns / 32, words);
      signs(words + (from - c) / 32, to - from, z + (from - begin));
    }
    return;
  }
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

template <class T>
void scaled_row(const NoiseTask& task, int64_t row, int64_t begin, int64_t end) {
  T* const y = reinterpret_cast<T*>(task.y + row * task.pitch);
  const Vec<T> s = broadcast(static_cast<T>(task.scale));
  const int64_t step = task.distribution == KITH_RADEMACHER ? kSigns : kStrip;
  float z[kSigns];
  for (int64_t c = begin; c < end; c += step) {
    const int64_t n = least(step, end - c);
    draw(task, task.keys[row], c, n, z);
    for_shapes<T, 4>(
        0, n, [&](auto shape, int64_t i) __attribute__((always_inline)) {
          Vec<T> v[shape.count], a[shape.count];
          shape.load(z + i, v);
          if (task.add != 0) {
            shape.load(y + c + i, a);
            for (int u = 0; u < shape.count; u++) a[u] = fma(s, v[u], a[u]);
          } else {
            for (int u = 0; u < shape.count; u++) a[u] = s * v[u];
          }
          if (task.streaming != 0) {
            shape.stream(y + c + i, a);
          } else {
            shape.store(y + c + i, a);
          }
        });
  }
  if (task.streaming != 0) stream_fence();
}

/* R rows of y over n columns; entry k of row r has the factor k * R + r and the row columns[k] of z, or k. */
template <class T, int R, int U>
KITH_INLINE void sum_rows(T* const (&y)[R], bool add, const float* z, int64_t pitch, const int32_t* columns,
                          int64_t entries, const T* factors, int64_t n) {
  for_shapes<T, U>(
      0, n, [&](auto shape, int64_t c) __attribute__((always_inline)) {
        Vec<T> a[R][shape.count], v[shape.count];
        for (int r = 0; r < R; r++) {
          if (add) {
            shape.load(y[r] + c, a[r]);
          } else {
            for (int u = 0; u < shape.count; u++) a[r][u] = Vec<T>{};
          }
        }
        for (int64_t k = 0; k < entries; k++) {
          shape.load(z + (columns != nullptr ? columns[k] : k) * pitch + c, v);
          for (int r = 0; r < R; r++) {
            const Vec<T> factor = broadcast(factors[k * R + r]);
            for (int u = 0; u < shape.count; u++) a[r][u] = fma(factor, v[u], a[r][u]);
          }
        }
        for (int r = 0; r < R; r++) shape.store(y[r] + c, a[r]);
      });
}

template <class T>
void sums(const NoiseTask& task, int64_t begin, int64_t end, float* z, void* factor_space) {
  constexpr int64_t R = kNoiseRows;
  const int64_t pitch = noise_pitch(task.tile);
  T* const factors = static_cast<T*>(factor_space);
  for (int64_t c = begin; c < end; c += task.tile) {
    const int64_t n = least(task.tile, end - c);
    for (int64_t k = 0; k < task.count; k++) draw(task, task.keys[k], c, n, z + k * pitch);
    const auto row = [&](int64_t i) {
      const int64_t out = task.output_rows != nullptr ? task.output_rows[i] : i;
      return reinterpret_cast<T*>(task.y + out * task.pitch) + c;
    };
    int64_t i = 0;
    if (task.offsets == nullptr) {
      for (; i + R <= task.rows; i += R) {
        const double* const w = task.values + i * task.count;
        for (int64_t k = 0; k < task.count; k++) {
          for (int64_t r = 0; r < R; r++) factors[k * R + r] = static_cast<T>(task.scale * w[r * task.count + k]);
        }
        T* const y[R] = {row(i), row(i + 1), row(i + 2), row(i + 3)};
        sum_rows<T, R, 2>(y, task.add != 0, z, pitch, nullptr, task.count, factors, n);
      }
    }
    for (; i < task.rows; i++) {
      const int64_t first = task.offsets != nullptr ? task.offsets[i] : i * task.count;
      const int64_t entries = task.offsets != nullptr ? task.offsets[i + 1] - first : task.count;
      for (int64_t k = 0; k < entries; k++) factors[k] = static_cast<T>(task.scale * task.values[first + k]);
      T* const y[1] = {row(i)};
      sum_rows<T, 1, 4>(y, task.add != 0, z, pitch, task.offsets != nullptr ? task.columns + first : nullptr, entries,
                        factors, n);
    }
  }
}

}  // namespace

extern const NoiseKernels noise_kernels;
const NoiseKernels noise_kernels = {words_row, {scaled_row<float>, scaled_row<double>}, {sums<float>, sums<double>}};

}  // namespace kith::KITH_TIER
