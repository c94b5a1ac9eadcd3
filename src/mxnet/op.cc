#include "mxnet/op.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace deeprect {
namespace {

[[noreturn]] void fail_value(const char* name, const std::string* text,
                             const std::string& must_be) {
  fail(name + (text ? "=" + *text + " is not supported" : std::string(" is missing")) +
       "; it must be " + must_be);
}

// "a, b and c"
std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < words.size() ? ", " : " and ") + words[i];
  }
  return text;
}

}  // namespace

void fail(const std::string& message) { throw std::runtime_error(message); }

std::string type_name(int type) {
  switch (type) {
    case mxnet::ext::kFloat32:
      return "float32";
    case mxnet::ext::kFloat64:
      return "float64";
    case mxnet::ext::kFloat16:
      return "float16";
    case mxnet::ext::kUint8:
      return "uint8";
    case mxnet::ext::kInt32:
      return "int32";
    case mxnet::ext::kInt8:
      return "int8";
    case mxnet::ext::kInt64:
      return "int64";
    case 12:  // lib_api.h has no name for it
      return "bfloat16";
    default:
      return "of type number " + std::to_string(type);
  }
}

const std::string* AttributeReader::find(const char* name) {
  read_.push_back(name);
  const auto found = attributes_.find(name);
  return found == attributes_.end() ? nullptr : &found->second;
}

int AttributeReader::integer(const char* name, Range range, const char* must_be,
                             std::optional<int> by_default) {
  const std::string* const text = find(name);
  if (!text && by_default) return *by_default;
  if (!text) fail_value(name, text, must_be);
  const char* const end = text->data() + text->size();
  int value = 0;
  const auto [stop, error] = std::from_chars(text->data(), end, value);
  if (error != std::errc() || stop != end || value < range.least || value > range.most) {
    fail_value(name, text, must_be);
  }
  return value;
}

float AttributeReader::number(const char* name) {
  constexpr char kMustBe[] = "a finite number";
  const std::string* const text = find(name);
  if (!text) fail_value(name, text, kMustBe);
  char* end = nullptr;
  const double value = std::strtod(text->c_str(), &end);
  if (text->empty() || *end != '\0' || !std::isfinite(value)) fail_value(name, text, kMustBe);
  return static_cast<float>(value);
}

int AttributeReader::choice(const char* name, std::initializer_list<const char*> choices,
                            const char* must_be) {
  const std::string* const text = find(name);
  if (!text) return 0;
  const auto found = std::find(choices.begin(), choices.end(), *text);
  if (found == choices.end()) fail_value(name, text, must_be);
  return static_cast<int>(found - choices.begin());
}

void AttributeReader::refuse_others(const char* const* inputs, int count) const {
  for (const auto& [name, text] : attributes_) {
    if (name.compare(0, 2, "__") == 0 || std::count(read_.begin(), read_.end(), name)) continue;
    std::vector<std::string> known(inputs, inputs + count);
    known.insert(known.end(), read_.begin(), read_.end());
    fail("unknown argument " + name + "=" + text + "; it takes " + listed(known));
  }
}

bool reads_weight_twice(AttributeReader& read) {
  return read.choice("weight_twice", {"False", "True"}, "True or False") == 1;
}

void fill_zeros(MXTensor& tensor) {
  constexpr int64_t kChunk = 1 << 16;
  float* const values = tensor.data<float>();
  const int64_t size = tensor.size();
#pragma omp parallel for schedule(static) if (size > kChunk)
  for (int64_t first = 0; first < size; first += kChunk) {
    std::fill_n(values + first, std::min(kChunk, size - first), 0.0f);
  }
}

int Operator::infer_types(const char* const* names, std::vector<int>& types) {
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] < 0) types[i] = mxnet::ext::kFloat32;
    if (types[i] != mxnet::ext::kFloat32) {
      fail(std::string(names[i]) + " is " + type_name(types[i]) + "; it must be float32");
    }
  }
  return mxnet::ext::kFloat32;
}

bool infer_vector(unsigned int length, bool shared, Shape* shape) {
  if (shape->empty()) *shape = {length};
  const bool row = shape->size() == 2 && shape->front() == 1;
  if (shape->size() != 1 && !row) return false;
  unsigned int& last = shape->back();
  if (last == kUnknown) last = length;
  return last == length || (shared && last == 1);
}

void infer_vector(const char* name, unsigned int length, const char* item, Shape* shape,
                  const char* shared) {
  if (infer_vector(length, shared, shape)) return;
  fail(std::string(name) + " has shape " + to_string(*shape) + "; it must be (" +
       std::to_string(length) + ",), an element for each " + item +
       (shared ? std::string(", or (1,) to share one ") + shared : ""));
}

void check_count(const char* const* names, size_t count, size_t given) {
  if (given == count) return;
  fail(std::to_string(given) + " inputs were given; it takes " + listed({names, names + count}));
}

void check_known(const char* name, const Shape& shape) {
  if (std::count(shape.begin(), shape.end(), kUnknown) == 0) return;
  fail(std::string(name) + " has shape " + to_string(shape) +
       "; all its extents must be known, and 0 needs mx.util.set_np_shape(True)");
}

void check_shape(const char* name, const MXTensor& tensor, const Shape& inferred) {
  const auto& shape = tensor.shape;
  if (std::equal(shape.begin(), shape.end(), inferred.begin(), inferred.end())) return;
  fail(std::string(name) + " has shape " + to_string(shape) + "; it must be " +
       to_string(inferred));
}

}  // namespace deeprect
