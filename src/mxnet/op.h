// What the operators share in the sight of MXNet: names of its types, in code and in messages.
#ifndef DEEPRECT_MXNET_OP_H_
#define DEEPRECT_MXNET_OP_H_

#include <mxnet/lib_api.h>

#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace deeprect {

using mxnet::ext::MXReturnValue;
using mxnet::ext::MXTensor;
using mxnet::ext::OpResource;

using Attributes = std::unordered_map<std::string, std::string>;
using Shape = std::vector<unsigned int>;

// MXNet turns it into an MXNetError. lib_api's own message list is neither thread-safe nor ever
// emptied.
[[noreturn]] inline void fail(const char* name, const std::string& message) {
  throw std::runtime_error(std::string(name) + ": " + message);
}

template <typename Dims>
std::string to_string(const Dims& dims) {
  std::string text = "(";
  for (size_t i = 0; i < dims.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(dims[i]);
  }
  return text + (dims.size() == 1 ? ",)" : ")");
}

inline std::string type_name(int type) {
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
    case 12:
      return "bfloat16";
    default:
      return "of type number " + std::to_string(type);
  }
}

// Infers the types of an operator that takes and returns float32 only; `names` are the inputs'.
inline MXReturnValue infer_float32(const char* name, const char* const* names, std::vector<int>* in,
                                   std::vector<int>* out) {
  for (size_t i = 0; i < in->size(); ++i) {
    if ((*in)[i] < 0) (*in)[i] = mxnet::ext::kFloat32;
    if ((*in)[i] != mxnet::ext::kFloat32) {
      fail(name, std::string(names[i]) + " is " + type_name((*in)[i]) + "; it must be float32");
    }
  }
  (*out)[0] = mxnet::ext::kFloat32;
  return mxnet::ext::MX_SUCCESS;
}

// A deferred parameter of one axis arrives without axes, or with one of unknown length.
inline bool is_deferred(const Shape& shape) {
  return shape.empty() || (shape.size() == 1 && (shape[0] == 0 || shape[0] == -1u));
}

}  // namespace deeprect

#endif  // DEEPRECT_MXNET_OP_H_
