/* Checks of the family memory, the same in every library. */
#ifndef KITH_MEMORY_CHECKS_HPP
#define KITH_MEMORY_CHECKS_HPP

#include "arguments.hpp"

namespace kith {

kith_status check_allocate(kith_call* call, const kith_queue* queue, int64_t bytes, kith_memory* const* memory);
kith_status check_wrap(kith_call* call, const kith_device* device, const void* address, int64_t bytes,
                       kith_memory* const* memory);
kith_status check_address(kith_call* call, const kith_memory* memory, void* const* address, const int32_t* host);

/* KITH_OUT_OF_MEMORY with what was asked for, what is free, what there is and what this library holds. */
kith_status fail_memory(kith_call* call, const char* operation, int64_t bytes, int64_t free_bytes, int64_t total_bytes,
                        int64_t live_bytes);

/* `pattern` becomes the element where m is i32 or f64; the narrower types are for the caller to round. */
bool check_fill(Arguments& entry, const kith_matrix* m, double value, Matrix* to, unsigned char (&pattern)[8]);
bool check_convert(Arguments& entry, const kith_matrix* from, const kith_matrix* to, Matrix* source, Matrix* target);
/* `host` becomes a window of the shape of m; `name` is the name of m. */
bool check_transfer(Arguments& entry, const char* name, const kith_matrix* m, const void* host, int64_t host_stride,
                    Matrix* checked, Matrix* window);
bool check_gather(Arguments& entry, const kith_matrix* from, const kith_matrix* index, const kith_matrix* to,
                  Matrix* source, Matrix* indices, Matrix* target);
/* For an index that names no row. */
kith_status fail_index(Arguments& entry, int64_t position, int32_t index, int64_t rows);

}  // namespace kith

#endif
