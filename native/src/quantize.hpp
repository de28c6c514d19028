/* What quantize_api.cpp (once) and quantize.cpp (per tier) agree on. */
#ifndef KITH_QUANTIZE_HPP
#define KITH_QUANTIZE_HPP

#include <cstdint>

namespace kith {

/* Columns whose codes fill whole words in every code. */
inline constexpr int64_t kPacket = 32;
/* Columns of a part of a long block: a node of the tree of kith.h, 16 chunks. */
inline constexpr int64_t kQuantizePart = 65536;

/* A kith_code for rows of `cols` columns. */
struct QuantizeCode {
  int32_t kind;
  int32_t bits;
  int32_t levels; /* Q of QSGD and ABSMAX */
  int32_t norm;
  int32_t stochastic;
  int32_t scales; /* of a block */
  int64_t cols;
  int64_t block; /* columns, at least 1 */
  int64_t blocks;
  int64_t scale_words;
  int64_t words;
};

/* What a part of a block adds to its scales. */
struct QuantizePart {
  double sum1; /* of squares, of absolute values, or of what has bit 1 */
  double sum0; /* of what has bit 0 */
  int64_t ones;
  int32_t low;  /* the least v, as an integer in the order of floats */
  int32_t high; /* the largest v likewise, or the bits of the largest |v| */
  int32_t nan;
  int32_t reserved;
};

struct QuantizeTask {
  QuantizeCode code;
  const unsigned char* x;
  const unsigned char* minus; /* NULL: none, here and below */
  const unsigned char* uniforms;
  unsigned char* residual;
  unsigned char* messages;
  int64_t x_pitch; /* bytes, as the others */
  int64_t minus_pitch;
  int64_t uniforms_pitch;
  int64_t residual_pitch;
  int64_t messages_pitch;
  uint32_t key0;
  uint32_t key1;
  int64_t round;
  int64_t first_node;
  int32_t stream;
  int32_t streaming; /* 1: messages are stored past the caches */
};

/* Entries of one row of W, at most kQuantizeEntries at a time. */
inline constexpr int64_t kQuantizeEntries = 64;
struct QuantizeSum {
  const unsigned char* messages[kQuantizeEntries];
  float weights[kQuantizeEntries];
  int64_t count;
  float* y;
  int32_t from_zero; /* 1: y is not read */
  int32_t streaming; /* 1: y is stored past the caches */
};

struct QuantizeKernels {
  /* Codes the columns [begin, end) of a row; begin is a multiple of kPacket. With `measure` their blocks, whole ones, are
     measured first, else their scales are in the message. Returns 1 when something is not finite. */
  int32_t (*encode)(const QuantizeTask& task, int64_t row, int64_t begin, int64_t end, int64_t group, bool measure);
  /* A part of a block: n <= kQuantizePart columns from `column` on. */
  void (*measure)(const QuantizeTask& task, int64_t row, int64_t column, int64_t n, QuantizePart* part);
  /* The scales of a block of n columns from its parts, which it changes. Returns 1 when they are not finite. */
  int32_t (*settle)(const QuantizeTask& task, int64_t row, int64_t block, int64_t n, QuantizePart* parts,
                    int64_t part_count);
  /* Columns [begin, end); begin is a multiple of kPacket. */
  void (*accumulate)(const QuantizeCode& code, const QuantizeSum& sum, int64_t begin, int64_t end);
  /* Words [begin, end) of the majority of `rows` messages. */
  void (*majority)(const unsigned char* messages, int64_t pitch, int64_t rows, int64_t cols, int64_t begin, int64_t end,
                   unsigned char* out);
};

}  // namespace kith

#endif
