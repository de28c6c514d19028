/* Block kernels of the family memory: one window of columns of one row each. */
#ifndef KITH_MEMORY_HPP
#define KITH_MEMORY_HPP

#include <cstdint>

namespace kith {

struct MemoryKernels {
  /* n elements; NULL where from and to are the same dtype (a plain copy) or one of them is I32. Indexed [from][to] by
     kith_dtype. */
  void (*convert[5][5])(const void* from, void* to, int64_t n);
};

}  // namespace kith

#endif
