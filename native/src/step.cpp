/*
 * One step of an optimizer's rule per element, formulas in kith.h, per tier.
 *
 * Bytes per element with f32: SGD 12; one state 20; two states 28 (x, s1, s2 read and written, g read); g in bf16 or f16
 * takes 2 less, a copy adds 2. Everything is in place, so stores are plain: the lines are in the cache already.
 * Determinism: element by element; square root and division are IEEE's, products and sums are rounded where kith.h
 * writes them and fused where it says fma, so all tiers give the same bits.
 */
#include "step.hpp"

#include "tier.hpp"

namespace kith::KITH_TIER {

namespace {

template <class T>
KITH_INLINE Vec<T> wide(double value) {
  return broadcast<T>(static_cast<T>(value));
}

// Math.max of Java: NaN wins, +0 above -0 where b is an absolute value.
template <class T>
KITH_INLINE Vec<T> greatest(Vec<T> a, Vec<T> b) {
  return (a > b) | (a != a) ? a : b;
}

/* A rule: `next` gives x' and replaces the states. x is already shrunk, g scaled and decayed. */

template <class T>
struct Sgd {
  static constexpr int kStates = 0;
  const Vec<T> minus_eta;
  explicit KITH_INLINE Sgd(const StepNumbers& k) : minus_eta(-wide<T>(k.eta)) {}
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T>&, Vec<T>&) const { return fma(minus_eta, g, x); }
};

template <class T>
struct HeavyBall {
  static constexpr int kStates = 1;
  const Vec<T> eta, b1;
  explicit KITH_INLINE HeavyBall(const StepNumbers& k) : eta(wide<T>(k.eta)), b1(wide<T>(k.b1)) {}
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T>& v, Vec<T>&) const {
    v = fma(b1, v, eta * g);
    return x - v;
  }
};

template <class T>
struct Nesterov {
  static constexpr int kStates = 1;
  const Vec<T> eta, b1;
  explicit KITH_INLINE Nesterov(const StepNumbers& k) : eta(wide<T>(k.eta)), b1(wide<T>(k.b1)) {}
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T>& v, Vec<T>&) const {
    const Vec<T> push = eta * g;
    v = fma(b1, v, push);
    return x - fma(b1, v, push);
  }
};

template <class T>
struct Adagrad {
  static constexpr int kStates = 1;
  const Vec<T> eta, epsilon;
  explicit KITH_INLINE Adagrad(const StepNumbers& k) : eta(wide<T>(k.eta)), epsilon(wide<T>(k.epsilon)) {}
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T>& sum, Vec<T>&) const {
    sum = fma(g, g, sum);
    return x - (eta * g) / sqrt(sum + epsilon);
  }
};

template <class T>
struct Adadelta {
  static constexpr int kStates = 2;
  const Vec<T> minus_eta, b1, c1, epsilon;
  explicit KITH_INLINE Adadelta(const StepNumbers& k)
      : minus_eta(-wide<T>(k.eta)), b1(wide<T>(k.b1)), c1(wide<T>(k.c1)), epsilon(wide<T>(k.epsilon)) {}
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T>& e, Vec<T>& d2) const {
    e = fma(b1, e, c1 * (g * g));
    const Vec<T> d = (sqrt(d2 + epsilon) / sqrt(e + epsilon)) * g;
    d2 = fma(b1, d2, c1 * (d * d));
    return fma(minus_eta, d, x);
  }
};

template <class T>
struct RmsProp {
  static constexpr int kStates = 1;
  const Vec<T> eta, b1, c1, epsilon;
  explicit KITH_INLINE RmsProp(const StepNumbers& k)
      : eta(wide<T>(k.eta)), b1(wide<T>(k.b1)), c1(wide<T>(k.c1)), epsilon(wide<T>(k.epsilon)) {}
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T>& e, Vec<T>&) const {
    e = fma(b1, e, c1 * (g * g));
    return x - (eta * g) / (sqrt(e) + epsilon);
  }
};

// What the relatives of Adam share.
template <class T>
struct Moments {
  static constexpr int kStates = 2;
  const Vec<T> b1, c1, b2, c2, a, q, epsilon;
  explicit KITH_INLINE Moments(const StepNumbers& k)
      : b1(wide<T>(k.b1)),
        c1(wide<T>(k.c1)),
        b2(wide<T>(k.b2)),
        c2(wide<T>(k.c2)),
        a(wide<T>(k.a)),
        q(wide<T>(k.q)),
        epsilon(wide<T>(k.epsilon)) {}
  KITH_INLINE void first(Vec<T> g, Vec<T>& m) const { m = fma(b1, m, c1 * g); }
  KITH_INLINE void second(Vec<T> g, Vec<T>& v) const { v = fma(b2, v, c2 * (g * g)); }
  KITH_INLINE Vec<T> root(Vec<T> v) const { return fma(sqrt(v), q, epsilon); }
};

template <class T>
struct Adam : Moments<T> {
  using Moments<T>::Moments;
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T>& m, Vec<T>& v) const {
    this->first(g, m);
    this->second(g, v);
    return x - (this->a * m) / this->root(v);
  }
};

template <class T>
struct AdaMax : Moments<T> {
  using Moments<T>::Moments;
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T>& m, Vec<T>& u) const {
    this->first(g, m);
    u = greatest<T>(this->b2 * u, abs(g));
    return x - (this->a * m) / (u + this->epsilon);
  }
};

template <class T>
struct Nadam : Moments<T> {
  const Vec<T> n1, n2;
  explicit KITH_INLINE Nadam(const StepNumbers& k) : Moments<T>(k), n1(wide<T>(k.n1)), n2(wide<T>(k.n2)) {}
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T>& m, Vec<T>& v) const {
    this->first(g, m);
    this->second(g, v);
    return x - fma(n1, m, n2 * g) / this->root(v);
  }
};

template <class T>
struct Yogi : Moments<T> {
  using Moments<T>::Moments;
  KITH_INLINE Vec<T> next(Vec<T> x, Vec<T> g, Vec<T>& m, Vec<T>& v) const {
    this->first(g, m);
    const Vec<T> h = g * g;
    const Vec<T> difference = v - h;
    // -c2 sign(v - h): where the difference is 0 or NaN the factor is -0, which leaves v, and NaN in v or h, alone.
    const Vec<T> zero{};
    Vec<T> factor = difference > zero ? -this->c2 : -zero;
    factor = difference < zero ? this->c2 : factor;
    v = fma(factor, h, v);
    return x - (this->a * m) / this->root(v);
  }
};

// Several streams in place keep the memory busy only when lines are asked for ahead: 1 KiB is worth 15 to 25 % of AdamW.
constexpr int64_t kAheadBytes = 1024;

template <class T>
KITH_INLINE void prefetch(const T* p) {
  __builtin_prefetch(reinterpret_cast<const char*>(p) + kAheadBytes, 0, 3);
}

// Elements that are converted to the copy before they leave the first-level cache.
constexpr int64_t kCopyTile = 1024;

template <class T, class S>
KITH_INLINE void convert(S* to, const T* from, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store<T, S>(to + i, load<T, T>(from + i));
  if (i < n) store_partial<T, S>(to + i, load_partial<T, T>(from + i, n - i), n - i);
}

template <template <class> class Rule, class T, class G>
int32_t apply(const StepSpan& span) {
  const StepNumbers& k = *span.numbers;
  const Rule<T> rule(k);
  T* const x = static_cast<T*>(span.x);
  const G* const g = static_cast<const G*>(span.g);
  T* const s1 = static_cast<T*>(span.s1);
  T* const s2 = static_cast<T*>(span.s2);
  const Vec<T> shrink = wide<T>(k.shrink);
  const Vec<T> scale = wide<T>(span.scale);
  const Vec<T> decay = wide<T>(k.decay);
  const bool decayed = k.decay != 0;
  // Multiplying by one changes nothing, so only what does cost is asked for.
  const auto element = [&](Vec<T> before, Vec<T> gradient, Vec<T> & a, Vec<T> & b) __attribute__((always_inline)) {
    gradient = scale * gradient;
    if (decayed) gradient = fma(decay, before, gradient);
    return rule.next(before * shrink, gradient, a, b);
  };
  Vec<T> g_watch{}, x_watch{};
  int64_t i = 0;
  for (int64_t tile = 0; tile < span.n; tile += kCopyTile) {
    const int64_t end = span.n - tile < kCopyTile ? span.n : tile + kCopyTile;
    for (; i + kLanes<T> <= end; i += kLanes<T>) {
      if (i % (64 / static_cast<int64_t>(sizeof(T))) == 0) {
        prefetch(x + i);
        prefetch(g + i);
        if constexpr (Rule<T>::kStates > 0) prefetch(s1 + i);
        if constexpr (Rule<T>::kStates > 1) prefetch(s2 + i);
      }
      const Vec<T> gradient = load<T, G>(g + i);
      Vec<T> a{}, b{};
      if constexpr (Rule<T>::kStates > 0) a = load<T, T>(s1 + i);
      if constexpr (Rule<T>::kStates > 1) b = load<T, T>(s2 + i);
      const Vec<T> after = element(load<T, T>(x + i), gradient, a, b);
      store<T, T>(x + i, after);
      if constexpr (Rule<T>::kStates > 0) store<T, T>(s1 + i, a);
      if constexpr (Rule<T>::kStates > 1) store<T, T>(s2 + i, b);
      g_watch = watch<T>(g_watch, gradient);
      x_watch = watch<T>(x_watch, after);
    }
    if (i < end) {
      const int64_t rest = end - i;
      const Vec<T> gradient = load_partial<T, G>(g + i, rest);
      Vec<T> a{}, b{};
      if constexpr (Rule<T>::kStates > 0) a = load_partial<T, T>(s1 + i, rest);
      if constexpr (Rule<T>::kStates > 1) b = load_partial<T, T>(s2 + i, rest);
      const Vec<T> after = element(load_partial<T, T>(x + i, rest), gradient, a, b);
      store_partial<T, T>(x + i, after, rest);
      if constexpr (Rule<T>::kStates > 0) store_partial<T, T>(s1 + i, a, rest);
      if constexpr (Rule<T>::kStates > 1) store_partial<T, T>(s2 + i, b, rest);
      g_watch = watch<T>(g_watch, gradient);
      // Lanes beyond the end may be 0 / 0.
      x_watch = watch<T>(x_watch, load_partial<T, T>(x + i, rest));
      i = end;
    }
    if (span.copy != nullptr) {
      if (span.copy_dtype == KITH_BF16) {
        convert<T, bf16>(static_cast<bf16*>(span.copy) + tile, x + tile, end - tile);
      } else {
        convert<T, f16>(static_cast<f16*>(span.copy) + tile, x + tile, end - tile);
      }
    }
  }
  return (any_nan<T>(g_watch) ? 1 : 0) | (any_nan<T>(x_watch) ? 2 : 0);
}

#define KITH_RULE(Rule)                                                                \
  {                                                                                    \
    {apply<Rule, float, float>, apply<Rule, float, bf16>, apply<Rule, float, f16>}, {  \
      apply<Rule, double, double>, apply<Rule, double, bf16>, apply<Rule, double, f16> \
    }                                                                                  \
  }

}  // namespace

extern const StepKernels step_kernels;
const StepKernels step_kernels = {{KITH_RULE(Sgd), KITH_RULE(HeavyBall), KITH_RULE(Nesterov), KITH_RULE(Adagrad),
                                   KITH_RULE(Adadelta), KITH_RULE(RmsProp), KITH_RULE(Adam), KITH_RULE(AdaMax),
                                   KITH_RULE(Nadam), KITH_RULE(Yogi)}};

}  // namespace kith::KITH_TIER
