/*
 * Dense products without a BLAS, and the passes of a model, per tier.
 *
 *   multiply       c = alpha a b + beta c for one panel: a and b are packed in slices of 256 inner indices, a tile of
 *                  kTileRows x 2 vectors of c stays in registers. Bits: each element is one chain over ascending p per
 *                  slice, so they depend on the slices only; tiers with fma fuse, the others round twice. A symmetric
 *                  product takes the panels of 192 x 192 on and below the diagonal only, and is mirrored panel by panel.
 *   bias_activate  8 B/element (f32), in place
 *   bias_backward  RELU 12 B/element, identity 4 B/element; sums run over ascending rows
 *   softmax        4 B/element read, 4 written where a gradient is wanted; the row lies in the cache for its three passes
 *   softmax_curvature  8 B/element read, 4 written, in place; exponentials are made twice instead of stored
 *
 * exp and log are made of IEEE additions, products and divisions, without fma, so softmax gives the same bits on every
 * tier. The sum of a row has 16 lanes (column c in lane c mod 16) that fold 8, 4, 2, 1.
 */
#include "product.hpp"

#include "tier.hpp"

namespace kith::KITH_TIER {

namespace {

/* ---- plain product ------------------------------------------------------------------------------------------------ */

// 16 registers: 12 sums, 2 vectors of b, 1 of a. 32 registers: 24 sums.
constexpr int kTileRows = kVectorBytes == 64 ? 12 : 6;
constexpr int kTileVectors = 2;
template <class T>
constexpr int kTileColumns = kTileVectors* kLanes<T>;
constexpr int64_t kSlice = 256;
static_assert(kPanelRows % kTileRows == 0);
static_assert(kPanelColumns % kTileColumns<float> == 0);

template <class T>
KITH_INLINE Vec<T> multiply_add(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__FMA__)
  return fma(a, b, c);
#else
  return a * b + c;
#endif
}

// Strips of `width` rows: element (i, p) at packed[i / width * width * k + p * width + i % width], zero beyond `rows`.
template <class T, int width>
void pack(T* packed, const T* from, int64_t rows, int64_t k, int64_t row_step, int64_t step) {
  for (int64_t first = 0; first < rows; first += width, packed += width * k) {
    const int64_t count = rows - first < width ? rows - first : width;
    const T* source = from + first * row_step;
    if (count < width) {
      for (int64_t p = 0; p < k; p++) {
        for (int64_t i = 0; i < width; i++) packed[p * width + i] = i < count ? source[i * row_step + p * step] : T(0);
      }
    } else if (row_step == 1) {
      for (int64_t p = 0; p < k; p++) std::memcpy(packed + p * width, source + p * step, width * sizeof(T));
    } else {
      for (int64_t p = 0; p < k; p++) {
#pragma GCC unroll 16
        for (int i = 0; i < width; i++) packed[p * width + i] = source[i * row_step + p * step];
      }
    }
  }
}

// sums = a strip of a times a strip of b.
template <class T>
KITH_INLINE void tile(const T* a, const T* b, int64_t k, Vec<T> (&sums)[kTileRows][kTileVectors]) {
  Vec<T> sum[kTileRows][kTileVectors] = {};
  for (int64_t p = 0; p < k; p++) {
    const Vec<T> b0 = load<T, T>(b);
    const Vec<T> b1 = load<T, T>(b + kLanes<T>);
#pragma GCC unroll 12
    for (int i = 0; i < kTileRows; i++) {
      const Vec<T> x = broadcast<T>(a[i]);
      sum[i][0] = multiply_add<T>(x, b0, sum[i][0]);
      sum[i][1] = multiply_add<T>(x, b1, sum[i][1]);
    }
    a += kTileRows;
    b += kTileColumns<T>;
  }
#pragma GCC unroll 12
  for (int i = 0; i < kTileRows; i++) {
    sums[i][0] = sum[i][0];
    sums[i][1] = sum[i][1];
  }
}

template <class T>
KITH_INLINE Vec<T> updated(Vec<T> sum, Vec<T> alpha, Vec<T> beta, bool read, const T* c, int64_t count) {
  const Vec<T> product = alpha * sum;
  if (!read) return product;
  return multiply_add<T>(beta, count == kLanes<T> ? load<T, T>(c) : load_partial<T, T>(c, count), product);
}

template <class T>
void multiply(const MultiplyTask& task, void* scratch) {
  T* const packed_a = static_cast<T*>(scratch);
  T* const packed_b = packed_a + kPanelRows * kSlice;
  const T* const a = static_cast<const T*>(task.a);
  const T* const b = static_cast<const T*>(task.b);
  T* const c = static_cast<T*>(task.c);
  const Vec<T> alpha = broadcast<T>(static_cast<T>(task.alpha));
  int64_t done = 0;
  do {
    const int64_t k = task.k - done < kSlice ? task.k - done : kSlice;
    pack<T, kTileRows>(packed_a, a + done * task.a_column, task.m, k, task.a_row, task.a_column);
    pack<T, kTileColumns<T>>(packed_b, b + done * task.b_row, task.n, k, task.b_column, task.b_row);
    const Vec<T> beta = broadcast<T>(done == 0 ? static_cast<T>(task.beta) : T(1));
    const bool read = done > 0 || task.beta != 0;
    for (int64_t j = 0; j < task.n; j += kTileColumns<T>) {
      for (int64_t i = 0; i < task.m; i += kTileRows) {
        Vec<T> sums[kTileRows][kTileVectors];
        tile<T>(packed_a + i * k, packed_b + j * k, k, sums);
        for (int r = 0; r < kTileRows && i + r < task.m; r++) {
          for (int v = 0; v < kTileVectors; v++) {
            const int64_t column = j + v * kLanes<T>;
            T* const to = c + (i + r) * task.c_row + column;
            if (column + kLanes<T> <= task.n) {
              store<T, T>(to, updated<T>(sums[r][v], alpha, beta, read, to, kLanes<T>));
            } else if (column < task.n) {
              store_partial<T, T>(to, updated<T>(sums[r][v], alpha, beta, read, to, task.n - column), task.n - column);
            }
          }
        }
      }
    }
    done += k;
  } while (done < task.k);
}

int64_t multiply_scratch() { return (kPanelRows + kPanelColumns) * kSlice * 8; }

/* ---- bias and activation ------------------------------------------------------------------------------------------ */

template <class T, class F>
KITH_INLINE void over_columns(int64_t n, F step) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) step(i, static_cast<int64_t>(kLanes<T>));
  if (i < n) step(i, n - i);
}
template <class T>
KITH_INLINE Vec<T> get(const T* p, int64_t count) {
  return count == kLanes<T> ? load<T, T>(p) : load_partial<T, T>(p, count);
}
template <class T>
KITH_INLINE void put(T* p, Vec<T> v, int64_t count) {
  if (count == kLanes<T>) {
    store<T, T>(p, v);
  } else {
    store_partial<T, T>(p, v, count);
  }
}

template <class T>
void bias_activate(void* pointer, const void* bias_pointer, int64_t n, bool relu) {
  T* const h = static_cast<T*>(pointer);
  const T* const bias = static_cast<const T*>(bias_pointer);
  over_columns<T>(
      n, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
        Vec<T> z = get<T>(h + i, count) + get<T>(bias + i, count);
        // NaN is kept, -0 becomes +0.
        if (relu) z = (z > Vec<T>{}) | (z != z) ? z : Vec<T>{};
        put<T>(h + i, z, count);
      });
}

template <class T>
void bias_backward(const BiasTask& task) {
  T* const gradient = static_cast<T*>(task.gradient);
  T sums[kBiasColumns];
  if (task.fresh) {
    std::memset(sums, 0, sizeof(sums));
  } else {
    std::memcpy(sums, gradient, static_cast<size_t>(task.columns) * sizeof(T));
  }
  for (int64_t r = 0; r < task.rows; r++) {
    T* const d = static_cast<T*>(task.d) + r * task.d_pitch;
    const T* const h = task.h == nullptr ? nullptr : static_cast<const T*>(task.h) + r * task.h_pitch;
    over_columns<T>(
        task.columns, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
          Vec<T> x = get<T>(d + i, count);
          if (h != nullptr) {
            x = get<T>(h + i, count) > Vec<T>{} ? x : Vec<T>{};
            put<T>(d + i, x, count);
          }
          put<T>(sums + i, get<T>(sums + i, count) + x, count);
        });
  }
  std::memcpy(gradient, sums, static_cast<size_t>(task.columns) * sizeof(T));
}

/* ---- exponential and logarithm ------------------------------------------------------------------------------------ */

template <class T>
struct Exponential;
template <>
struct Exponential<float> {
  static constexpr float kLeast = -104.0f;  /* below: 0 */
  static constexpr float kGreatest = 89.0f; /* above: infinity */
  static constexpr float kShift = 0x1.8p23f;
  static constexpr float kPerLog2 = 0x1.715476p0f;
  static constexpr float kLog2High = 0x1.63p-1f; /* 9 bits: k times it is exact */
  static constexpr float kLog2Low = -0x1.bd0106p-13f;
  static constexpr int kTerms = 7;
  static constexpr uint32_t kBias = 127;
  static constexpr int kMantissa = 23;
};
template <>
struct Exponential<double> {
  static constexpr double kLeast = -746.0;
  static constexpr double kGreatest = 710.0;
  static constexpr double kShift = 0x1.8p52;
  static constexpr double kPerLog2 = 0x1.71547652b82fep0;
  static constexpr double kLog2High = 0x1.62e42feep-1; /* 32 bits */
  static constexpr double kLog2Low = 0x1.a39ef35793c76p-33;
  static constexpr int kTerms = 13;
  static constexpr uint64_t kBias = 1023;
  static constexpr int kMantissa = 52;
};

template <class T>
constexpr T inverse_factorial(int n) {
  T product = 1;
  for (int i = 2; i <= n; i++) product *= static_cast<T>(i);
  return 1 / product;
}

// 2^k for an integral k; adding the shift leaves k in the low bits.
template <class T>
KITH_INLINE Vec<T> power_of_two(Vec<T> k) {
  using E = Exponential<T>;
  return bit_cast<Vec<T>>((bit_cast<Bits<T>>(k + broadcast<T>(E::kShift)) + E::kBias) << E::kMantissa);
}

/* e^x = 2^k e^r, |r| <= log(2) / 2, by the Taylor series. Two factors 2^(k/2) let subnormal results round once. Off by
   at most 1.03 ulp over all f32, and 0.96 over 3 * 10^7 random f64. NaN stays NaN. */
template <class T>
KITH_INLINE Vec<T> exponential(Vec<T> x) {
  using E = Exponential<T>;
  const Vec<T> least = broadcast<T>(E::kLeast);
  const Vec<T> greatest = broadcast<T>(E::kGreatest);
  const Vec<T> shift = broadcast<T>(E::kShift);
  x = x < least ? least : x;
  x = x > greatest ? greatest : x;
  const Vec<T> k = (x * broadcast<T>(E::kPerLog2) + shift) - shift;
  const Vec<T> r = (x - k * broadcast<T>(E::kLog2High)) - k * broadcast<T>(E::kLog2Low);
  Vec<T> series = broadcast<T>(inverse_factorial<T>(E::kTerms));
#pragma GCC unroll 16
  for (int n = E::kTerms - 1; n >= 2; n--) series = series * r + broadcast<T>(inverse_factorial<T>(n));
  const Vec<T> value = (r + (r * r) * series) + broadcast<T>(T(1));
  const Vec<T> half = (k * broadcast<T>(T(0.5)) + shift) - shift;
  return (value * power_of_two<T>(half)) * power_of_two<T>(k - half);
}

/* log x for x >= 1 (NaN otherwise): x = 2^k (1 + f) with 1 + f within a factor sqrt(2) of 1, t = f / (2 + f),
   log(1 + f) = f - (f^2/2 - t (f^2/2 + R)), R = 2/3 t^2 + 2/5 t^4 + ... Off by at most 0.83 ulp over 3 * 10^7 random
   arguments. */
double logarithm(double x) {
  if (!(x >= 1)) return __builtin_nan("");
  uint64_t bits = bit_cast<uint64_t>(x);
  // Adding the distance from sqrt(1/2) to 1 carries into the exponent where the mantissa is above sqrt(2).
  const uint64_t carried = bits + (0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull);
  const int64_t k = static_cast<int64_t>(carried >> 52) - 1023;
  const double f = bit_cast<double>(bits - (static_cast<uint64_t>(k) << 52)) - 1;
  const double t = f / (2 + f);
  const double t2 = t * t;
  double series = 0;
  for (int n = 23; n >= 3; n -= 2) series = series * t2 + 2.0 / n;
  const double rest = series * t2;
  const double half = 0.5 * f * f;
  const double e = static_cast<double>(k);
  return e * Exponential<double>::kLog2High - ((half - (t * (half + rest) + e * Exponential<double>::kLog2Low)) - f);
}

/* ---- softmax with cross-entropy ------------------------------------------------------------------------------------- */

constexpr int kSumLanes = 16;

template <class T>
KITH_INLINE T lane_sum(const Vec<T>* sums) {
  alignas(64) T lanes[kSumLanes];
  std::memcpy(lanes, sums, sizeof(lanes));
  for (int s = kSumLanes / 2; s >= 1; s /= 2) {
    for (int l = 0; l < s; l++) lanes[l] += lanes[l + s];
  }
  return lanes[0];
}

// NaN is passed over.
template <class T>
T largest(const T* z, int64_t n) {
  Vec<T> best = broadcast<T>(static_cast<T>(-__builtin_inf()));
  over_columns<T>(
      n, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
        const Vec<T> x = get<T>(z + i, count);
        Mask<T> better = x > best;
        if (count < kLanes<T>) better &= first_lanes<T>(count);
        best = better ? x : best;
      });
  T result = best[0];
  for (int i = 1; i < kLanes<T>; i++) result = best[i] > result ? best[i] : result;
  return result;
}

// Sum of exp(z - top); stores the terms where `terms` is not NULL, which may be z.
template <class T>
T exponential_sum(const T* z, T top, int64_t n, T* terms) {
  constexpr int kVectors = kSumLanes / kLanes<T>;
  Vec<T> sums[kVectors] = {};
  const Vec<T> shift = broadcast<T>(top);
  int64_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) {
      const Vec<T> e = exponential<T>(load<T, T>(z + i + v * kLanes<T>) - shift);
      sums[v] += e;
      if (terms != nullptr) store<T, T>(terms + i + v * kLanes<T>, e);
    }
  }
  for (int v = 0; i < n; v++, i += kLanes<T>) {
    const int64_t count = n - i < kLanes<T> ? n - i : kLanes<T>;
    const Vec<T> e = exponential<T>(get<T>(z + i, count) - shift);
    // A sum of exponentials is never -0, so adding +0 to the lanes beyond the end is adding nothing.
    sums[v] += first_lanes<T>(count) ? e : Vec<T>{};
    if (terms != nullptr) put<T>(terms + i, e, count);
  }
  return lane_sum<T>(sums);
}

template <class T>
bool is_first(const T* z, int64_t label, T top) {
  if (z[label] != top) return false;
  for (int64_t c = 0; c < label; c++) {
    if (z[c] == top) return false;
  }
  return true;
}

template <class T>
int32_t softmax(const SoftmaxTask& task) {
  int32_t correct = 0;
  const Vec<T> all_rows = broadcast<T>(static_cast<T>(task.all_rows));
  for (int64_t r = 0; r < task.rows; r++) {
    const T* const z = static_cast<const T*>(task.z) + r * task.z_pitch;
    T* const gradient = task.gradient == nullptr ? nullptr : static_cast<T*>(task.gradient) + r * task.gradient_pitch;
    const int64_t label = task.labels[r];
    const T top = largest<T>(z, task.columns);
    const T own = z[label];
    correct += is_first<T>(z, label, top) ? 1 : 0;
    const T sum = exponential_sum<T>(z, top, task.columns, gradient);
    task.loss[r] = logarithm(static_cast<double>(sum)) + (static_cast<double>(top) - static_cast<double>(own));
    if (gradient == nullptr) continue;
    const T at_label = gradient[label];
    const Vec<T> sums = broadcast<T>(sum);
    over_columns<T>(
        task.columns, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
          put<T>(gradient + i, (get<T>(gradient + i, count) / sums) / all_rows, count);
        });
    gradient[label] = (at_label / sum - 1) / static_cast<T>(task.all_rows);
  }
  return correct;
}

// Sum of e and of e u, e = exp(z - top).
template <class T>
void weighted_sums(const T* z, const T* u, T top, int64_t n, T* sum, T* weighted) {
  constexpr int kVectors = kSumLanes / kLanes<T>;
  Vec<T> sums[kVectors] = {};
  Vec<T> products[kVectors] = {};
  const Vec<T> shift = broadcast<T>(top);
  int64_t i = 0;
  for (; i + kSumLanes <= n; i += kSumLanes) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; v++) {
      const Vec<T> e = exponential<T>(load<T, T>(z + i + v * kLanes<T>) - shift);
      sums[v] += e;
      products[v] += e * load<T, T>(u + i + v * kLanes<T>);
    }
  }
  for (int v = 0; i < n; v++, i += kLanes<T>) {
    const int64_t count = n - i < kLanes<T> ? n - i : kLanes<T>;
    const Vec<T> e = exponential<T>(get<T>(z + i, count) - shift);
    const Mask<T> present = first_lanes<T>(count);
    // Neither sum is ever -0, so adding +0 to the lanes beyond the end is adding nothing.
    sums[v] += present ? e : Vec<T>{};
    products[v] += present ? e * get<T>(u + i, count) : Vec<T>{};
  }
  *sum = lane_sum<T>(sums);
  *weighted = lane_sum<T>(products);
}

template <class T>
void softmax_curvature(const SoftmaxCurvatureTask& task) {
  const Vec<T> all_rows = broadcast<T>(static_cast<T>(task.all_rows));
  for (int64_t r = 0; r < task.rows; r++) {
    const T* const z = static_cast<const T*>(task.z) + r * task.z_pitch;
    T* const u = static_cast<T*>(task.u) + r * task.u_pitch;
    const T top = largest<T>(z, task.columns);
    T sum = 0, weighted = 0;
    weighted_sums<T>(z, u, top, task.columns, &sum, &weighted);
    const Vec<T> shift = broadcast<T>(top);
    const Vec<T> sums = broadcast<T>(sum);
    const Vec<T> mean = broadcast<T>(weighted / sum);
    over_columns<T>(
        task.columns, [&](int64_t i, int64_t count) __attribute__((always_inline)) {
          const Vec<T> share = exponential<T>(get<T>(z + i, count) - shift) / sums;
          put<T>(u + i, (share * (get<T>(u + i, count) - mean)) / all_rows, count);
        });
  }
}

}  // namespace

extern const ProductKernels product_kernels;
const ProductKernels product_kernels = {{multiply<float>, multiply<double>},
                                        multiply_scratch,
                                        {bias_activate<float>, bias_activate<double>},
                                        {bias_backward<float>, bias_backward<double>},
                                        {softmax<float>, softmax<double>},
                                        {softmax_curvature<float>, softmax_curvature<double>}};

}  // namespace kith::KITH_TIER
