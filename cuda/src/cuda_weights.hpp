/* What the CUDA library keeps of a mixing matrix, for every family that sums over neighbours. */
#ifndef KITH_CUDA_WEIGHTS_HPP
#define KITH_CUDA_WEIGHTS_HPP

#include "host.hpp"

namespace kith {

/* An entry of W; slot: position of its column among the used ones. */
template <class T>
struct Weight {
  T value;
  int32_t slot;
};

struct CudaWeights : kith_weights {
  Allocation* memory;
  int64_t used_count;
  int64_t pair_count;
  bool dense;
  /* On the device, within the memory. */
  const int64_t* offsets;
  const int32_t* output_rows; /* NULL: row r */
  const int32_t* used;        /* columns with entries, ascending; NULL: all */
  const int32_t* pairs;       /* two rows each, equal where a row is alone */
  const void* links[2];       /* Weight<float>, Weight<double>; dense: float, double */
  int32_t* host_used;         /* NULL: all */
};

}  // namespace kith

#endif
