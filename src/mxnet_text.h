// How shapes and types are named in error messages.
#ifndef DEEPRECT_MXNET_TEXT_H_
#define DEEPRECT_MXNET_TEXT_H_

#include <mxnet/lib_api.h>

#include <string>

namespace deeprect {

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

}  // namespace deeprect

#endif  // DEEPRECT_MXNET_TEXT_H_
