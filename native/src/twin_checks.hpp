/* Checks of kith_twin, the same in every library. */
#ifndef KITH_TWIN_CHECKS_HPP
#define KITH_TWIN_CHECKS_HPP

#include "arguments.hpp"
#include "twin.hpp"

namespace kith {

struct TwinOperands {
  TwinJob job; /* strides in bytes */
  int wide;    /* 1 when a stream is f64 */
  int64_t rows;
  int64_t cols;
  int64_t bytes; /* of all streams */
  Matrix sink;   /* data NULL: not wanted */
};

bool check_twin(Arguments& entry, const kith_matrix* const* sources, int32_t read_count,
                const kith_matrix* const* targets, int32_t write_count, int32_t nontemporal, const kith_matrix* sink,
                TwinOperands* operands);

}  // namespace kith

#endif
