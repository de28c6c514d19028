/* What the CPU library keeps of a mixing matrix, for every family that sums over neighbours. */
#ifndef KITH_CPU_WEIGHTS_HPP
#define KITH_CPU_WEIGHTS_HPP

#include "arguments.hpp"

namespace kith {

struct CpuWeights : kith_weights {
  int64_t used_count;
  int64_t pair_count;
  int64_t longest;   // entries of the row that has most
  int64_t* offsets;  // NULL: dense
  int32_t* columns;
  int32_t* slots;
  int32_t* used;  // NULL: every column
  int32_t* output_rows;
  int32_t* pairs;
  float* values32;
  double* values64;
};

}  // namespace kith

#endif
