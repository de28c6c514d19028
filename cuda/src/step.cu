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

#include "step_packs.hpp"

namespace kith {

namespace {

constexpr int64_t kTile = 1024; /* packs */

/* ---- rules --------------------------------------------------------------------------------------------------------- */

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

/* ---- many matrices ------------------------------------------------------------------------------------------------- */

template <class Rule, class T>
KITH_KERNEL(kStepThreads)
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

template <class T, class Rule>
bool launch_rule(Entry& entry, const StepJob<T>& job) {
  if (job.sets != nullptr) {
    const unsigned blocks = entry.grid(job.tiles, kStepPerMultiprocessor);
    return entry.launched(KITH_LAUNCH((step_many<Rule, T>), blocks, kStepThreads, 0, entry.stream(), job));
  }
  return launch_one<T, Rule>(entry, job);
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
  const auto numbers = [&](int64_t k) { return step_numbers(*step, k); };
  const auto start = [&](const auto& job) { launch(entry, step->rule, job); };
  return operands.x.dtype == KITH_F64 ? apply_one<double>(entry, *step, operands, numbers, start)
                                      : apply_one<float>(entry, *step, operands, numbers, start);
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
