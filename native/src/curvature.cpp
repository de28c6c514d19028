/*
 * curvature: steps that divide by an estimate of the curvature, the estimates, and conjugate gradient; formulas in kith.h.
 *
 * Bytes per element with f32: AdaHessian 32 (x, m, v read and written, g and h read), Sophia 24, Hutchinson 12; OASIS 28 for
 * its statistics and 20 for its step with x kept, 16 without; conjugate gradient 8 for its products and 36 for its updates.
 * Random signs are made in cache, 128 words for a chunk. Everything is in place, so stores are plain.
 * Determinism: element by element; sums are on the tree of a row, in whose chunks the work is done, so all tiers, threads
 * and cuts give the same bits. Supported range: columns up to 2^42 where signs are drawn.
 * Sources: Z. Yao and others, "AdaHessian", AAAI 2021; H. Liu and others, "Sophia", ICLR 2024; M. Jahani and others,
 * "Doubly adaptive scaled algorithm for machine learning using second-order information" (OASIS), ICLR 2022.
 */
#include "curvature.hpp"

#include "reduction.hpp"
#include "step_span.hpp"
#include "tree.hpp"
#include "words.hpp"

namespace kith::KITH_TIER {

namespace {

/* ---- steps ---------------------------------------------------------------------------------------------------- */

template <class T>
struct AdaHessian {
  static constexpr int kStates = 2;
  static constexpr bool kTakesCurvature = true;
  const Vec<T> b1, c1, b2, c2, a, q, epsilon;
  explicit KITH_INLINE AdaHessian(const StepNumbers& k)
      : b1(wide<T>(k.b1)),
        c1(wide<T>(k.c1)),
        b2(wide<T>(k.b2)),
        c2(wide<T>(k.c2)),
        a(wide<T>(k.a)),
        q(wide<T>(k.q)),
        epsilon(wide<T>(k.epsilon)) {}
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T> h, Vec<T>& m, Vec<T>& v) const {
    m = fma(b1, m, c1 * g);
    v = fma(b2, v, c2 * (h * h));
    return x - (a * m) / fma(sqrt(v), q, epsilon);
  }
};

// What both forms of Sophia share.
template <class T>
struct Sophia {
  static constexpr int kStates = 1;
  static constexpr bool kTakesCurvature = true;
  const Vec<T> b1, c1, minus_a, k, epsilon;
  explicit KITH_INLINE Sophia(const StepNumbers& numbers)
      : b1(wide<T>(numbers.b1)),
        c1(wide<T>(numbers.c1)),
        minus_a(-wide<T>(numbers.a)),
        k(wide<T>(numbers.k)),
        epsilon(wide<T>(numbers.epsilon)) {}
  KITH_INLINE Vec<T> moved(Vec<T> x, Vec<T> g, Vec<T> divisor, Vec<T>& m) const {
    m = fma(b1, m, c1 * g);
    const Vec<T> one = broadcast(T(1));
    Vec<T> u = m / divisor;
    u = u < -one ? -one : u;
    u = u > one ? one : u;
    return fma(minus_a, u, x);
  }
};

template <class T>
struct SophiaG : Sophia<T> {
  using Sophia<T>::Sophia;
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T> h, Vec<T>& m, Vec<T>&) const {
    return this->moved(x, g, greatest<T>(this->k * h, this->epsilon), m);
  }
};

template <class T>
struct SophiaH : Sophia<T> {
  using Sophia<T>::Sophia;
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T> h, Vec<T>& m, Vec<T>&) const {
    const Vec<T> relu = h <= Vec<T>{} ? Vec<T>{} : h;
    return this->moved(x, g, fma(this->k, relu, this->epsilon), m);
  }
};

/* ---- signs ---------------------------------------------------------------------------------------------------- */

// Columns whose signs are drawn together: a chunk of the tree.
constexpr int64_t kSignWords = kChunk / 32;
static_assert(kSignWords <= kWords);

/* The signs of columns [column, column + n) of a row, n at most a chunk, at a multiple of 1024. */
struct Signs {
  uint32_t words[kWords];
  KITH_INLINE void draw(const DiagonalSpan& span, int64_t column, int64_t n) {
    if (span.key == nullptr) {
      std::memset(words, 0, sizeof(words));
    } else {
      random_words(span.generator, *span.key, column / 32, (n + 31) / 32, words);
    }
  }
  /* v times z of kLanes columns, c a multiple of kLanes. */
  template <class T>
  KITH_INLINE Vec<T> times(Vec<T> v, int64_t c) const {
    constexpr int kBits = 8 * static_cast<int>(sizeof(T));
    typedef Bits<T> U;
    U place;
    for (int l = 0; l < kLanes<T>; l++) place[l] = static_cast<unsigned>(l);
    const U word = U{} + (words[c / 32] >> (c % 32));
    return bit_cast<Vec<T>>(bit_cast<U>(v) ^ ((word >> place & 1) << (kBits - 1)));
  }
};

/* ---- diagonal ------------------------------------------------------------------------------------------------- */

template <class T, class S>
KITH_INLINE void average(const DiagonalSpan& span) {
  const S* const hz = static_cast<const S*>(span.hz);
  T* const d = static_cast<T*>(span.d);
  const Vec<T> beta = wide<T>(span.beta), rest = wide<T>(1 - span.beta);
  Signs signs;
  for (int64_t begin = 0; begin < span.n; begin += kChunk) {
    const int64_t n = span.n - begin < kChunk ? span.n - begin : kChunk;
    signs.draw(span, span.column + begin, n);
    for_shapes<T, 1>(
        0, n, [&](auto shape, int64_t c) __attribute__((always_inline)) {
          Vec<T> product[1], a[1];
          shape.load(hz + begin + c, product);
          shape.load(d + begin + c, a);
          prefetch(d + begin + c);
          a[0] = fma(beta, a[0], rest * signs.times<T>(product[0], c));
          shape.store(d + begin + c, a);
        });
  }
}

template <class T>
void hutchinson(const DiagonalSpan& span) {
  switch (span.hz_dtype) {
    case 0:
      return average<T, T>(span);
    case 1:
      return average<T, bf16>(span);
    default:
      return average<T, f16>(span);
  }
}

// The lanes of two sums, one vector at a time.
template <class T>
struct TwoSums {
  alignas(64) T lanes[2][kTreeLanes];
  double chunks[2][kRowBlock / kChunk];
  int64_t count = 0;

  KITH_INLINE void begin() { std::memset(lanes, 0, sizeof(lanes)); }
  /* Adds a * b and c * d to the lanes of columns [c0, c0 + n); n above kLanes means all. */
  KITH_INLINE void add(int64_t c0, int64_t n, Vec<T> a, Vec<T> b, Vec<T> c, Vec<T> d) {
    T* const first = lanes[0] + c0 % kTreeLanes;
    T* const second = lanes[1] + c0 % kTreeLanes;
    const Vec<T> before1 = load<T, T>(first), before2 = load<T, T>(second);
    const Vec<T> after1 = fma(a, b, before1), after2 = fma(c, d, before2);
    if (n >= kLanes<T>) {
      store<T, T>(first, after1);
      store<T, T>(second, after2);
    } else {
      const Mask<T> mask = first_lanes<T>(n);
      store<T, T>(first, mask ? after1 : before1);
      store<T, T>(second, mask ? after2 : before2);
    }
  }
  KITH_INLINE void end() {
    for (int i = 0; i < 2; i++) chunks[i][count] = static_cast<double>(fold(lanes[i]));
    count++;
  }
  KITH_INLINE void result(double sums[2]) {
    for (int i = 0; i < 2; i++) sums[i] = pairwise(chunks[i], count);
  }
};

template <class T>
void statistics(const DiagonalSpan& span, double sums[2]) {
  const T* const hz = static_cast<const T*>(span.hz);
  T* const d = static_cast<T*>(span.d);
  const T* const x = static_cast<const T*>(span.x);
  const T* const x_before = static_cast<const T*>(span.x_before);
  const T* const g = static_cast<const T*>(span.g);
  const T* const g_before = static_cast<const T*>(span.g_before);
  const Vec<T> beta = wide<T>(span.beta), rest = wide<T>(1 - span.beta), alpha = wide<T>(span.alpha);
  Signs signs;
  TwoSums<T> two;
  for (int64_t begin = 0; begin < span.n; begin += kChunk) {
    const int64_t n = span.n - begin < kChunk ? span.n - begin : kChunk;
    signs.draw(span, span.column + begin, n);
    two.begin();
    for_shapes<T, 1>(
        0, n, [&](auto shape, int64_t c) __attribute__((always_inline)) {
          const int64_t i = begin + c;
          Vec<T> product[1], a[1], now[1], then[1];
          shape.load(hz + i, product);
          shape.load(d + i, a);
          prefetch(hz + i);
          prefetch(d + i);
          prefetch(x + i);
          prefetch(x_before + i);
          prefetch(g + i);
          prefetch(g_before + i);
          a[0] = fma(beta, a[0], rest * signs.times<T>(product[0], c));
          shape.store(d + i, a);
          const Vec<T> scale = greatest<T>(abs(a[0]), alpha);
          shape.load(x + i, now);
          shape.load(x_before + i, then);
          const Vec<T> step = now[0] - then[0];
          shape.load(g + i, now);
          shape.load(g_before + i, then);
          const Vec<T> change = now[0] - then[0];
          two.add(c, n - c, scale * step, step, change / scale, change);
        });
    two.end();
  }
  two.result(sums);
}

/* ---- scaled step ---------------------------------------------------------------------------------------------- */

template <class T>
void scaled(const ScaledSpan& span) {
  const T* const d = static_cast<const T*>(span.d);
  const T* const g = static_cast<const T*>(span.g);
  T* const x = static_cast<T*>(span.x);
  T* const x_before = static_cast<T*>(span.x_before);
  const Vec<T> alpha = wide<T>(span.alpha), eta = wide<T>(span.eta);
  for_shapes<T, 1>(
      0, span.n, [&](auto shape, int64_t i) __attribute__((always_inline)) {
        Vec<T> scale[1], gradient[1], before[1], after[1];
        shape.load(d + i, scale);
        shape.load(g + i, gradient);
        shape.load(x + i, before);
        prefetch(d + i);
        prefetch(g + i);
        prefetch(x + i);
        Vec<T> size = abs(scale[0]);
        if ((span.floor & 2) != 0) size = sqrt(size);
        after[0] = before[0] - (eta * gradient[0]) / ((span.floor & 1) != 0 ? size + alpha : greatest<T>(size, alpha));
        if (x_before != nullptr) {
          prefetch(x_before + i);
          shape.store(x_before + i, before);
        }
        shape.store(x + i, after);
      });
}

/* ---- conjugate gradient ---------------------------------------------------------------------------------------- */

template <class T>
void dots(const void* r_row, const void* w_row, int64_t n, double sums[2]) {
  const T* const r = static_cast<const T*>(r_row);
  const T* const w = static_cast<const T*>(w_row);
  TwoSums<T> two;
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    two.begin();
    const int64_t count = n - begin < kChunk ? n - begin : kChunk;
    for_shapes<T, 1>(
        0, count, [&](auto shape, int64_t c) __attribute__((always_inline)) {
          Vec<T> a[1], b[1];
          shape.load(r + begin + c, a);
          shape.load(w + begin + c, b);
          prefetch(r + begin + c);
          prefetch(w + begin + c);
          two.add(c, count - c, a[0], a[0], a[0], b[0]);
        });
    two.end();
  }
  two.result(sums);
}

template <class T>
void conjugate(const ConjugateSpan& span) {
  T* const r = static_cast<T*>(span.r);
  const T* const w = static_cast<const T*>(span.w);
  T* const p = static_cast<T*>(span.p);
  T* const s = static_cast<T*>(span.s);
  T* const x = static_cast<T*>(span.x);
  const Vec<T> alpha = wide<T>(span.alpha), beta = wide<T>(span.beta);
  for_shapes<T, 1>(
      0, span.n, [&](auto shape, int64_t i) __attribute__((always_inline)) {
        Vec<T> residual[1], product[1], direction[1], image[1], solution[1];
        shape.load(r + i, residual);
        shape.load(w + i, product);
        shape.load(p + i, direction);
        shape.load(s + i, image);
        shape.load(x + i, solution);
        prefetch(r + i);
        prefetch(w + i);
        prefetch(p + i);
        prefetch(s + i);
        prefetch(x + i);
        direction[0] = fma(beta, direction[0], residual[0]);
        image[0] = fma(beta, image[0], product[0]);
        solution[0] = fma(alpha, direction[0], solution[0]);
        residual[0] = fma(-alpha, image[0], residual[0]);
        shape.store(p + i, direction);
        shape.store(s + i, image);
        shape.store(x + i, solution);
        shape.store(r + i, residual);
      });
}

}  // namespace

extern const CurvatureKernels curvature_kernels;
const CurvatureKernels curvature_kernels = {
    {{{apply<AdaHessian, float, float, float>, apply<AdaHessian, float, bf16, bf16>,
       apply<AdaHessian, float, f16, f16>},
      {apply<AdaHessian, double, double, double>, apply<AdaHessian, double, bf16, bf16>,
       apply<AdaHessian, double, f16, f16>}},
     {{apply<SophiaG, float, float>, apply<SophiaG, float, bf16>, apply<SophiaG, float, f16>},
      {apply<SophiaG, double, double>, apply<SophiaG, double, bf16>, apply<SophiaG, double, f16>}},
     {{apply<SophiaH, float, float>, apply<SophiaH, float, bf16>, apply<SophiaH, float, f16>},
      {apply<SophiaH, double, double>, apply<SophiaH, double, bf16>, apply<SophiaH, double, f16>}}},
    {hutchinson<float>, hutchinson<double>},
    {statistics<float>, statistics<double>},
    {scaled<float>, scaled<double>},
    {dots<float>, dots<double>},
    {conjugate<float>, conjugate<double>}};

}  // namespace kith::KITH_TIER
