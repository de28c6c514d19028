// quantize: how rows are cut into spans, blocks and parts.
#include "core.hpp"
#include "cpu_weights.hpp"
#include "dispatch.hpp"
#include "quantize_checks.hpp"

namespace kith {

KITH_FAMILY(QuantizeKernels, quantize)

namespace {

// Columns of one block of work; a multiple of a packet.
constexpr int64_t kSpan = 16384;
constexpr int64_t kSumSpan = 8192;
// Elements that a block of a sum adds up at most, where rows can be cut.
constexpr int64_t kSumWork = 1 << 20;
constexpr int64_t kMajorityWords = 2048;
constexpr int64_t kMajorityWork = 1 << 20;
// Scales that a block of work settles.
constexpr int64_t kSettled = 256;
// Outputs of this size do not stay in the caches for whoever reads them next.
constexpr int64_t kStreamBytes = 16 << 20;

int64_t cut_into(int64_t n, int64_t size) { return (n + size - 1) / size; }
int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* ---- kith_quantize ------------------------------------------------------------------------------------------------- */

struct Encoding {
  QuantizeTask task;
  int32_t* flags;
  int64_t rows;
  int64_t span;
  int64_t group;      // columns that are measured and coded at a time
  bool measured;      // in the pass that codes
  int64_t across;     // spans in a row
  int64_t rows_each;  // of one block
  // Of blocks that are measured in a pass of their own.
  QuantizePart* parts;
  int64_t row_parts;
  int64_t block_parts;
  int64_t parts_each;
};

void raise(const Encoding& encoding, int64_t row, int32_t found) {
  if (found != 0 && encoding.flags != nullptr) __atomic_fetch_or(encoding.flags + row, found, __ATOMIC_RELAXED);
}

int64_t greatest_common_divisor(int64_t a, int64_t b) { return b == 0 ? a : greatest_common_divisor(b, a % b); }

void cut(Encoding* encoding) {
  const QuantizeCode& code = encoding->task.code;
  const int64_t width = cut_into(code.cols, kPacket) * kPacket;
  encoding->group = kSpan;
  if (code.scales > 0) {
    // As many columns as are whole blocks and whole packets.
    const int64_t both = code.blocks <= 1 ? width : code.block / greatest_common_divisor(code.block, kPacket) * kPacket;
    encoding->measured = both <= kQuantizePart;
    if (encoding->measured) encoding->group = both > 0 ? both : kPacket;
  }
  encoding->span = encoding->group < kSpan ? kSpan / encoding->group * encoding->group : encoding->group;
  encoding->across = cut_into(code.cols, encoding->span);
  encoding->rows_each = code.cols < kSpan && code.cols > 0 ? kSpan / code.cols : 1;
  encoding->block_parts = cut_into(code.block, kQuantizePart);
  const int64_t last = code.cols - (code.blocks - 1) * code.block;
  encoding->row_parts = (code.blocks - 1) * encoding->block_parts + cut_into(last, kQuantizePart);
  encoding->parts_each = cut_into(kSpan, least(code.block, kQuantizePart));
}

void encode_block(void* pointer, int64_t block, int32_t) {
  const Encoding& encoding = *static_cast<const Encoding*>(pointer);
  const int64_t begin = block % encoding.across * encoding.span;
  const int64_t end = least(encoding.task.code.cols, begin + encoding.span);
  const int64_t first = block / encoding.across * encoding.rows_each;
  for (int64_t r = first; r < least(encoding.rows, first + encoding.rows_each); r++) {
    raise(encoding, r, quantize().encode(encoding.task, r, begin, end, encoding.group, encoding.measured));
  }
}

void measure_block(void* pointer, int64_t block, int32_t) {
  const Encoding& encoding = *static_cast<const Encoding*>(pointer);
  const QuantizeCode& code = encoding.task.code;
  const int64_t first = block * encoding.parts_each;
  for (int64_t p = first; p < least(encoding.rows * encoding.row_parts, first + encoding.parts_each); p++) {
    const int64_t in_row = p % encoding.row_parts;
    const int64_t at = in_row / encoding.block_parts;
    const int64_t column = at * code.block + in_row % encoding.block_parts * kQuantizePart;
    const int64_t end = least(code.cols, (at + 1) * code.block);
    quantize().measure(encoding.task, p / encoding.row_parts, column, least(kQuantizePart, end - column),
                       encoding.parts + p);
  }
}

void settle_block(void* pointer, int64_t block, int32_t) {
  const Encoding& encoding = *static_cast<const Encoding*>(pointer);
  const QuantizeCode& code = encoding.task.code;
  for (int64_t b = block * kSettled; b < least(encoding.rows * code.blocks, (block + 1) * kSettled); b++) {
    const int64_t row = b / code.blocks, at = b % code.blocks;
    const int64_t n = least(code.block, code.cols - at * code.block);
    QuantizePart* const parts = encoding.parts + row * encoding.row_parts + at * encoding.block_parts;
    raise(encoding, row, quantize().settle(encoding.task, row, at, n, parts, cut_into(n, kQuantizePart)));
  }
}

int64_t pitch_of(const Matrix& m) { return m.stride * m.element_bytes(); }

/* ---- kith_quantize_accumulate -------------------------------------------------------------------------------------- */

struct Summing {
  QuantizeCode code;
  Matrix messages;
  Matrix halo;
  Matrix y;
  const CpuWeights* weights;
  int64_t rows;  // of W
  int64_t rows_each;
  int64_t down;
  bool from_zero;
  bool streaming;
};

void sum_block(void* pointer, int64_t block, int32_t) {
  const Summing& summing = *static_cast<const Summing*>(pointer);
  const int64_t begin = block / summing.down * kSumSpan;
  const int64_t end = least(summing.code.cols, begin + kSumSpan);
  const int64_t first = block % summing.down * summing.rows_each;
  const CpuWeights* const w = summing.weights;
  QuantizeSum sum;
  for (int64_t r = first; r < least(summing.rows, first + summing.rows_each); r++) {
    const int64_t out = w != nullptr && w->output_rows != nullptr ? w->output_rows[r] : r;
    sum.y = reinterpret_cast<float*>(summing.y.row(out));
    sum.from_zero = summing.from_zero ? 1 : 0;
    if (w == nullptr) {
      sum.count = 1;
      sum.messages[0] = summing.messages.row(r);
      sum.weights[0] = 1.0f;  // fma(1, m, a) = a + m
      sum.streaming = summing.streaming && reinterpret_cast<uintptr_t>(sum.y) % 64 == 0 ? 1 : 0;
      quantize().accumulate(summing.code, sum, begin, end);
      continue;
    }
    const int64_t last = w->offsets[r + 1];
    int64_t e = w->offsets[r];
    const bool once = last - e <= kQuantizeEntries;
    sum.streaming = summing.streaming && once && reinterpret_cast<uintptr_t>(sum.y) % 64 == 0 ? 1 : 0;
    do {
      sum.count = 0;
      for (; e < last && sum.count < kQuantizeEntries; e++) {
        const int64_t j = w->columns[e];
        sum.messages[sum.count] =
            j < summing.messages.rows ? summing.messages.row(j) : summing.halo.row(j - summing.messages.rows);
        sum.weights[sum.count++] = w->values32[e];
      }
      quantize().accumulate(summing.code, sum, begin, end);
      sum.from_zero = 0;
    } while (e < last);
  }
}

/* ---- kith_sign_majority -------------------------------------------------------------------------------------------- */

struct Vote {
  Matrix messages;
  Matrix out;
  int64_t cols;
  int64_t words;
  int64_t words_each;
};

void vote_block(void* pointer, int64_t block, int32_t) {
  const Vote& vote = *static_cast<const Vote*>(pointer);
  const int64_t begin = block * vote.words_each;
  quantize().majority(vote.messages.data, pitch_of(vote.messages), vote.messages.rows, vote.cols, begin,
                      least(vote.words, begin + vote.words_each), vote.out.data);
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_quantize(kith_queue* queue, const kith_code* code, const kith_draw* draw, const kith_matrix* x,
                          const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* messages,
                          const kith_matrix* flags, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_quantize");
  QuantizeOperands operands;
  if (!check_quantize(entry, code, draw, x, minus, residual, messages, flags, &operands)) return entry.status();
  const QuantizeCode& resolved = operands.code;
  Encoding encoding = {};
  QuantizeTask& task = encoding.task;
  task.code = resolved;
  task.x = operands.x.data;
  task.x_pitch = pitch_of(operands.x);
  task.minus = operands.minus.data;
  task.minus_pitch = pitch_of(operands.minus);
  task.uniforms = operands.uniforms.data;
  task.uniforms_pitch = pitch_of(operands.uniforms);
  task.residual = operands.residual.data;
  task.residual_pitch = pitch_of(operands.residual);
  task.messages = operands.messages.data;
  task.messages_pitch = pitch_of(operands.messages);
  task.key0 = operands.key0;
  task.key1 = operands.key1;
  task.round = operands.round;
  task.first_node = operands.first_node;
  task.stream = operands.stream;
  encoding.flags = reinterpret_cast<int32_t*>(operands.flags.data);
  encoding.rows = operands.x.rows;
  if (encoding.rows == 0 || resolved.cols == 0) return entry.finish();
  cut(&encoding);
  const int64_t read = operands.x.bytes() + operands.minus.bytes() + operands.residual.bytes();
  if (resolved.scales > 0 && !encoding.measured) {
    const int64_t parts = encoding.rows * encoding.row_parts;
    encoding.parts = static_cast<QuantizePart*>(entry.scratch(parts * static_cast<int64_t>(sizeof(QuantizePart))));
    if (encoding.parts == nullptr) return entry.status();
    const int64_t blocks = encoding.rows * resolved.blocks;
    if (entry.phase(cut_into(parts, encoding.parts_each), read, measure_block, &encoding) != KITH_OK ||
        entry.phase(cut_into(blocks, kSettled), parts * static_cast<int64_t>(sizeof(QuantizePart)), settle_block,
                    &encoding) != KITH_OK) {
      return entry.status();
    }
  }
  const int64_t written = operands.residual.bytes() + encoding.rows * resolved.words * 4;
  return entry.phase(encoding.across * cut_into(encoding.rows, encoding.rows_each), read + written, encode_block,
                     &encoding) == KITH_OK
             ? entry.finish()
             : entry.status();
}

kith_status kith_quantize_accumulate(kith_queue* queue, const kith_weights* weights, const kith_code* code,
                                     const kith_matrix* messages, const kith_matrix* halo, int32_t add,
                                     const kith_matrix* y, kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_quantize_accumulate");
  QuantizeSumOperands operands;
  if (!check_quantize_accumulate(entry, weights, code, messages, halo, add, y, &operands)) return entry.status();
  Summing summing = {};
  summing.code = operands.code;
  summing.messages = operands.messages;
  summing.halo = operands.halo;
  summing.y = operands.y;
  summing.weights = static_cast<const CpuWeights*>(weights);
  if (weights != nullptr && summing.weights->offsets == nullptr) {
    return entry.fail(KITH_UNSUPPORTED, "the weights are dense; messages are summed with sparse ones");
  }
  summing.rows = weights == nullptr ? operands.y.rows : weights->rows;
  if (summing.rows == 0 || operands.y.cols == 0) return entry.finish();
  summing.from_zero = add == 0;
  summing.streaming = summing.from_zero && operands.y.bytes() >= kStreamBytes;
  const int64_t entries = weights == nullptr ? summing.rows : weights->entries;
  const int64_t width = least(operands.y.cols, kSumSpan);
  const int64_t rows_each = kSumWork / (width * (1 + entries / summing.rows));
  summing.rows_each = rows_each < 1 ? 1 : rows_each;
  summing.down = cut_into(summing.rows, summing.rows_each);
  const int64_t bytes = (add == 0 ? 1 : 2) * operands.y.bytes() + entries * operands.code.words * 4;
  return entry.run(summing.down * cut_into(operands.y.cols, kSumSpan), bytes, sum_block, &summing);
}

kith_status kith_sign_majority(kith_queue* queue, const kith_matrix* messages, int64_t cols, const kith_matrix* out,
                               kith_call* call) {
  using namespace kith;
  Entry entry(queue, call, "kith_sign_majority");
  Vote vote = {};
  if (!check_majority(entry, messages, cols, out, &vote.messages, &vote.out)) return entry.status();
  vote.cols = cols;
  vote.words = cut_into(cols, 32);
  const int64_t each = kMajorityWork / (vote.messages.rows + 1) / 16 * 16;
  vote.words_each = each < 16 ? 16 : least(each, kMajorityWords);
  return entry.run(cut_into(vote.words, vote.words_each), (vote.messages.rows + 1) * vote.words * 4, vote_block, &vote);
}

}  // extern "C"
