/* How a step is cut into blocks, and a block into spans of one row and group: step_api.cpp and curvature_api.cpp. */
#ifndef KITH_STEP_BLOCKS_HPP
#define KITH_STEP_BLOCKS_HPP

#include "core.hpp"
#include "step_checks.hpp"

namespace kith {

namespace {

// Columns per block; narrow matrices take so many rows that a block has about as many elements.
constexpr int64_t kBlock = 16384;

struct StepContext {
  StepOperands operands;
  StepKernel kernel;
  const kith_group* groups;
  const StepNumbers* numbers;
  int64_t columns; /* per block */
  int64_t rows;    /* per block */
  int64_t across;  /* blocks in a row */
};

// Sets columns, rows and across; returns the number of blocks.
int64_t cut(StepContext& context) {
  const Matrix& x = context.operands.x;
  if (x.rows == 0 || x.cols == 0) return 0;
  context.columns = x.cols < kBlock ? x.cols : kBlock;
  context.rows = kBlock / context.columns;
  context.across = (x.cols + context.columns - 1) / context.columns;
  return context.across * ((x.rows + context.rows - 1) / context.rows);
}

int64_t moved_bytes(const StepOperands& o) {
  return 2 * (1 + o.states) * o.x.bytes() + o.g.bytes() + (o.h.data == nullptr ? 0 : o.h.bytes()) +
         (o.copy.data == nullptr ? 0 : o.copy.bytes());
}

unsigned char* element(const Matrix& m, int64_t row, int64_t column) {
  return m.data == nullptr ? nullptr : m.row(row) + column * m.element_bytes();
}

// One block; `flag_step` is 0 where all rows share one flag.
void step_block(const StepContext& context, int64_t block, int32_t* flags, int64_t flag_step) {
  const StepOperands& operands = context.operands;
  const int64_t begin = block % context.across * context.columns;
  const int64_t end = operands.x.cols - begin < context.columns ? operands.x.cols : begin + context.columns;
  const int64_t first = block / context.across * context.rows;
  const int64_t last = operands.x.rows - first < context.rows ? operands.x.rows : first + context.rows;
  int64_t group = 0;
  if (context.groups != nullptr) {
    // The first group that ends beyond `begin`.
    int64_t low = 0, high = operands.group_count - 1;
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
  span.copy_dtype = operands.copy.dtype;
  for (int64_t r = first; r < last; r++) {
    const double* scales =
        operands.row_scale.data == nullptr ? nullptr : reinterpret_cast<const double*>(operands.row_scale.row(r));
    int32_t found = 0;
    int64_t k = group;
    for (int64_t column = begin; column < end; k++) {
      const int64_t group_end = context.groups == nullptr ? end : context.groups[k].end;
      const int64_t stop = group_end < end ? group_end : end;
      span.x = element(operands.x, r, column);
      span.g = element(operands.g, r, column);
      span.h = element(operands.h, r, column);
      span.s1 = element(operands.s1, r, column);
      span.s2 = element(operands.s2, r, column);
      span.copy = element(operands.copy, r, column);
      span.n = stop - column;
      span.numbers = context.numbers + k;
      span.scale = scales == nullptr ? 1.0 : scales[k];
      if (span.n > 0) found |= context.kernel(span);
      column = stop;
    }
    if (found != 0 && flags != nullptr) __atomic_fetch_or(flags + r * flag_step, found, __ATOMIC_RELAXED);
  }
}

void step_body(void* pointer, int64_t block, int32_t) {
  const StepContext& context = *static_cast<const StepContext*>(pointer);
  step_block(context, block, reinterpret_cast<int32_t*>(context.operands.flags.data), 1);
}

}  // namespace

}  // namespace kith

#endif
