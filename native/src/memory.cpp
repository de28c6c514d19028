/*
 * memory: conversion between dtypes.
 *
 * Bytes per element: size of the source plus size of the target (plain stores: what was converted is read next).
 * Determinism: element by element, one rounding to nearest even (f64 to a 16-bit type too, through f32 rounded to odd);
 * a NaN keeps its sign and top payload bits and is quiet. The same on every tier.
 */
#include "memory.hpp"

#include "tier.hpp"

namespace kith::KITH_TIER {

namespace {

template <class From, class To>
struct Wider {
  typedef float T;
};
template <class To>
struct Wider<double, To> {
  typedef double T;
};
template <class From>
struct Wider<From, double> {
  typedef double T;
};
template <>
struct Wider<double, double> {
  typedef double T;
};

template <class From, class To>
void convert(const void* source, void* target, int64_t n) {
  typedef typename Wider<From, To>::T T;
  const From* from = static_cast<const From*>(source);
  To* to = static_cast<To*>(target);
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store<T>(to + i, load<T>(from + i));
  if (i < n) store_partial<T>(to + i, load_partial<T>(from + i, n - i), n - i);
}

}  // namespace

extern const MemoryKernels memory_kernels;
const MemoryKernels memory_kernels = {{
    {nullptr, convert<float, double>, convert<float, bf16>, convert<float, f16>, nullptr},
    {convert<double, float>, nullptr, convert<double, bf16>, convert<double, f16>, nullptr},
    {convert<bf16, float>, convert<bf16, double>, nullptr, convert<bf16, f16>, nullptr},
    {convert<f16, float>, convert<f16, double>, convert<f16, bf16>, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
}};

}  // namespace kith::KITH_TIER
