// Checks of the family step, and the coefficients as kith.h forms them.
#include "step_checks.hpp"

#include <cmath>

namespace kith {

namespace {

constexpr int kStates[] = {0, 1, 1, 1, 2, 1, 2, 2, 2, 2};

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

bool check_groups(Arguments& entry, const kith_step& step, int64_t cols) {
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

bool check_state(Arguments& entry, const char* name, const kith_matrix* state, bool wanted, const Matrix& x,
                 Matrix* out) {
  if (!wanted && state == nullptr) return true;
  if (wanted == (state == nullptr)) {
    entry.fail(KITH_INVALID, wanted ? "%s is NULL and the rule needs it" : "%s is given and the rule has no such state",
               name);
    return false;
  }
  return entry.matrix(name, state, x.dtype, x.rows, x.cols, out);
}

bool check_rule(Arguments& entry, const kith_step* step) {
  if (!entry.ok()) return false;
  if (step == nullptr) {
    entry.fail(KITH_INVALID, "step is NULL; give the rule and its numbers");
    return false;
  }
  if (step->rule < KITH_SGD || step->rule > KITH_YOGI) {
    entry.fail(KITH_INVALID, "the rule is %d; use one of kith_rule", step->rule);
    return false;
  }
  return true;
}

bool check_parameters(Arguments& entry, const char* name, const kith_matrix* x, Matrix* out) {
  if (!entry.matrix(name, x, out)) return false;
  if (out->dtype == KITH_F32 || out->dtype == KITH_F64) return true;
  entry.fail(KITH_UNSUPPORTED, "%s is %s; parameters are f32 or f64, with a narrow copy beside them", name,
             dtype_name(out->dtype));
  return false;
}

bool check_gradient(Arguments& entry, const char* name, const kith_matrix* g, const Matrix& x, Matrix* out,
                    int* gradient) {
  if (!entry.matrix(name, g, -1, x.rows, x.cols, out)) return false;
  *gradient = out->dtype == x.dtype ? 0 : out->dtype == KITH_BF16 ? 1 : 2;
  if (out->dtype == x.dtype || out->dtype == KITH_BF16 || out->dtype == KITH_F16) return true;
  entry.fail(KITH_UNSUPPORTED, "%s is %s and x is %s; gradients are the dtype of x, bf16 or f16", name,
             dtype_name(out->dtype), dtype_name(x.dtype));
  return false;
}

}  // namespace

StepNumbers step_numbers(const kith_step& step, int64_t k) {
  if (step.group_count == 0) return numbers_of(step, 1.0, step.weight_decay);
  return numbers_of(step, step.groups[k].step_scale, step.weight_decay + step.groups[k].weight_decay);
}

bool check_step(Arguments& entry, const kith_step* step, const kith_matrix* x, const kith_matrix* g,
                const kith_matrix* s1, const kith_matrix* s2, StepOperands* operands) {
  if (!check_rule(entry, step)) return false;
  operands->states = kStates[step->rule];
  return check_step_operands(entry, *step, x, g, nullptr, s1, s2, operands);
}

bool check_step_operands(Arguments& entry, const kith_step& step, const kith_matrix* x, const kith_matrix* g,
                         const kith_matrix* h, const kith_matrix* s1, const kith_matrix* s2, StepOperands* operands) {
  if (!check_parameters(entry, "x", x, &operands->x)) return false;
  const Matrix& mx = operands->x;
  if (!check_gradient(entry, "g", g, mx, &operands->g, &operands->gradient) ||
      (h != nullptr && !entry.matrix("h", h, -1, mx.rows, mx.cols, &operands->h)) ||
      !check_state(entry, "s1", s1, operands->states > 0, mx, &operands->s1) ||
      !check_state(entry, "s2", s2, operands->states > 1, mx, &operands->s2) || !check_groups(entry, step, mx.cols)) {
    return false;
  }
  operands->group_count = step.group_count > 0 ? step.group_count : 1;
  if (step.row_scale != nullptr &&
      !entry.matrix("row_scale", step.row_scale, KITH_F64, mx.rows, operands->group_count, &operands->row_scale)) {
    return false;
  }
  if (step.copy != nullptr) {
    if (!entry.matrix("copy", step.copy, -1, mx.rows, mx.cols, &operands->copy)) return false;
    if (operands->copy.dtype != KITH_BF16 && operands->copy.dtype != KITH_F16) {
      entry.fail(KITH_UNSUPPORTED, "copy is %s; it is bf16 or f16", dtype_name(operands->copy.dtype));
      return false;
    }
  }
  if (step.flags != nullptr && !entry.matrix("flags", step.flags, KITH_I32, 1, mx.rows, &operands->flags)) {
    return false;
  }
  const struct {
    const char* name;
    const Matrix& m;
    bool written;
  } all[] = {{"x", mx, true},
             {"s1", operands->s1, true},
             {"s2", operands->s2, true},
             {"copy", operands->copy, true},
             {"flags", operands->flags, true},
             {"g", operands->g, false},
             {"h", operands->h, false},
             {"row_scale", operands->row_scale, false}};
  for (const auto& a : all) {
    for (const auto& b : all) {
      if (&a >= &b || a.m.data == nullptr || b.m.data == nullptr || !a.written) continue;
      if (!entry.disjoint(a.name, a.m, b.name, b.m, false)) return false;
    }
  }
  return true;
}

/* ---- many matrices --------------------------------------------------------------------------------------------------- */

namespace {

constexpr const char* kNames[] = {"x", "s1", "s2", "g"};

// "x[17]"; a call checks thousands of names and shows at most one, so it is quicker than a format.
struct Indexed {
  char text[32];

  Indexed(const char* name, int64_t index) {
    char digits[20];
    int count = 0;
    do {
      digits[count++] = static_cast<char>('0' + index % 10);
      index /= 10;
    } while (index > 0);
    char* to = text;
    while (*name != 0) *to++ = *name++;
    *to++ = '[';
    while (count > 0) *to++ = digits[--count];
    *to++ = ']';
    *to = 0;
  }
};

const Matrix& window(const StepOperands* sets, const StepWindow& w) {
  const StepOperands& set = sets[w.set];
  return w.which == 0 ? set.x : w.which == 1 ? set.s1 : w.which == 2 ? set.s2 : set.g;
}

bool apart(Arguments& entry, const StepOperands* sets, const StepWindow& a, const StepWindow& b) {
  if (a.which == 3 && b.which == 3) return true;
  return entry.disjoint(Indexed(kNames[a.which], a.set).text, window(sets, a), Indexed(kNames[b.which], b.set).text,
                        window(sets, b), false);
}

// By begin, on a heap: no memory besides, no recursion.
void sort(StepWindow* order, int64_t count) {
  for (int64_t heap = count / 2 - 1, left = count; left > 1;) {
    if (heap < 0) {
      left--;
      const StepWindow last = order[left];
      order[left] = order[0];
      order[0] = last;
    }
    int64_t root = heap < 0 ? 0 : heap;
    const StepWindow moving = order[root];
    while (2 * root + 1 < left) {
      int64_t child = 2 * root + 1;
      if (child + 1 < left && order[child].begin < order[child + 1].begin) child++;
      if (order[child].begin <= moving.begin) break;
      order[root] = order[child];
      root = child;
    }
    order[root] = moving;
    if (heap >= 0) heap--;
  }
}

// Neighbours in address alone cannot tell column windows of one matrix apart, so those are compared within its period.
bool check_cluster(Arguments& entry, const StepOperands* sets, StepWindow* order, int64_t count) {
  const Matrix& first = window(sets, order[0]);
  const int64_t pitch = first.stride * first.element_bytes();
  bool one_pitch = true;
  for (int64_t i = 0; i < count && one_pitch; i++) {
    const Matrix& m = window(sets, order[i]);
    one_pitch = m.rows > 1 && m.stride * m.element_bytes() == pitch;
  }
  const int64_t origin = order[0].begin;
  for (int64_t i = 0; i < count && one_pitch; i++) {
    const Matrix& m = window(sets, order[i]);
    order[i].begin = (order[i].begin - origin) % pitch;
    order[i].end = order[i].begin + m.cols * m.element_bytes();
    one_pitch = order[i].end <= pitch;
  }
  if (one_pitch) sort(order, count);
  for (int64_t i = 0; i < count; i++) {
    for (int64_t j = i + 1; j < count && (!one_pitch || order[j].begin < order[i].end); j++) {
      if (!apart(entry, sets, order[i], order[j])) return false;
    }
  }
  return true;
}

}  // namespace

bool check_step_count(Arguments& entry, const kith_step* step, int64_t count, const kith_matrix* x,
                      const kith_matrix* g) {
  if (!check_rule(entry, step)) return false;
  if (count < 0 || (count > 0 && (x == nullptr || g == nullptr)) || count > INT32_MAX) {
    entry.fail(KITH_INVALID, "count is %lld, x is %s and g is %s; give arrays of count matrices",
               static_cast<long long>(count), x == nullptr ? "NULL" : "given", g == nullptr ? "NULL" : "given");
    return false;
  }
  if (step->group_count != 0 || step->groups != nullptr || step->row_scale != nullptr || step->copy != nullptr) {
    entry.fail(KITH_INVALID, "the step has groups, a row_scale or a copy; steps on many matrices take none of these");
    return false;
  }
  return true;
}

bool check_steps(Arguments& entry, const kith_step* step, int64_t count, const kith_matrix* x, const kith_matrix* g,
                 const kith_matrix* s1, const kith_matrix* s2, StepOperands* common, StepOperands* sets,
                 StepWindow* order) {
  common->states = kStates[step->rule];
  common->group_count = 1;
  int64_t windows = 0;
  for (int64_t k = 0; k < count; k++) {
    StepOperands& set = sets[k];
    set = StepOperands{};
    set.states = common->states;
    set.group_count = 1;
    if (!check_parameters(entry, Indexed("x", k).text, &x[k], &set.x) ||
        !check_gradient(entry, Indexed("g", k).text, &g[k], set.x, &set.g, &set.gradient) ||
        !check_state(entry, s1 == nullptr ? "s1" : Indexed("s1", k).text, s1 == nullptr ? nullptr : &s1[k],
                     set.states > 0, set.x, &set.s1) ||
        !check_state(entry, s2 == nullptr ? "s2" : Indexed("s2", k).text, s2 == nullptr ? nullptr : &s2[k],
                     set.states > 1, set.x, &set.s2)) {
      return false;
    }
    if (k == 0) {
      common->x = set.x;
      common->g = set.g;
      common->gradient = set.gradient;
    }
    if (set.x.dtype != common->x.dtype || set.g.dtype != common->g.dtype) {
      entry.fail(KITH_INVALID, "x[%lld] is %s with gradient %s and x[0] is %s with %s; give one dtype each",
                 static_cast<long long>(k), dtype_name(set.x.dtype), dtype_name(set.g.dtype),
                 dtype_name(common->x.dtype), dtype_name(common->g.dtype));
      return false;
    }
    if (set.x.rows == 0 || set.x.cols == 0) continue;
    const Matrix* const all[] = {&set.x, &set.s1, &set.s2, &set.g};
    for (int which = 0; which < 4; which++) {
      const Matrix& m = *all[which];
      if (m.data == nullptr) continue;
      const int64_t begin = static_cast<int64_t>(reinterpret_cast<intptr_t>(m.data));
      order[windows++] = StepWindow{begin, begin + ((m.rows - 1) * m.stride + m.cols) * m.element_bytes(), k, which};
    }
  }
  // Windows whose address ranges meet, directly or through others, form a cluster; most clusters are one window.
  sort(order, windows);
  for (int64_t i = 0; i < windows;) {
    int64_t end = order[i].end, j = i + 1;
    while (j < windows && order[j].begin < end) {
      if (order[j].end > end) end = order[j].end;
      j++;
    }
    if (j - i > 1 && !check_cluster(entry, sets, order + i, j - i)) return false;
    i = j;
  }
  if (step->flags == nullptr) return true;
  if (!entry.matrix("flags", step->flags, KITH_I32, 1, count, &common->flags)) return false;
  for (int64_t k = 0; k < count; k++) {
    const StepOperands& set = sets[k];
    const Matrix* const all[] = {&set.x, &set.s1, &set.s2, &set.g};
    for (int which = 0; which < 4; which++) {
      if (all[which]->data != nullptr &&
          !entry.disjoint("flags", common->flags, Indexed(kNames[which], k).text, *all[which], false)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace kith
