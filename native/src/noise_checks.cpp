// Checks of the family noise, and the keys of its sources.
#include "noise_checks.hpp"

#include <cmath>

#include "draw.hpp"

namespace kith {

namespace {

constexpr int64_t kMostRounds = int64_t{1} << 40;
constexpr int64_t kMostNodes = int64_t{1} << 31;
// Forms of docs/randomness.md, by kith_distribution.
constexpr uint32_t kForms[] = {0, 0, 3, 2, 4};

long long wide(int64_t n) { return static_cast<long long>(n); }

}  // namespace

bool check_field(Arguments& entry, const kith_field* field) {
  if (!entry.ok()) return false;
  if (field == nullptr) {
    entry.fail(KITH_INVALID, "field is NULL; say what to draw");
    return false;
  }
  if (field->generator != KITH_PHILOX && field->generator != KITH_CHACHA) {
    entry.fail(KITH_INVALID, "the field has the generator %d; use one of kith_generator", field->generator);
    return false;
  }
  if (field->distribution < KITH_WORDS || field->distribution > KITH_LAPLACE) {
    entry.fail(KITH_INVALID, "the field has the distribution %d; use one of kith_distribution", field->distribution);
    return false;
  }
  if (field->stream < 1 || field->stream > 255) {
    entry.fail(KITH_INVALID, "the field has the stream %d; use a tag from 1 to 255", field->stream);
    return false;
  }
  if (field->count < 0 || (field->count > 0 && field->sources == nullptr)) {
    entry.fail(KITH_INVALID, "sources is %s with a count of %lld; give their address and number",
               field->sources == nullptr ? "NULL" : "given", wide(field->count));
    return false;
  }
  for (int64_t k = 0; k < field->count; k++) {
    const kith_source& source = field->sources[k];
    if (source.round < 0 || source.round >= kMostRounds || source.node < 0 || source.node >= kMostNodes) {
      entry.fail(KITH_INVALID, "source %lld has round %lld and node %lld; use rounds below 2^40 and nodes below 2^31",
                 wide(k), wide(source.round), wide(source.node));
      return false;
    }
    if ((source.secret != nullptr) != (field->generator == KITH_CHACHA)) {
      entry.fail(KITH_INVALID, "source %lld has %s secret; ChaCha20 takes one of 32 bytes and Philox none", wide(k),
                 source.secret == nullptr ? "no" : "a");
      return false;
    }
  }
  return true;
}

bool check_noise(Arguments& entry, const kith_weights* weights, const kith_field* field, double scale, int32_t add,
                 const kith_matrix* y, Matrix* out) {
  if (!entry.matrix("y", y, out) || !check_field(entry, field)) return false;
  if (add != 0 && add != 1) {
    entry.fail(KITH_INVALID, "add is %d; use 0 or 1", add);
    return false;
  }
  if (!std::isfinite(scale)) {
    entry.fail(KITH_INVALID, "scale is %g; use a finite number", scale);
    return false;
  }
  if (field->distribution == KITH_WORDS) {
    if (out->dtype != KITH_I32 || weights != nullptr || scale != 1.0 || add != 0) {
      entry.fail(KITH_INVALID, "words are drawn into i32 as they are, not into %s with weights %s, scale %g and add %d",
                 dtype_name(out->dtype), weights == nullptr ? "NULL" : "given", scale, add);
      return false;
    }
  } else if (out->dtype != KITH_F32 && out->dtype != KITH_F64) {
    entry.fail(KITH_UNSUPPORTED, "y is %s; noise is drawn into f32 and f64", dtype_name(out->dtype));
    return false;
  }
  if (out->cols > kMostNoiseColumns) {
    entry.fail(KITH_INVALID, "y has %lld columns; a row draws at most 2^42 numbers", wide(out->cols));
    return false;
  }
  if (weights == nullptr) {
    if (field->count == out->rows) return true;
    entry.fail(KITH_INVALID, "the field has %lld sources for %lld rows of y; let the numbers agree", wide(field->count),
               wide(out->rows));
    return false;
  }
  if (weights->device != entry.device()) {
    entry.fail(KITH_INVALID, "weights live on another device than the queue; create them there");
    return false;
  }
  if (weights->cols != field->count) {
    entry.fail(KITH_INVALID, "weights have %lld columns for %lld sources; let the numbers agree", wide(weights->cols),
               wide(field->count));
    return false;
  }
  if (!weights->scattered ? weights->rows != out->rows : weights->output_end > out->rows) {
    entry.fail(KITH_INVALID, "weights write %lld rows and y has %lld; let the numbers agree",
               wide(!weights->scattered ? weights->rows : weights->output_end), wide(out->rows));
    return false;
  }
  return true;
}

void noise_keys(const kith_field& field, NoiseKey* keys) {
  for (int64_t k = 0; k < field.count; k++) {
    const kith_source& source = field.sources[k];
    NoiseKey key = {};
    if (field.generator == KITH_CHACHA) {
      const unsigned char* const bytes = static_cast<const unsigned char*>(source.secret);
      for (int w = 0; w < 8; w++) {
        key.words[w] = static_cast<uint32_t>(bytes[4 * w]) | static_cast<uint32_t>(bytes[4 * w + 1]) << 8 |
                       static_cast<uint32_t>(bytes[4 * w + 2]) << 16 | static_cast<uint32_t>(bytes[4 * w + 3]) << 24;
      }
    } else {
      const uint64_t z = key_of(source.seed);
      key.words[0] = static_cast<uint32_t>(z);
      key.words[1] = static_cast<uint32_t>(z >> 32);
    }
    key.node = static_cast<uint32_t>(source.node);
    key.round = static_cast<uint32_t>(source.round);
    key.high = static_cast<uint32_t>(field.stream) << 24 | kForms[field.distribution] << 16 |
               static_cast<uint32_t>(source.round >> 32) << 8;
    keys[k] = key;
  }
}

}  // namespace kith
