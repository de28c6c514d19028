// Checks of the family quantize: codes, operands, and messages from outside.
#include "quantize_checks.hpp"

#include <cmath>
#include <cstring>

#include "draw.hpp"

namespace kith {

namespace {

constexpr const char* kKinds[] = {"QSGD",   "NATURAL", "SIGN", "SCALED_SIGN", "ONE_BIT",
                                  "ABSMAX", "AFFINE",  "BF16", "E4M3",        "E5M2"};
constexpr int32_t kScales[] = {1, 0, 0, 1, 2, 1, 2, 0, 0, 0};
// 0: several are possible.
constexpr int32_t kBits[] = {0, 9, 1, 1, 1, 0, 8, 16, 8, 8};
// Of kith_code.stochastic: never, always, as the caller likes.
enum Chance { kNever, kAlways, kEither };
constexpr Chance kChance[] = {kAlways, kAlways, kNever, kNever, kNever, kEither, kNever, kEither, kEither, kEither};

constexpr int64_t kMostColumns = int64_t{1} << 42;  // words of one stream, node and round

bool is_power(int32_t bits, int32_t least) { return (bits == 2 || bits == 4 || bits == 8) && bits >= least; }

}  // namespace

kith_status check_code(kith_call* call, const char* operation, const kith_code* code, int64_t cols, QuantizeCode* out) {
  if (code == nullptr) return fail(call, KITH_INVALID, "%s: code is NULL; give one", operation);
  if (code->kind < KITH_CODE_QSGD || code->kind > KITH_CODE_E5M2) {
    return fail(call, KITH_INVALID, "%s: the code has the kind %d; use one of kith_code_kind", operation, code->kind);
  }
  const char* const kind = kKinds[code->kind];
  const bool several = kBits[code->kind] == 0;
  if (several ? !is_power(code->bits, code->kind == KITH_CODE_QSGD ? 2 : 4) : code->bits != kBits[code->kind]) {
    return fail(call, KITH_INVALID, "%s: %s has %d bits; use %s", operation, kind, code->bits,
                code->kind == KITH_CODE_QSGD     ? "2, 4 or 8"
                : code->kind == KITH_CODE_ABSMAX ? "4 or 8"
                : kBits[code->kind] == 1         ? "1"
                : kBits[code->kind] == 8         ? "8"
                : kBits[code->kind] == 9         ? "9"
                                                 : "16");
  }
  const int32_t most = several ? (1 << (code->bits - 1)) - 1 : 0;
  const bool qsgd = code->kind == KITH_CODE_QSGD;
  if (qsgd ? code->levels < 1 || code->levels > most : code->levels != 0) {
    return fail(call, KITH_INVALID, "%s: %s has %d levels; use %d to %d", operation, kind, code->levels, qsgd ? 1 : 0,
                qsgd ? most : 0);
  }
  if (code->norm < 0 || code->norm > (qsgd ? KITH_NORM_MAX : 0)) {
    return fail(call, KITH_INVALID, "%s: %s has the norm %d; use %s", operation, kind, code->norm,
                qsgd ? "one of kith_norm" : "0");
  }
  const Chance chance = kChance[code->kind];
  if ((code->stochastic != 0 && code->stochastic != 1) || (chance == kNever && code->stochastic != 0) ||
      (chance == kAlways && code->stochastic != 1)) {
    return fail(call, KITH_INVALID, "%s: %s has stochastic %d; use %s", operation, kind, code->stochastic,
                chance == kNever    ? "0"
                : chance == kAlways ? "1"
                                    : "0 or 1");
  }
  if (code->block < 0 || (code->block != 0 && kScales[code->kind] == 0)) {
    return fail(call, KITH_INVALID, "%s: %s has blocks of %lld columns; use %s", operation, kind,
                static_cast<long long>(code->block),
                kScales[code->kind] == 0 ? "0, for there are no scales" : "0 for the row or more");
  }
  if (cols < 0 || cols > kMostColumns) {
    return fail(call, KITH_INVALID, "%s: a row has %lld columns; 0 to 2^42 have a code", operation,
                static_cast<long long>(cols));
  }
  *out = QuantizeCode{};
  out->kind = code->kind;
  out->bits = code->bits;
  out->levels = qsgd ? code->levels : most;
  out->norm = code->norm;
  out->stochastic = code->stochastic;
  out->scales = kScales[code->kind];
  out->cols = cols;
  out->block = code->block == 0 || code->block > cols ? (cols > 0 ? cols : 1) : code->block;
  out->blocks = (cols + out->block - 1) / out->block;
  out->scale_words = out->scales * out->blocks;
  const int64_t codes =
      code->kind == KITH_CODE_NATURAL ? (cols + 31) / 32 + (cols + 3) / 4 : (cols * code->bits + 31) / 32;
  out->words = out->scale_words + codes;
  return KITH_OK;
}

namespace {

// Failures of check_code in an entry, with its own operation name.
bool entry_code(Arguments& entry, const char* operation, const kith_code* code, int64_t cols, QuantizeCode* out) {
  if (!entry.ok()) return false;
  const kith_status status = check_code(entry.call(), operation, code, cols, out);
  if (status != KITH_OK) entry.refuse(status);
  return status == KITH_OK;
}

bool check_messages(Arguments& entry, const char* name, const kith_matrix* messages, int64_t rows, int64_t words,
                    Matrix* out) {
  if (!entry.matrix(name, messages, KITH_I32, rows, -1, out)) return false;
  if (out->cols >= words || out->rows == 0) return true;
  entry.fail(KITH_INVALID, "%s has %lld columns and a message %lld words; give at least as many columns", name,
             static_cast<long long>(out->cols), static_cast<long long>(words));
  return false;
}

bool check_draw(Arguments& entry, const kith_draw* draw, QuantizeOperands* operands) {
  if (operands->code.stochastic == 0) return true;
  if (draw == nullptr) {
    entry.fail(KITH_INVALID, "draw is NULL and the code rounds at random; give one");
    return false;
  }
  if (draw->uniforms != nullptr) {
    return entry.matrix("uniforms", draw->uniforms, KITH_F32, operands->x.rows, operands->x.cols, &operands->uniforms);
  }
  Draw numbers;
  if (!check_generator(entry, draw, operands->x.rows, &numbers)) return false;
  operands->key0 = numbers.key0;
  operands->key1 = numbers.key1;
  operands->round = numbers.round;
  operands->first_node = numbers.first_node;
  operands->stream = numbers.stream;
  return true;
}

}  // namespace

bool check_quantize(Arguments& entry, const kith_code* code, const kith_draw* draw, const kith_matrix* x,
                    const kith_matrix* minus, const kith_matrix* residual, const kith_matrix* messages,
                    const kith_matrix* flags, QuantizeOperands* operands) {
  if (!entry.matrix("x", x, &operands->x)) return false;
  const Matrix& mx = operands->x;
  if (mx.dtype != KITH_F32) {
    entry.fail(KITH_UNSUPPORTED, "x is %s; codes are made of f32", dtype_name(mx.dtype));
    return false;
  }
  if (!entry_code(entry, "kith_quantize", code, mx.cols, &operands->code) ||
      (minus != nullptr && !entry.matrix("minus", minus, KITH_F32, mx.rows, mx.cols, &operands->minus)) ||
      (residual != nullptr && !entry.matrix("residual", residual, KITH_F32, mx.rows, mx.cols, &operands->residual)) ||
      !check_messages(entry, "messages", messages, mx.rows, operands->code.words, &operands->messages) ||
      !check_draw(entry, draw, operands) ||
      (flags != nullptr && !entry.matrix("flags", flags, KITH_I32, 1, mx.rows, &operands->flags))) {
    return false;
  }
  const struct {
    const char* name;
    const Matrix& m;
    bool written;
  } all[] = {{"messages", operands->messages, true}, {"residual", operands->residual, true},
             {"flags", operands->flags, true},       {"x", mx, false},
             {"minus", operands->minus, false},      {"uniforms", operands->uniforms, false}};
  for (const auto& a : all) {
    for (const auto& b : all) {
      if (&a >= &b || a.m.data == nullptr || b.m.data == nullptr || !a.written) continue;
      if (!entry.disjoint(a.name, a.m, b.name, b.m, false)) return false;
    }
  }
  return true;
}

bool check_quantize_accumulate(Arguments& entry, const kith_weights* weights, const kith_code* code,
                               const kith_matrix* messages, const kith_matrix* halo, int32_t add, const kith_matrix* y,
                               QuantizeSumOperands* operands) {
  if (!entry.matrix("y", y, &operands->y)) return false;
  const Matrix& my = operands->y;
  if (my.dtype != KITH_F32) {
    entry.fail(KITH_UNSUPPORTED, "y is %s; messages are summed in f32", dtype_name(my.dtype));
    return false;
  }
  if (add != 0 && add != 1) {
    entry.fail(KITH_INVALID, "add is %d; use 0 or 1", add);
    return false;
  }
  if (!entry_code(entry, "kith_quantize_accumulate", code, my.cols, &operands->code) ||
      !check_messages(entry, "messages", messages, weights == nullptr ? my.rows : -1, operands->code.words,
                      &operands->messages) ||
      !entry.disjoint("messages", operands->messages, "y", my, false)) {
    return false;
  }
  if (halo != nullptr) {
    if (weights == nullptr) {
      entry.fail(KITH_INVALID, "a halo is given but no weights; only weights refer to its rows");
      return false;
    }
    if (!check_messages(entry, "halo", halo, -1, operands->code.words, &operands->halo) ||
        !entry.disjoint("halo", operands->halo, "y", my, false)) {
      return false;
    }
  }
  if (weights == nullptr) return true;
  if (weights->device != entry.device()) {
    entry.fail(KITH_INVALID, "weights live on another device than the queue; create them there");
    return false;
  }
  if (weights->cols != operands->messages.rows + operands->halo.rows) {
    entry.fail(KITH_INVALID, "weights have %lld columns for %lld messages and %lld of the halo; let the numbers agree",
               static_cast<long long>(weights->cols), static_cast<long long>(operands->messages.rows),
               static_cast<long long>(operands->halo.rows));
    return false;
  }
  if (!weights->scattered ? weights->rows != my.rows : weights->output_end > my.rows) {
    entry.fail(KITH_INVALID, "weights write %lld rows and y has %lld; let the numbers agree",
               static_cast<long long>(!weights->scattered ? weights->rows : weights->output_end),
               static_cast<long long>(my.rows));
    return false;
  }
  return true;
}

bool check_majority(Arguments& entry, const kith_matrix* messages, int64_t cols, const kith_matrix* out, Matrix* from,
                    Matrix* to) {
  if (entry.ok() && (cols < 0 || cols > kMostColumns)) {
    entry.fail(KITH_INVALID, "cols is %lld; use 0 to 2^42", static_cast<long long>(cols));
    return false;
  }
  const int64_t words = (cols + 31) / 32;
  return check_messages(entry, "messages", messages, -1, words, from) &&
         check_messages(entry, "out", out, 1, words, to) && entry.disjoint("out", *to, "messages", *from, false);
}

/* ---- messages from outside ----------------------------------------------------------------------------------------- */

namespace {

uint32_t word_at(const void* words, int64_t i) {
  uint32_t word;
  std::memcpy(&word, static_cast<const unsigned char*>(words) + i * 4, sizeof(word));
  return word;
}

float float_at(const void* words, int64_t i) {
  const uint32_t word = word_at(words, i);
  float value;
  std::memcpy(&value, &word, sizeof(value));
  return value;
}

// Element c of a run of codes that begins at word `from`.
int32_t code_at(const void* words, int64_t from, int32_t bits, int64_t c, bool is_signed) {
  const int64_t each = 32 / bits;
  const uint32_t top = word_at(words, from + c / each) << (32 - bits - static_cast<int32_t>(c % each) * bits);
  return is_signed ? static_cast<int32_t>(top) >> (32 - bits) : static_cast<int32_t>(top >> (32 - bits));
}

// 0 where the codes of the block must be 0; -1: the scales are none.
int scales_of(const QuantizeCode& code, const void* words, int64_t block) {
  const float a = float_at(words, block * code.scales);
  if (code.scales == 1) {
    if (std::isnan(a)) return 0;
    if (std::signbit(a) || !std::isfinite(a)) return -1;
    return a == 0 && code.kind != KITH_CODE_SCALED_SIGN ? 0 : 1;
  }
  const float b = float_at(words, block * code.scales + 1);
  if (std::isnan(a) && std::isnan(b)) return 0;
  if (!std::isfinite(a) || !std::isfinite(b)) return -1;
  if (code.kind == KITH_CODE_ONE_BIT) return a >= 0 && b <= 0 ? 1 : -1;
  return a > b ? -1 : a == b ? 0 : 1;
}

bool padded(const void* words, int64_t from, int64_t bits, int64_t cols) {
  const int64_t used = cols * bits % 32;
  return used == 0 || word_at(words, from + cols * bits / 32) >> used == 0;
}

}  // namespace

}  // namespace kith

extern "C" {

kith_status kith_code_words(const kith_code* code, int64_t cols, int64_t* words, kith_call* call) {
  if (words == nullptr) return kith::fail(call, KITH_INVALID, "kith_code_words: words is NULL; give its address");
  kith::QuantizeCode resolved;
  const kith_status status = kith::check_code(call, "kith_code_words", code, cols, &resolved);
  if (status == KITH_OK) *words = resolved.words;
  return status;
}

kith_status kith_code_check(const kith_code* code, int64_t cols, const void* words, int64_t count, kith_call* call) {
  kith::QuantizeCode resolved;
  const kith_status status = kith::check_code(call, "kith_code_check", code, cols, &resolved);
  if (status != KITH_OK) return status;
  if (count != resolved.words || (count > 0 && words == nullptr)) {
    return kith::fail(call, KITH_INVALID, "kith_code_check: the message has %lld words and %lld are right",
                      static_cast<long long>(words == nullptr ? 0 : count), static_cast<long long>(resolved.words));
  }
  const bool levels = code->kind == KITH_CODE_QSGD || code->kind == KITH_CODE_ABSMAX;
  for (int64_t b = 0; b < resolved.blocks && resolved.scales > 0; b++) {
    const int alive = kith::scales_of(resolved, words, b);
    if (alive < 0) {
      return kith::fail(call, KITH_INVALID, "kith_code_check: block %lld has a scale of %g, which no row gives",
                        static_cast<long long>(b), static_cast<double>(kith::float_at(words, b * resolved.scales)));
    }
    if (alive > 0 && !levels) continue;
    const int64_t end = (b + 1) * resolved.block < cols ? (b + 1) * resolved.block : cols;
    for (int64_t c = b * resolved.block; c < end; c++) {
      const int32_t value = kith::code_at(words, resolved.scale_words, code->bits, c, levels);
      const int32_t most = alive == 0 ? 0 : resolved.levels;
      if (value > most || value < -most) {
        return kith::fail(call, KITH_INVALID, "kith_code_check: the code of column %lld is %d and at most %d is right",
                          static_cast<long long>(c), value, most);
      }
    }
  }
  const bool natural = code->kind == KITH_CODE_NATURAL;
  if (!kith::padded(words, resolved.scale_words, natural ? 1 : code->bits, cols) ||
      (natural && !kith::padded(words, (cols + 31) / 32, 8, cols))) {
    return kith::fail(call, KITH_INVALID, "kith_code_check: bits beyond column %lld are not zero",
                      static_cast<long long>(cols));
  }
  return KITH_OK;
}

}  // extern "C"
