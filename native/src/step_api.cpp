// step: checks, coefficients per group, and the cut into blocks.
#include <cmath>

#include "core.hpp"
#include "dispatch.hpp"
#include "step.hpp"

namespace kith {

KITH_FAMILY(StepKernels, step)

namespace {

// Columns per block; narrow matrices take so many rows that a block has about as many elements.
constexpr int64_t kBlock = 16384;

constexpr int kStates[] = {0, 1, 1, 1, 2, 1, 2, 2, 2, 2};

struct StepContext {
  Matrix x;
  Matrix g;
  Matrix s1;
  Matrix s2;
  Matrix copy;
  Matrix flags;
  Matrix row_scale;
  StepKernel kernel;
  const kith_group* groups;
  const StepNumbers* numbers;
  int64_t group_count; /* at least 1 */
  int64_t columns;     /* per block */
  int64_t rows;        /* per block */
  int64_t across;      /* blocks in a row */
};

unsigned char* element(const Matrix& m, int64_t row, int64_t column) {
  return m.data == nullptr ? nullptr : m.row(row) + column * m.element_bytes();
}

void step_body(void* pointer, int64_t block, int32_t) {
  const StepContext& context = *static_cast<const StepContext*>(pointer);
  const int64_t begin = block % context.across * context.columns;
  const int64_t end = context.x.cols - begin < context.columns ? context.x.cols : begin + context.columns;
  const int64_t first = block / context.across * context.rows;
  const int64_t last = context.x.rows - first < context.rows ? context.x.rows : first + context.rows;
  int64_t group = 0;
  if (context.groups != nullptr) {
    // The first group that ends beyond `begin`.
    int64_t low = 0, high = context.group_count - 1;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (context.groups[middle].end > begin) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    group = low;
  }
  StepSpan span = {};
  span.copy_dtype = context.copy.dtype;
  for (int64_t r = first; r < last; r++) {
    const double* scales =
        context.row_scale.data == nullptr ? nullptr : reinterpret_cast<const double*>(context.row_scale.row(r));
    int32_t found = 0;
    int64_t k = group;
    for (int64_t column = begin; column < end; k++) {
      const int64_t group_end = context.groups == nullptr ? end : context.groups[k].end;
      const int64_t stop = group_end < end ? group_end : end;
      span.x = element(context.x, r, column);
      span.g = element(context.g, r, column);
      span.s1 = element(context.s1, r, column);
      span.s2 = element(context.s2, r, column);
      span.copy = element(context.copy, r, column);
      span.n = stop - column;
      span.numbers = context.numbers + k;
      span.scale = scales == nullptr ? 1.0 : scales[k];
      if (span.n > 0) found |= context.kernel(span);
      column = stop;
    }
    if (found != 0 && context.flags.data != nullptr) {
      __atomic_fetch_or(reinterpret_cast<int32_t*>(context.flags.data) + r, found, __ATOMIC_RELAXED);
    }
  }
}

StepNumbers numbers_of(const kith_step& step, double step_scale, double weight_decay) {
  StepNumbers k = {};
  k.eta = step.step_size * step_scale;
  k.b1 = step.beta1;
  k.c1 = 1 - step.beta1;
  k.b2 = step.beta2;
  k.c2 = 1 - step.beta2;
  k.epsilon = step.epsilon;
  k.a = k.eta / step.bias1;
  k.q = 1 / std::sqrt(step.bias2);
  k.n1 = k.eta * k.b1 / step.bias1;
  k.n2 = k.eta * k.c1 / step.bias1;
  k.decay = step.decoupled != 0 ? 0.0 : weight_decay;
  k.shrink = step.decoupled != 0 && weight_decay != 0 ? 1 - k.eta * weight_decay : 1.0;
  return k;
}

bool check_groups(Entry& entry, const kith_step& step, int64_t cols) {
  if (step.group_count < 0 || (step.group_count > 0) != (step.groups != nullptr)) {
    entry.fail(KITH_INVALID, "groups is %s and group_count is %lld; give both or neither",
               step.groups == nullptr ? "NULL" : "given", static_cast<long long>(step.group_count));
    return false;
  }
  int64_t end = 0;
  for (int64_t k = 0; k < step.group_count; k++) {
    if (step.groups[k].begin != end || step.groups[k].end < end || step.groups[k].end > cols) {
      entry.fail(KITH_INVALID,
                 "groups[%lld] covers the columns [%lld, %lld); groups must follow one another from 0 to %lld",
                 static_cast<long long>(k), static_cast<long long>(step.groups[k].begin),
                 static_cast<long long>(step.groups[k].end), static_cast<long long>(cols));
      return false;
    }
    end = step.groups[k].end;
  }
  if (step.group_count > 0 && end != cols) {
    entry.fail(KITH_INVALID, "groups end at column %lld of %lld; cover all columns", static_cast<long long>(end),
               static_cast<long long>(cols));
    return false;
  }
  return true;
}

bool check_state(Entry& entry, const char* name, const kith_matrix* state, bool wanted, const Matrix& x, Matrix* out) {
  if (!wanted && state == nullptr) return true;
  if (wanted == (state == nullptr)) {
    entry.fail(KITH_INVALID, wanted ? "%s is NULL and the rule needs it" : "%s is given and the rule has no such state",
               name);
    return false;
  }
  return entry.matrix(name, state, x.dtype, x.rows, x.cols, out);
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_apply_step(kith_queue* queue, const kith_step* step, const kith_matrix* x, const kith_matrix* g,
                            const kith_matrix* s1, const kith_matrix* s2, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_apply_step");
  if (!entry.ok()) return entry.status();
  if (step == nullptr) return entry.fail(KITH_INVALID, "step is NULL; give the rule and its numbers");
  if (step->rule < KITH_SGD || step->rule > KITH_YOGI) {
    return entry.fail(KITH_INVALID, "the rule is %d; use one of kith_rule", step->rule);
  }
  StepContext context = {};
  if (!entry.matrix("x", x, &context.x)) return entry.status();
  const Matrix& mx = context.x;
  if (mx.dtype != KITH_F32 && mx.dtype != KITH_F64) {
    return entry.fail(KITH_UNSUPPORTED, "x is %s; parameters are f32 or f64, with a narrow copy beside them",
                      dtype_name(mx.dtype));
  }
  if (!entry.matrix("g", g, -1, mx.rows, mx.cols, &context.g)) return entry.status();
  int gradient = 0;
  if (context.g.dtype != mx.dtype) {
    if (context.g.dtype != KITH_BF16 && context.g.dtype != KITH_F16) {
      return entry.fail(KITH_UNSUPPORTED, "g is %s and x is %s; gradients are the dtype of x, bf16 or f16",
                        dtype_name(context.g.dtype), dtype_name(mx.dtype));
    }
    gradient = context.g.dtype == KITH_BF16 ? 1 : 2;
  }
  const int states = kStates[step->rule];
  if (!check_state(entry, "s1", s1, states > 0, mx, &context.s1) ||
      !check_state(entry, "s2", s2, states > 1, mx, &context.s2)) {
    return entry.status();
  }
  if (!check_groups(entry, *step, mx.cols)) return entry.status();
  context.group_count = step->group_count > 0 ? step->group_count : 1;
  if (step->row_scale != nullptr &&
      !entry.matrix("row_scale", step->row_scale, KITH_F64, mx.rows, context.group_count, &context.row_scale)) {
    return entry.status();
  }
  if (step->copy != nullptr) {
    if (!entry.matrix("copy", step->copy, -1, mx.rows, mx.cols, &context.copy)) return entry.status();
    if (context.copy.dtype != KITH_BF16 && context.copy.dtype != KITH_F16) {
      return entry.fail(KITH_UNSUPPORTED, "copy is %s; it is bf16 or f16", dtype_name(context.copy.dtype));
    }
  }
  if (step->flags != nullptr && !entry.matrix("flags", step->flags, KITH_I32, 1, mx.rows, &context.flags)) {
    return entry.status();
  }
  const struct {
    const char* name;
    const Matrix& m;
    bool written;
  } all[] = {{"x", mx, true},
             {"s1", context.s1, true},
             {"s2", context.s2, true},
             {"copy", context.copy, true},
             {"flags", context.flags, true},
             {"g", context.g, false},
             {"row_scale", context.row_scale, false}};
  for (const auto& a : all) {
    for (const auto& b : all) {
      if (&a >= &b || a.m.data == nullptr || b.m.data == nullptr || !a.written) continue;
      if (!entry.disjoint(a.name, a.m, b.name, b.m, false)) return entry.status();
    }
  }
  if (mx.rows == 0 || mx.cols == 0) return entry.finish();

  StepNumbers* numbers =
      static_cast<StepNumbers*>(entry.scratch(context.group_count * static_cast<int64_t>(sizeof(StepNumbers))));
  if (numbers == nullptr) return entry.status();
  for (int64_t k = 0; k < context.group_count; k++) {
    numbers[k] = step->group_count == 0
                     ? numbers_of(*step, 1.0, step->weight_decay)
                     : numbers_of(*step, step->groups[k].step_scale, step->weight_decay + step->groups[k].weight_decay);
  }
  context.numbers = numbers;
  context.groups = step->groups;
  context.kernel = kith::step().span[step->rule][mx.dtype == KITH_F64 ? 1 : 0][gradient];
  context.columns = mx.cols < kBlock ? mx.cols : kBlock;
  context.rows = kBlock / context.columns;
  context.across = (mx.cols + context.columns - 1) / context.columns;
  const int64_t down = (mx.rows + context.rows - 1) / context.rows;
  const int64_t bytes = 2 * (1 + states) * mx.bytes() + context.g.bytes() + context.copy.bytes();
  return entry.run(context.across * down, bytes, step_body, &context);
}

}  // extern "C"
