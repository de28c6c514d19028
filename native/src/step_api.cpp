// step: coefficients per group, and which matrix a block belongs to.
#include "dispatch.hpp"
#include "step_blocks.hpp"

namespace kith {

KITH_FAMILY(StepKernels, step)

namespace {

// What kith_apply_steps knows of a set: its operands and its place among the blocks.
struct StepsContext {
  StepContext common;
  const StepOperands* sets;
  const int64_t* first_blocks;
  int64_t count;
};

void steps_body(void* pointer, int64_t block, int32_t) {
  const StepsContext& context = *static_cast<const StepsContext*>(pointer);
  // The last set that begins at or before the block; empty sets begin where the next one does.
  int64_t low = 0, high = context.count - 1;
  while (low < high) {
    const int64_t middle = (low + high + 1) / 2;
    if (context.first_blocks[middle] <= block) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  StepContext one = context.common;
  int32_t* flags = reinterpret_cast<int32_t*>(one.operands.flags.data);
  one.operands = context.sets[low];
  cut(one);
  step_block(one, block - context.first_blocks[low], flags == nullptr ? nullptr : flags + low, 0);
}

StepKernel kernel_for(const kith_step& step, const StepOperands& operands) {
  return kith::step().span[step.rule][operands.x.dtype == KITH_F64 ? 1 : 0][operands.gradient];
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_apply_step(kith_queue* queue, const kith_step* step, const kith_matrix* x, const kith_matrix* g,
                            const kith_matrix* s1, const kith_matrix* s2, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_apply_step");
  StepContext context = {};
  StepOperands& operands = context.operands;
  if (!check_step(entry, step, x, g, s1, s2, &operands)) return entry.status();
  const int64_t blocks = cut(context);
  if (blocks == 0) return entry.finish();
  StepNumbers* numbers =
      static_cast<StepNumbers*>(entry.scratch(operands.group_count * static_cast<int64_t>(sizeof(StepNumbers))));
  if (numbers == nullptr) return entry.status();
  for (int64_t k = 0; k < operands.group_count; k++) numbers[k] = step_numbers(*step, k);
  context.numbers = numbers;
  context.groups = step->groups;
  context.kernel = kernel_for(*step, operands);
  return entry.run(blocks, moved_bytes(operands), step_body, &context);
}

kith_status kith_apply_steps(kith_queue* queue, const kith_step* step, int64_t count, const kith_matrix* x,
                             const kith_matrix* g, const kith_matrix* s1, const kith_matrix* s2, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_apply_steps");
  if (!check_step_count(entry, step, count, x, g)) return entry.status();
  StepsContext context = {};
  const int64_t sets_bytes = count * static_cast<int64_t>(sizeof(StepOperands));
  const int64_t order_bytes = 4 * count * static_cast<int64_t>(sizeof(StepWindow));
  unsigned char* scratch = static_cast<unsigned char*>(entry.scratch(sets_bytes + order_bytes + count * 8));
  if (scratch == nullptr) return entry.status();
  StepOperands* sets = reinterpret_cast<StepOperands*>(scratch);
  int64_t* first_blocks = reinterpret_cast<int64_t*>(scratch + sets_bytes + order_bytes);
  if (!check_steps(entry, step, count, x, g, s1, s2, &context.common.operands, sets,
                   reinterpret_cast<StepWindow*>(scratch + sets_bytes))) {
    return entry.status();
  }
  int64_t blocks = 0, bytes = 0;
  for (int64_t k = 0; k < count; k++) {
    StepContext one = {};
    one.operands = sets[k];
    first_blocks[k] = blocks;
    blocks += cut(one);
    bytes += moved_bytes(sets[k]);
  }
  if (blocks == 0) return entry.finish();
  const StepNumbers numbers = step_numbers(*step, 0);
  context.common.numbers = &numbers;
  context.common.kernel = kernel_for(*step, context.common.operands);
  context.sets = sets;
  context.first_blocks = first_blocks;
  context.count = count;
  return entry.run(blocks, bytes, steps_body, &context);
}

}  // extern "C"
