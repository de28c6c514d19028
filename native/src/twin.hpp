/* Block kernels of the twin: the roof that the benchmarks compare a kernel with. */
#ifndef KITH_TWIN_HPP
#define KITH_TWIN_HPP

#include <cstdint>

namespace kith {

struct TwinStream {
  unsigned char* data;
  int64_t stride; /* bytes */
  int32_t dtype;
};

inline constexpr int kTwinStreams = 8;

/* Streams that are read only, written only, and updated in place. */
struct TwinJob {
  TwinStream reads[kTwinStreams];
  TwinStream writes[kTwinStreams];
  TwinStream updates[kTwinStreams];
  int32_t read_count;
  int32_t write_count;
  int32_t update_count;
  bool streaming;
};

struct TwinKernels {
  /* A value that depends on every element that was read. */
  double (*row[2])(const TwinJob& job, int64_t row, int64_t column, int64_t column_end);
};

}  // namespace kith

#endif
