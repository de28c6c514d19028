/*
 * One step of an optimizer's rule per element, formulas in kith.h; one matrix (with groups, row scales, copy and flags)
 * or many matrices of different sizes in one launch.
 *
 * Bytes per element with f32: SGD 12; one state 20; two states 28 (x, s1, s2 read and written, g read); g in bf16 or f16
 * takes 2 less, a copy adds 2; f64 twice that.
 * Launch: 256 threads, grid-stride over packs of 16 bytes of one row of x, 64-bit indices; a pack of two states has 64
 * bytes in flight, so the 1,024 and more threads that the registers allow keep 64 KiB and more a multiprocessor in flight.
 * Packs begin where x is aligned to 16 bytes; where another stream is not aligned there, or a group ends inside, the pack is
 * done element by element. Many matrices: a block takes a run of tiles of 1,024 packs, finds the matrix of the first by
 * binary search in a table and walks on from there.
 * Registers (sm_90): one matrix 39 to 59 (f32), 40 to 78 (f64); many 48 to 64, 48 to 80.
 * Determinism: element by element; square root, division and fma are IEEE's, so the bits are the CPU's. Flags are ORed.
 * Emulated: all.
 */
#include <cstdlib>

#include "convert.hpp"
#include "host.hpp"
#include "launch.hpp"
#include "step_checks.hpp"

namespace kith {

namespace {

constexpr int kThreads = 256;
constexpr int kPerMultiprocessor = 8;
constexpr int64_t kTile = 1024; /* packs */

/* ---- rules --------------------------------------------------------------------------------------------------------- */

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
  int32_t decayed;
};

template <class T>
Numbers<T> rounded_numbers(const StepNumbers& k) {
  return Numbers<T>{static_cast<T>(k.eta), static_cast<T>(k.b1),      static_cast<T>(k.c1),    static_cast<T>(k.b2),
                    static_cast<T>(k.c2),  static_cast<T>(k.epsilon), static_cast<T>(k.a),     static_cast<T>(k.q),
                    static_cast<T>(k.n1),  static_cast<T>(k.n2),      static_cast<T>(k.decay), static_cast<T>(k.shrink),
                    k.decay != 0 ? 1 : 0};
}

// A rule: `next` gives x' and replaces the states. x is already shrunk, g scaled and decayed.

struct Sgd {
  static constexpr int kStates = 0;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T&, T&) {
    return fused(-k.eta, g, x);
  }
};

struct HeavyBall {
  static constexpr int kStates = 1;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T& v, T&) {
    v = fused(k.b1, v, k.eta * g);
    return x - v;
  }
};

struct Nesterov {
  static constexpr int kStates = 1;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T& v, T&) {
    const T push = k.eta * g;
    v = fused(k.b1, v, push);
    return x - fused(k.b1, v, push);
  }
};

struct Adagrad {
  static constexpr int kStates = 1;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T& sum, T&) {
    sum = fused(g, g, sum);
    return x - quotient(k.eta * g, root(sum + k.epsilon));
  }
};

struct Adadelta {
  static constexpr int kStates = 2;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T& e, T& d2) {
    e = fused(k.b1, e, k.c1 * (g * g));
    const T d = quotient(root(d2 + k.epsilon), root(e + k.epsilon)) * g;
    d2 = fused(k.b1, d2, k.c1 * (d * d));
    return fused(-k.eta, d, x);
  }
};

struct RmsProp {
  static constexpr int kStates = 1;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T& e, T&) {
    e = fused(k.b1, e, k.c1 * (g * g));
    return x - quotient(k.eta * g, root(e) + k.epsilon);
  }
};

// What the relatives of Adam share.
template <class T>
KITH_DEVICE void first_moment(const Numbers<T>& k, T g, T& m) {
  m = fused(k.b1, m, k.c1 * g);
}
template <class T>
KITH_DEVICE void second_moment(const Numbers<T>& k, T g, T& v) {
  v = fused(k.b2, v, k.c2 * (g * g));
}
template <class T>
KITH_DEVICE T moment_root(const Numbers<T>& k, T v) {
  return fused(root(v), k.q, k.epsilon);
}

struct Adam {
  static constexpr int kStates = 2;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T& m, T& v) {
    first_moment(k, g, m);
    second_moment(k, g, v);
    return x - quotient(k.a * m, moment_root(k, v));
  }
};

struct AdaMax {
  static constexpr int kStates = 2;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T& m, T& u) {
    first_moment(k, g, m);
    // NaN wins; -0 cannot, since the other one is an absolute value.
    const T faded = k.b2 * u;
    const T size = magnitude(g);
    u = faded > size || faded != faded ? faded : size;
    return x - quotient(k.a * m, u + k.epsilon);
  }
};

struct Nadam {
  static constexpr int kStates = 2;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T& m, T& v) {
    first_moment(k, g, m);
    second_moment(k, g, v);
    return x - quotient(fused(k.n1, m, k.n2 * g), moment_root(k, v));
  }
};

struct Yogi {
  static constexpr int kStates = 2;
  template <class T>
  static KITH_DEVICE T next(const Numbers<T>& k, T x, T g, T& m, T& v) {
    first_moment(k, g, m);
    const T h = g * g;
    const T difference = v - h;
    // -c2 sign(v - h): where the difference is 0 or NaN the factor is -0, which leaves v, and NaN in v or h, alone.
    T factor = difference > T(0) ? -k.c2 : -T(0);
    if (difference < T(0)) factor = k.c2;
    v = fused(factor, h, v);
    return x - quotient(k.a * m, moment_root(k, v));
  }
};

/* ---- kernel -------------------------------------------------------------------------------------------------------- */

// One matrix with its gradient and states; strides in elements.
struct StepSet {
  unsigned char* x;
  const unsigned char* g;
  unsigned char* s1;
  unsigned char* s2;
  int64_t rows;
  int64_t cols;
  int64_t x_stride;
  int64_t g_stride;
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

// x' of one element; ORs into found what the flags would say.
template <class Rule, class T>
KITH_DEVICE T element(const Numbers<T>& k, T scale, T before, T gradient, T& a, T& b, int32_t& found) {
  if (not_finite(gradient)) found |= 1;
  gradient = scale * gradient;
  if (k.decayed != 0) gradient = fused(k.decay, before, gradient);
  const T after = Rule::next(k, before * k.shrink, gradient, a, b);
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
  T* const s1 = Rule::kStates > 0 ? reinterpret_cast<T*>(set.s1) + row * set.s1_stride : nullptr;
  T* const s2 = Rule::kStates > 1 ? reinterpret_cast<T*>(set.s2) + row * set.s2_stride : nullptr;
  unsigned char* const copy = kPlain || job.copy == nullptr ? nullptr : job.copy + row * job.copy_stride * 2;
  const double* const scales = kPlain || job.row_scale == nullptr ? nullptr : job.row_scale + row * job.scale_stride;
  const bool grouped = !kPlain && job.group_ends != nullptr;
  int64_t group = grouped ? group_of(job, begin) : 0;
  int32_t found = 0;
  bool whole = end - begin == W && (!grouped || job.group_ends[group] >= end);
  whole = whole && aligned(g + begin * gradient_bytes, W * gradient_bytes);
  if (Rule::kStates > 0) whole = whole && aligned(s1 + begin, 16);
  if (Rule::kStates > 1) whole = whole && aligned(s2 + begin, 16);
  if (copy != nullptr) whole = whole && aligned(copy + begin * 2, W * 2);
  if (whole) {
    const Numbers<T>& k = grouped ? job.groups[group] : job.numbers;
    const T scale = scales == nullptr ? T(1) : static_cast<T>(scales[group]);
    Pack<T, W> values = load_pack<W>(x + begin);
    const Pack<T, W> gradients = gradients_at<T, W>(g, job.gradient, begin);
    Pack<T, W> a{}, b{};
    if (Rule::kStates > 0) a = load_pack<W>(s1 + begin);
    if (Rule::kStates > 1) b = load_pack<W>(s2 + begin);
    for (int e = 0; e < W; e++) {
      values.v[e] = element<Rule, T>(k, scale, values.v[e], gradients.v[e], a.v[e], b.v[e], found);
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
      const T after = element<Rule, T>(k, scale, x[c], gradient_at<T>(g, job.gradient, c), a, b, found);
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
KITH_KERNEL(kThreads)
void step_one(StepJob<T> job) {
  const int64_t items = job.set.rows * packs_of<T>(job.set.cols);
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t item = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; item < items; item += step) {
    pack_step<Rule, T, false>(job, job.set, item, job.flags, 1);
  }
}

template <class Rule, class T>
KITH_KERNEL(kThreads)
void step_many(StepJob<T> job) {
  const int64_t blocks = gridDim.x;
  int64_t tile = job.tiles / blocks * blockIdx.x + (job.tiles % blocks) * blockIdx.x / blocks;
  const int64_t next = static_cast<int64_t>(blockIdx.x) + 1;
  const int64_t last = job.tiles / blocks * next + (job.tiles % blocks) * next / blocks;
  // The last set that begins at or before the tile; empty sets begin where the next one does.
  int64_t low = 0, high = job.count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (job.sets[middle].first_tile <= tile) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  for (; tile < last; tile++) {
    while (low + 1 < job.count && job.sets[low + 1].first_tile <= tile) low++;
    const StepSet& set = job.sets[low];
    const int64_t items = set.rows * packs_of<T>(set.cols);
    const int64_t begin = (tile - set.first_tile) * kTile;
    const int64_t end = items - begin < kTile ? items : begin + kTile;
    for (int64_t item = begin + threadIdx.x; item < end; item += blockDim.x) {
      pack_step<Rule, T, true>(job, set, item, job.flags == nullptr ? nullptr : job.flags + low, 0);
    }
  }
}

/* ---- launch -------------------------------------------------------------------------------------------------------- */

template <class T>
int64_t items_of(const StepSet& set) {
  return set.rows * ((set.cols + kWidth<T> - 1) / kWidth<T> + 1);
}

// Rows without padding count as one where nothing is said per row.
StepSet set_of(const StepOperands& o, bool flat) {
  StepSet set = {o.x.data,   o.g.data,   o.s1.data,   o.s2.data,   o.x.rows, o.x.cols,
                 o.x.stride, o.g.stride, o.s1.stride, o.s2.stride, 0};
  flat = flat && o.x.stride == o.x.cols && o.g.stride == o.x.cols && (o.states < 1 || o.s1.stride == o.x.cols) &&
         (o.states < 2 || o.s2.stride == o.x.cols) && (o.copy.data == nullptr || o.copy.stride == o.x.cols);
  if (flat) {
    set.cols *= set.rows;
    set.rows = 1;
  }
  return set;
}

template <class T, class Rule>
bool launch_rule(Entry& entry, const StepJob<T>& job) {
  if (job.sets != nullptr) {
    const unsigned blocks = entry.grid(job.tiles, kPerMultiprocessor);
    return entry.launched(KITH_LAUNCH((step_many<Rule, T>), blocks, kThreads, 0, entry.stream(), job));
  }
  const unsigned blocks = entry.grid((items_of<T>(job.set) + kThreads - 1) / kThreads, kPerMultiprocessor);
  return entry.launched(KITH_LAUNCH((step_one<Rule, T>), blocks, kThreads, 0, entry.stream(), job));
}

template <class T>
bool launch(Entry& entry, int32_t rule, const StepJob<T>& job) {
  switch (rule) {
    case KITH_SGD:
      return launch_rule<T, Sgd>(entry, job);
    case KITH_HEAVY_BALL:
      return launch_rule<T, HeavyBall>(entry, job);
    case KITH_NESTEROV:
      return launch_rule<T, Nesterov>(entry, job);
    case KITH_ADAGRAD:
      return launch_rule<T, Adagrad>(entry, job);
    case KITH_ADADELTA:
      return launch_rule<T, Adadelta>(entry, job);
    case KITH_RMSPROP:
      return launch_rule<T, RmsProp>(entry, job);
    case KITH_ADAM:
      return launch_rule<T, Adam>(entry, job);
    case KITH_ADAMAX:
      return launch_rule<T, AdaMax>(entry, job);
    case KITH_NADAM:
      return launch_rule<T, Nadam>(entry, job);
    default:
      return launch_rule<T, Yogi>(entry, job);
  }
}

template <class T>
kith_status apply_one(Entry& entry, const kith_step& step, const StepOperands& o) {
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
    job.numbers = rounded_numbers<T>(step_numbers(step, 0));
    launch<T>(entry, step.rule, job);
    return entry.finish();
  }
  const size_t count = static_cast<size_t>(o.group_count);
  Numbers<T>* const numbers = static_cast<Numbers<T>*>(std::malloc(count * (sizeof(Numbers<T>) + sizeof(int64_t))));
  if (numbers == nullptr) return entry.fail(KITH_OUT_OF_MEMORY, "no memory for the numbers of the groups");
  int64_t* const ends = reinterpret_cast<int64_t*>(numbers + count);
  for (size_t k = 0; k < count; k++) {
    numbers[k] = rounded_numbers<T>(step_numbers(step, static_cast<int64_t>(k)));
    ends[k] = step.groups[k].end;
  }
  job.groups = entry.upload(numbers, o.group_count);
  job.group_ends = entry.upload(ends, o.group_count);
  job.group_count = o.group_count;
  std::free(numbers);
  if (entry.ok()) launch<T>(entry, step.rule, job);
  return entry.finish();
}

template <class T>
kith_status apply_many(Entry& entry, const kith_step& step, int64_t count, const StepOperands& common,
                       const StepOperands* operands, StepSet* sets) {
  int64_t tiles = 0;
  for (int64_t k = 0; k < count; k++) {
    sets[k] = set_of(operands[k], true);
    sets[k].first_tile = tiles;
    if (sets[k].rows > 0 && sets[k].cols > 0) tiles += (items_of<T>(sets[k]) + kTile - 1) / kTile;
  }
  if (tiles == 0) return entry.finish();
  StepJob<T> job = {};
  job.count = count;
  job.tiles = tiles;
  job.gradient = common.gradient;
  job.flags = reinterpret_cast<int32_t*>(common.flags.data);
  job.numbers = rounded_numbers<T>(step_numbers(step, 0));
  job.sets = entry.upload(sets, count);
  if (entry.ok()) launch<T>(entry, step.rule, job);
  return entry.finish();
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_apply_step(kith_queue* queue, const kith_step* step, const kith_matrix* x, const kith_matrix* g,
                            const kith_matrix* s1, const kith_matrix* s2, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_apply_step");
  StepOperands operands = {};
  if (!check_step(entry, step, x, g, s1, s2, &operands)) return entry.status();
  if (operands.x.rows == 0 || operands.x.cols == 0) return entry.finish();
  return operands.x.dtype == KITH_F64 ? apply_one<double>(entry, *step, operands)
                                      : apply_one<float>(entry, *step, operands);
}

kith_status kith_apply_steps(kith_queue* queue, const kith_step* step, int64_t count, const kith_matrix* x,
                             const kith_matrix* g, const kith_matrix* s1, const kith_matrix* s2, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_apply_steps");
  if (!check_step_count(entry, step, count, x, g)) return entry.status();
  const size_t n = static_cast<size_t>(count > 0 ? count : 1);
  void* const room = std::malloc(n * (sizeof(StepOperands) + 4 * sizeof(StepWindow) + sizeof(StepSet)));
  if (room == nullptr) return entry.fail(KITH_OUT_OF_MEMORY, "no memory for the table of matrices");
  StepOperands* const operands = static_cast<StepOperands*>(room);
  StepWindow* const order = reinterpret_cast<StepWindow*>(operands + n);
  StepSet* const sets = reinterpret_cast<StepSet*>(order + 4 * n);
  StepOperands common = {};
  if (check_steps(entry, step, count, x, g, s1, s2, &common, operands, order)) {
    if (common.x.dtype == KITH_F64) {
      apply_many<double>(entry, *step, count, common, operands, sets);
    } else {
      apply_many<float>(entry, *step, count, common, operands, sets);
    }
  }
  std::free(room);
  return entry.status();
}

}  // extern "C"
