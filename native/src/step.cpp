/*
 * One step of an optimizer's rule per element, formulas in kith.h, per tier.
 *
 * Bytes per element with f32: SGD 12; one state 20; two states 28 (x, s1, s2 read and written, g read); g in bf16 or f16
 * takes 2 less, a copy adds 2. Everything is in place, so stores are plain: the lines are in the cache already.
 * Determinism: element by element; square root and division are IEEE's, products and sums are rounded where kith.h
 * writes them and fused where it says fma, so all tiers give the same bits.
 */
#include "step_span.hpp"

namespace kith::KITH_TIER {

namespace {

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
