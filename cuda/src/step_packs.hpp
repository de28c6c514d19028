/*
 * The pass over one matrix of a step, a pack of 16 bytes at a time: step.cu and curvature.cu bring the rules. A rule has
 * kStates and `next`, which gives x' and replaces the states; x is already shrunk, g scaled and decayed. step.cu's header
 * says how it is launched.
 */
#ifndef KITH_CUDA_STEP_PACKS_HPP
#define KITH_CUDA_STEP_PACKS_HPP

#include <cstdlib>

#include "convert.hpp"
#include "host.hpp"
#include "launch.hpp"
#include "step_checks.hpp"

namespace kith {

namespace {

constexpr int kStepThreads = 256;
constexpr int kStepPerMultiprocessor = 8;

// StepNumbers in the compute type, rounded once.
template <class T>
struct Numbers {
  T eta;
  T b1;
  T c1;
  T b2;
  T c2;
  T epsilon;
  T a;
  T q;
  T n1;
  T n2;
  T decay;
  T shrink;
  T k;
  int32_t decayed;
};

template <class T>
Numbers<T> rounded_numbers(const StepNumbers& k) {
  return Numbers<T>{static_cast<T>(k.eta), static_cast<T>(k.b1),      static_cast<T>(k.c1),    static_cast<T>(k.b2),
                    static_cast<T>(k.c2),  static_cast<T>(k.epsilon), static_cast<T>(k.a),     static_cast<T>(k.q),
                    static_cast<T>(k.n1),  static_cast<T>(k.n2),      static_cast<T>(k.decay), static_cast<T>(k.shrink),
                    static_cast<T>(k.k),   k.decay != 0 ? 1 : 0};
}

/* ---- one matrix ---------------------------------------------------------------------------------------------------- */

// One matrix with its gradient and states; strides in elements.
struct StepSet {
  unsigned char* x;
  const unsigned char* g;
  const unsigned char* h;  // NULL where the rule takes none
  unsigned char* s1;
  unsigned char* s2;
  int64_t rows;
  int64_t cols;
  int64_t x_stride;
  int64_t g_stride;
  int64_t h_stride;
  int64_t s1_stride;
  int64_t s2_stride;
  int64_t first_tile;
};

template <class T>
struct StepJob {
  StepSet set;          // where there is one matrix
  const StepSet* sets;  // where there are many
  int64_t count;
  int64_t tiles;
  int32_t gradient;  // 0: T, 1: bf16, 2: f16
  int32_t copy_dtype;
  unsigned char* copy;  // NULL: none
  int64_t copy_stride;
  int32_t* flags;           // NULL: none
  const double* row_scale;  // NULL: none
  int64_t scale_stride;
  const int64_t* group_ends;  // NULL: one group
  const Numbers<T>* groups;
  int64_t group_count;
  Numbers<T> numbers;
};

template <class T>
constexpr int kWidth = 16 / static_cast<int>(sizeof(T));

template <class T>
KITH_DEVICE T gradient_at(const unsigned char* g, int32_t gradient, int64_t i) {
  if (gradient == 1) return widen<T>(reinterpret_cast<const bf16*>(g)[i]);
  if (gradient == 2) return widen<T>(reinterpret_cast<const f16*>(g)[i]);
  return reinterpret_cast<const T*>(g)[i];
}

template <class T, int W>
KITH_DEVICE Pack<T, W> gradients_at(const unsigned char* g, int32_t gradient, int64_t i) {
  Pack<T, W> out;
  if (gradient == 1) {
    const Pack<bf16, W> in = load_pack<W>(reinterpret_cast<const bf16*>(g) + i);
    for (int e = 0; e < W; e++) out.v[e] = widen<T>(in.v[e]);
  } else if (gradient == 2) {
    const Pack<f16, W> in = load_pack<W>(reinterpret_cast<const f16*>(g) + i);
    for (int e = 0; e < W; e++) out.v[e] = widen<T>(in.v[e]);
  } else {
    out = load_pack<W>(reinterpret_cast<const T*>(g) + i);
  }
  return out;
}

// What a rule of the family curvature says of itself: its `next` takes h after g, of the dtype of g where kLikeGradient.
template <class Rule>
inline constexpr bool kTakesCurvature = requires {
  Rule::kLikeGradient;
};
template <class Rule, bool curved = kTakesCurvature<Rule>>
inline constexpr bool kLikeGradient = false;
template <class Rule>
inline constexpr bool kLikeGradient<Rule, true> = Rule::kLikeGradient;

// x' of one element; ORs into found what the flags would say.
template <class Rule, class T>
KITH_DEVICE T element(const Numbers<T>& k, T scale, T before, T gradient, T curvature, T& a, T& b, int32_t& found) {
  if (not_finite(gradient) || (kTakesCurvature<Rule> && not_finite(curvature))) found |= 1;
  gradient = scale * gradient;
  if (k.decayed != 0) gradient = fused(k.decay, before, gradient);
  T after;
  if constexpr (kTakesCurvature<Rule>) {
    after = Rule::next(k, before * k.shrink, gradient, curvature, a, b);
  } else {
    after = Rule::next(k, before * k.shrink, gradient, a, b);
  }
  if (not_finite(after)) found |= 2;
  return after;
}

template <class T>
KITH_DEVICE int64_t group_of(const StepJob<T>& job, int64_t column) {
  int64_t low = 0, high = job.group_count - 1;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (job.group_ends[middle] > column) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

KITH_DEVICE bool aligned(const void* p, int64_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

// Columns [begin, end) of one row, at most a pack. kPlain: without groups, row scales and copy.
template <class Rule, class T, bool kPlain>
KITH_DEVICE void columns(const StepJob<T>& job, const StepSet& set, int64_t row, int64_t begin, int64_t end,
                         int32_t* flag) {
  constexpr int W = kWidth<T>;
  T* const x = reinterpret_cast<T*>(set.x) + row * set.x_stride;
  const int64_t gradient_bytes = job.gradient == 0 ? static_cast<int64_t>(sizeof(T)) : 2;
  const unsigned char* const g = set.g + row * set.g_stride * gradient_bytes;
  const int32_t curvature = kLikeGradient<Rule> ? job.gradient : 0;
  const int64_t curvature_bytes = curvature == 0 ? static_cast<int64_t>(sizeof(T)) : 2;
  const unsigned char* const h = kTakesCurvature<Rule> ? set.h + row * set.h_stride * curvature_bytes : nullptr;
  T* const s1 = Rule::kStates > 0 ? reinterpret_cast<T*>(set.s1) + row * set.s1_stride : nullptr;
  T* const s2 = Rule::kStates > 1 ? reinterpret_cast<T*>(set.s2) + row * set.s2_stride : nullptr;
  unsigned char* const copy = kPlain || job.copy == nullptr ? nullptr : job.copy + row * job.copy_stride * 2;
  const double* const scales = kPlain || job.row_scale == nullptr ? nullptr : job.row_scale + row * job.scale_stride;
  const bool grouped = !kPlain && job.group_ends != nullptr;
  int64_t group = grouped ? group_of(job, begin) : 0;
  int32_t found = 0;
  bool whole = end - begin == W && (!grouped || job.group_ends[group] >= end);
  whole = whole && aligned(g + begin * gradient_bytes, W * gradient_bytes);
  if (kTakesCurvature<Rule>) whole = whole && aligned(h + begin * curvature_bytes, W * curvature_bytes);
  if (Rule::kStates > 0) whole = whole && aligned(s1 + begin, 16);
  if (Rule::kStates > 1) whole = whole && aligned(s2 + begin, 16);
  if (copy != nullptr) whole = whole && aligned(copy + begin * 2, W * 2);
  if (whole) {
    const Numbers<T>& k = grouped ? job.groups[group] : job.numbers;
    const T scale = scales == nullptr ? T(1) : static_cast<T>(scales[group]);
    Pack<T, W> values = load_pack<W>(x + begin);
    const Pack<T, W> gradients = gradients_at<T, W>(g, job.gradient, begin);
    Pack<T, W> a{}, b{}, curvatures{};
    if (kTakesCurvature<Rule>) curvatures = gradients_at<T, W>(h, curvature, begin);
    if (Rule::kStates > 0) a = load_pack<W>(s1 + begin);
    if (Rule::kStates > 1) b = load_pack<W>(s2 + begin);
    for (int e = 0; e < W; e++) {
      values.v[e] = element<Rule, T>(k, scale, values.v[e], gradients.v[e], curvatures.v[e], a.v[e], b.v[e], found);
    }
    store_pack<W>(x + begin, values);
    if (Rule::kStates > 0) store_pack<W>(s1 + begin, a);
    if (Rule::kStates > 1) store_pack<W>(s2 + begin, b);
    if (copy != nullptr && job.copy_dtype == KITH_BF16) {
      Pack<bf16, W> narrowed;
      for (int e = 0; e < W; e++) narrowed.v[e] = narrow<bf16>(values.v[e]);
      store_pack<W>(reinterpret_cast<bf16*>(copy) + begin, narrowed);
    } else if (copy != nullptr) {
      Pack<f16, W> narrowed;
      for (int e = 0; e < W; e++) narrowed.v[e] = narrow<f16>(values.v[e]);
      store_pack<W>(reinterpret_cast<f16*>(copy) + begin, narrowed);
    }
  } else {
    for (int64_t c = begin; c < end; c++) {
      // Groups may be empty.
      while (grouped && job.group_ends[group] <= c) group++;
      const Numbers<T>& k = grouped ? job.groups[group] : job.numbers;
      const T scale = scales == nullptr ? T(1) : static_cast<T>(scales[group]);
      T a = 0, b = 0;
      if (Rule::kStates > 0) a = s1[c];
      if (Rule::kStates > 1) b = s2[c];
      const T steepness = kTakesCurvature<Rule> ? gradient_at<T>(h, curvature, c) : T(0);
      const T after = element<Rule, T>(k, scale, x[c], gradient_at<T>(g, job.gradient, c), steepness, a, b, found);
      x[c] = after;
      if (Rule::kStates > 0) s1[c] = a;
      if (Rule::kStates > 1) s2[c] = b;
      if (copy != nullptr && job.copy_dtype == KITH_BF16) {
        reinterpret_cast<bf16*>(copy)[c] = narrow<bf16>(after);
      } else if (copy != nullptr) {
        reinterpret_cast<f16*>(copy)[c] = narrow<f16>(after);
      }
    }
  }
  // When all is lost the flag is read, not written, by most.
  if (found != 0 && flag != nullptr && (*const_cast<volatile int32_t*>(flag) & found) != found) {
    atomicOr(flag, found);
  }
}

// The packs of a row: its head up to where x is aligned, whole ones, the rest.
template <class T>
KITH_DEVICE int64_t packs_of(int64_t cols) {
  return (cols + kWidth<T> - 1) / kWidth<T> + 1;
}

template <class Rule, class T, bool kPlain>
KITH_DEVICE void pack_step(const StepJob<T>& job, const StepSet& set, int64_t item, int32_t* flags, int64_t flag_step) {
  constexpr int W = kWidth<T>;
  const int64_t per_row = packs_of<T>(set.cols);
  int64_t row = 0;
  if (set.rows > 1) {
    // A division of 32 bits costs a third.
    row = (item | per_row) >> 32 == 0 ? static_cast<uint32_t>(item) / static_cast<uint32_t>(per_row) : item / per_row;
  }
  const int64_t index = item - row * per_row;
  const int64_t head = head_of(reinterpret_cast<const T*>(set.x) + row * set.x_stride, set.cols);
  const int64_t begin = index == 0 ? 0 : head + (index - 1) * W;
  int64_t end = index == 0 ? head : begin + W;
  if (end > set.cols) end = set.cols;
  if (begin >= end) return;
  columns<Rule, T, kPlain>(job, set, row, begin, end, flags == nullptr ? nullptr : flags + row * flag_step);
}

template <class Rule, class T>
KITH_KERNEL(kStepThreads)
void step_one(StepJob<T> job) {
  const int64_t items = job.set.rows * packs_of<T>(job.set.cols);
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < items; item += step) {
    pack_step<Rule, T, false>(job, job.set, item, job.flags, 1);
  }
}

/* ---- launch -------------------------------------------------------------------------------------------------------- */

template <class T>
int64_t items_of(const StepSet& set) {
  return set.rows * ((set.cols + kWidth<T> - 1) / kWidth<T> + 1);
}

// Rows without padding count as one where nothing is said per row.
StepSet set_of(const StepOperands& o, bool flat) {
  StepSet set = {o.x.data,   o.g.data,   o.h.data,   o.s1.data,   o.s2.data,   o.x.rows, o.x.cols,
                 o.x.stride, o.g.stride, o.h.stride, o.s1.stride, o.s2.stride, 0};
  flat = flat && o.x.stride == o.x.cols && o.g.stride == o.x.cols && (o.h.data == nullptr || o.h.stride == o.x.cols) &&
         (o.states < 1 || o.s1.stride == o.x.cols) && (o.states < 2 || o.s2.stride == o.x.cols) &&
         (o.copy.data == nullptr || o.copy.stride == o.x.cols);
  if (flat) {
    set.cols *= set.rows;
    set.rows = 1;
  }
  return set;
}

template <class T, class Rule>
bool launch_one(Entry& entry, const StepJob<T>& job) {
  const unsigned blocks = entry.grid((items_of<T>(job.set) + kStepThreads - 1) / kStepThreads, kStepPerMultiprocessor);
  return entry.launched(KITH_LAUNCH((step_one<Rule, T>), blocks, kStepThreads, 0, entry.stream(), job));
}

// numbers(k) are those of group k; start(job) launches the rule.
template <class T, class NumbersOf, class Start>
kith_status apply_one(Entry& entry, const kith_step& step, const StepOperands& o, NumbersOf numbers_of, Start start) {
  StepJob<T> job = {};
  const bool flat = step.groups == nullptr && o.row_scale.data == nullptr && o.flags.data == nullptr;
  job.set = set_of(o, flat);
  job.gradient = o.gradient;
  job.copy_dtype = o.copy.dtype;
  job.copy = o.copy.data;
  job.copy_stride = o.copy.stride;
  job.flags = reinterpret_cast<int32_t*>(o.flags.data);
  job.row_scale = reinterpret_cast<const double*>(o.row_scale.data);
  job.scale_stride = o.row_scale.stride;
  if (step.groups == nullptr) {
    job.numbers = rounded_numbers<T>(numbers_of(0));
    start(job);
    return entry.finish();
  }
  const size_t count = static_cast<size_t>(o.group_count);
  Numbers<T>* const numbers = static_cast<Numbers<T>*>(std::malloc(count * (sizeof(Numbers<T>) + sizeof(int64_t))));
  if (numbers == nullptr) return entry.fail(KITH_OUT_OF_MEMORY, "no memory for the numbers of the groups");
  int64_t* const ends = reinterpret_cast<int64_t*>(numbers + count);
  for (size_t k = 0; k < count; k++) {
    numbers[k] = rounded_numbers<T>(numbers_of(static_cast<int64_t>(k)));
    ends[k] = step.groups[k].end;
  }
  job.groups = entry.upload(numbers, o.group_count);
  job.group_ends = entry.upload(ends, o.group_count);
  job.group_count = o.group_count;
  std::free(numbers);
  if (entry.ok()) start(job);
  return entry.finish();
}

}  // namespace

}  // namespace kith

#endif
