// Checks of the family sparsify.
#include "sparsify_checks.hpp"

namespace kith {

namespace {

long long number(int64_t n) { return static_cast<long long>(n); }

struct Named {
  const char* name;
  const Matrix* m;
  bool written;
};

// Nothing that is written overlaps anything else.
bool apart(Arguments& entry, const Named* all, int count) {
  for (int i = 0; i < count; i++) {
    for (int j = 0; j < count; j++) {
      if (i == j || !all[i].written || all[i].m->data == nullptr || all[j].m->data == nullptr) continue;
      if (!entry.disjoint(all[i].name, *all[i].m, all[j].name, *all[j].m, false)) return false;
    }
  }
  return true;
}

bool check_source(Arguments& entry, const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                  SelectOperands* operands) {
  *operands = SelectOperands{};
  Matrix& mx = operands->x;
  if (!entry.matrix("x", x, &mx)) return false;
  if (mx.dtype != KITH_F32) {
    entry.fail(KITH_UNSUPPORTED, "x is %s; selections take f32", dtype_name(mx.dtype));
    return false;
  }
  if (mx.cols > INT32_MAX) {
    entry.fail(KITH_INVALID, "x has %lld columns; a message names at most %d", number(mx.cols), INT32_MAX);
    return false;
  }
  return (minus == nullptr || entry.matrix("minus", minus, KITH_F32, mx.rows, mx.cols, &operands->minus)) &&
         (residual == nullptr || entry.matrix("residual", residual, KITH_F32, mx.rows, mx.cols, &operands->residual));
}

bool check_words(Arguments& entry, const char* name, const kith_matrix* messages, int64_t rows, int64_t words,
                 Matrix* out) {
  if (!entry.matrix(name, messages, KITH_I32, rows, -1, out)) return false;
  if (out->cols >= words) return true;
  entry.fail(KITH_INVALID, "%s has %lld columns and a message has %lld words; give as many", name, number(out->cols),
             number(words));
  return false;
}

bool check_target(Arguments& entry, int64_t words, const kith_matrix* messages, const kith_matrix* flags,
                  SelectOperands* operands) {
  const Matrix& x = operands->x;
  if (!check_words(entry, "messages", messages, x.rows, words, &operands->messages)) return false;
  if (flags != nullptr && !entry.matrix("flags", flags, KITH_I32, 1, x.rows, &operands->flags)) return false;
  const Named all[] = {{"residual", &operands->residual, true},     {"messages", &operands->messages, true},
                       {"flags", &operands->flags, true},           {"x", &operands->x, false},
                       {"minus", &operands->minus, false},          {"indices", &operands->indices, false},
                       {"thresholds", &operands->thresholds, false}};
  return apart(entry, all, 7);
}

int64_t words_of(int32_t form, int64_t entries) {
  return form == KITH_SPARSE_TOP ? 2 * entries : form == KITH_SPARSE_AT ? entries : 1 + 2 * entries;
}

bool form_exists(int32_t form) { return form >= KITH_SPARSE_TOP && form <= KITH_SPARSE_ABOVE; }

}  // namespace

int64_t top_entries(int64_t cols, int64_t k, int64_t block) {
  const int64_t rest = cols % block;
  return cols / block * (k < block ? k : block) + (rest < k ? rest : k);
}

bool check_select_top(Arguments& entry, const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                      int64_t k, int64_t block, const kith_matrix* messages, const kith_matrix* flags,
                      SelectOperands* operands) {
  if (!check_source(entry, x, minus, residual, operands)) return false;
  const int64_t cols = operands->x.cols;
  if (block < 0) {
    entry.fail(KITH_INVALID, "block is %lld; give its columns, or 0 for the whole row", number(block));
    return false;
  }
  const int64_t limit = block == 0 ? cols : block;
  if (k < 0 || k > limit) {
    entry.fail(KITH_INVALID, "k is %lld; choose 0 to %lld elements, the columns of a block", number(k), number(limit));
    return false;
  }
  operands->block = limit > 0 && limit < cols ? limit : cols > 0 ? cols : 1;
  return check_target(entry, 2 * top_entries(cols, k, operands->block), messages, flags, operands);
}

bool check_select_at(Arguments& entry, const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                     const kith_matrix* indices, const kith_matrix* messages, const kith_matrix* flags,
                     SelectOperands* operands) {
  if (!check_source(entry, x, minus, residual, operands)) return false;
  Matrix& m = operands->indices;
  if (!entry.matrix("indices", indices, KITH_I32, -1, -1, &m)) return false;
  if (m.rows != 1 && m.rows != operands->x.rows) {
    entry.fail(KITH_INVALID, "indices has %lld rows and x has %lld; give as many, or one row for all", number(m.rows),
               number(operands->x.rows));
    return false;
  }
  if (m.cols > operands->x.cols) {
    entry.fail(KITH_INVALID, "indices has %lld columns and x has %lld; an element is sent once", number(m.cols),
               number(operands->x.cols));
    return false;
  }
  return check_target(entry, m.cols, messages, flags, operands);
}

bool check_select_above(Arguments& entry, const kith_matrix* x, const kith_matrix* minus, const kith_matrix* residual,
                        const kith_matrix* thresholds, int64_t capacity, const kith_matrix* messages,
                        const kith_matrix* flags, SelectOperands* operands) {
  if (!check_source(entry, x, minus, residual, operands)) return false;
  if (!entry.matrix("thresholds", thresholds, KITH_F64, 1, operands->x.rows, &operands->thresholds)) return false;
  if (capacity < 0 || capacity > operands->x.cols) {
    entry.fail(KITH_INVALID, "capacity is %lld; give room for 0 to %lld elements, the columns of x", number(capacity),
               number(operands->x.cols));
    return false;
  }
  operands->block = operands->x.cols > 0 ? operands->x.cols : 1;
  return check_target(entry, 1 + 2 * capacity, messages, flags, operands);
}

bool check_sample_thresholds(Arguments& entry, const kith_matrix* x, const kith_matrix* minus,
                             const kith_matrix* residual, const kith_draw* draw, int64_t k, int64_t samples,
                             const kith_matrix* thresholds, SelectOperands* operands, Draw* numbers) {
  if (!check_source(entry, x, minus, residual, operands)) return false;
  const Matrix& mx = operands->x;
  const int64_t limit = mx.cols < kMostThresholdSamples ? mx.cols : kMostThresholdSamples;
  if (samples < 1 || samples > limit) {
    entry.fail(KITH_INVALID, "samples is %lld and x has %lld columns; draw at least 1 and at most %lld",
               number(samples), number(mx.cols), number(limit));
    return false;
  }
  if (k < 1 || k > samples) {
    entry.fail(KITH_INVALID, "k is %lld; take the 1st to the %lldth largest of the sample", number(k), number(samples));
    return false;
  }
  if (draw == nullptr) {
    entry.fail(KITH_INVALID, "draw is NULL and the sample is drawn at random; give one");
    return false;
  }
  if (draw->uniforms != nullptr) {
    entry.fail(KITH_INVALID, "draw has uniforms; a sample is drawn by the generator alone");
    return false;
  }
  if (!check_generator(entry, draw, mx.rows, numbers) ||
      !entry.matrix("thresholds", thresholds, KITH_F64, 1, mx.rows, &operands->thresholds)) {
    return false;
  }
  const Named all[] = {{"thresholds", &operands->thresholds, true},
                       {"x", &mx, false},
                       {"minus", &operands->minus, false},
                       {"residual", &operands->residual, false}};
  return apart(entry, all, 4);
}

bool check_sparse_accumulate(Arguments& entry, const kith_weights* weights, bool dense, int32_t form, int64_t entries,
                             const kith_matrix* indices, const kith_matrix* halo_indices, const kith_matrix* messages,
                             const kith_matrix* halo, int32_t add, const kith_matrix* y, AccumulateOperands* operands) {
  *operands = AccumulateOperands{};
  Matrix &my = operands->y, &mm = operands->messages, &mh = operands->halo;
  if (!form_exists(form) || (add != 0 && add != 1)) {
    entry.fail(KITH_INVALID, "the form is %d and add is %d; use one of kith_sparse_form, and 0 or 1", form, add);
    return false;
  }
  if (!entry.matrix("y", y, &my)) return false;
  if (my.dtype != KITH_F32) {
    entry.fail(KITH_UNSUPPORTED, "y is %s; sparse messages are added to f32", dtype_name(my.dtype));
    return false;
  }
  if (entries < 0 || entries > my.cols || my.cols > INT32_MAX) {
    entry.fail(KITH_INVALID, "a message has %lld entries and y %lld columns; give at most as many entries, and %d",
               number(entries), number(my.cols), INT32_MAX);
    return false;
  }
  if (weights != nullptr && weights->device != entry.device()) {
    entry.fail(KITH_INVALID, "weights live on another device than the queue; create them there");
    return false;
  }
  if (weights != nullptr && dense) {
    entry.fail(KITH_UNSUPPORTED, "weights are dense; sparse messages are added with sparse weights");
    return false;
  }
  const int64_t words = words_of(form, entries);
  if (!check_words(entry, "messages", messages, -1, words, &mm)) return false;
  if (halo != nullptr && weights == nullptr) {
    entry.fail(KITH_INVALID, "a halo is given but no weights; only weights refer to its rows");
    return false;
  }
  if (halo != nullptr && !check_words(entry, "halo", halo, -1, words, &mh)) return false;
  if (weights == nullptr && mm.rows != my.rows) {
    entry.fail(KITH_INVALID, "messages has %lld rows and y has %lld; without weights give as many", number(mm.rows),
               number(my.rows));
    return false;
  }
  if (weights != nullptr && weights->cols != mm.rows + mh.rows) {
    entry.fail(KITH_INVALID, "weights have %lld columns for %lld messages and %lld rows of the halo; let them agree",
               number(weights->cols), number(mm.rows), number(mh.rows));
    return false;
  }
  if (weights != nullptr && (!weights->scattered ? weights->rows != my.rows : weights->output_end > my.rows)) {
    entry.fail(KITH_INVALID, "weights write %lld rows and y has %lld; let the numbers agree",
               number(!weights->scattered ? weights->rows : weights->output_end), number(my.rows));
    return false;
  }
  if (form != KITH_SPARSE_AT && (indices != nullptr || halo_indices != nullptr)) {
    entry.fail(KITH_INVALID, "indices are given; only messages of form AT take them");
    return false;
  }
  if (form == KITH_SPARSE_AT) {
    Matrix &mi = operands->indices, &mhi = operands->halo_indices;
    if (!entry.matrix("indices", indices, KITH_I32, -1, entries, &mi)) return false;
    if (mi.rows != 1 && mi.rows != mm.rows) {
      entry.fail(KITH_INVALID, "indices has %lld rows and there are %lld messages; give as many, or one row for all",
                 number(mi.rows), number(mm.rows));
      return false;
    }
    if (halo_indices != nullptr) {
      if (!entry.matrix("halo_indices", halo_indices, KITH_I32, -1, entries, &mhi)) return false;
      if (halo == nullptr || (mhi.rows != 1 && mhi.rows != mh.rows)) {
        entry.fail(KITH_INVALID, "halo_indices has %lld rows and the halo %lld; give as many, or one row for all",
                   number(mhi.rows), number(mh.rows));
        return false;
      }
    } else if (mh.rows > 0 && mi.rows != 1) {
      entry.fail(KITH_INVALID, "halo_indices is NULL and indices has %lld rows; only one row serves the halo too",
                 number(mi.rows));
      return false;
    }
  }
  const Named all[] = {{"y", &my, true},
                       {"messages", &mm, false},
                       {"halo", &mh, false},
                       {"indices", &operands->indices, false},
                       {"halo_indices", &operands->halo_indices, false}};
  return apart(entry, all, 5);
}

int64_t wrong_column(const int32_t* columns, int64_t begin, int64_t end, int64_t cols) {
  int64_t before = begin == 0 ? -1 : columns[begin - 1];
  for (int64_t i = begin; i < end; i++) {
    if (columns[i] <= before || columns[i] >= cols) return i;
    before = columns[i];
  }
  return -1;
}

}  // namespace kith

extern "C" {

kith_status kith_sparse_check(int32_t form, const int32_t* words, int64_t word_count, int64_t cols, int64_t entries,
                              kith_call* call) {
  using namespace kith;
  constexpr const char* kName = "kith_sparse_check";
  if (!form_exists(form)) {
    return fail(call, KITH_INVALID, "%s: the form is %d; use one of kith_sparse_form", kName, form);
  }
  if (cols < 0 || cols > INT32_MAX || entries < 0 || entries > cols) {
    return fail(call, KITH_INVALID, "%s: %lld entries of %lld columns are no message; give 0 to as many as columns",
                kName, number(entries), number(cols));
  }
  const int64_t wanted = words_of(form, entries);
  if (word_count != wanted || (words == nullptr && wanted > 0)) {
    return fail(call, KITH_INVALID, "%s: the payload has %lld words%s and must have %lld", kName, number(word_count),
                words == nullptr ? " at NULL" : "", number(wanted));
  }
  if (reinterpret_cast<uintptr_t>(words) % sizeof(int32_t) != 0) {
    return fail(call, KITH_INVALID, "%s: the payload is at an address that is no multiple of 4; align it", kName);
  }
  if (form == KITH_SPARSE_AT) return KITH_OK;
  const int64_t first = form == KITH_SPARSE_ABOVE ? 1 : 0;
  const int64_t count = form == KITH_SPARSE_ABOVE ? words[0] : entries;
  if (count < 0 || count > entries) {
    return fail(call, KITH_INVALID, "%s: the payload counts %lld entries and has room for %lld", kName, number(count),
                number(entries));
  }
  const int64_t wrong = wrong_column(words + first, 0, count, cols);
  if (wrong >= 0) {
    return fail(call, KITH_INVALID, "%s: word %lld is the column %d; columns ascend strictly in [0, %lld)", kName,
                number(first + wrong), words[first + wrong], number(cols));
  }
  for (int64_t i = count; i < entries; i++) {
    const int64_t at = words[first + i] != 0 ? first + i : first + entries + i;
    if (words[at] != 0) {
      return fail(call, KITH_INVALID, "%s: word %lld is %d behind the last of %lld entries, and must be 0", kName,
                  number(at), words[at], number(count));
    }
  }
  return KITH_OK;
}

}  // extern "C"
