// The element types of the operators, and how to choose a template by one.
#ifndef DEEPRECT_BASE_DTYPE_H_
#define DEEPRECT_BASE_DTYPE_H_

#include "base/half.h"

namespace deeprect {

enum class DType { kFloat32, kFloat64, kFloat16 };

// Calls f with a null pointer whose type is that of the elements.
template <typename F>
auto with_dtype(DType type, F&& f) {
  switch (type) {
    case DType::kFloat64:
      return f(static_cast<double*>(nullptr));
    case DType::kFloat16:
      return f(static_cast<Half*>(nullptr));
    default:
      return f(static_cast<float*>(nullptr));
  }
}

}  // namespace deeprect

#endif  // DEEPRECT_BASE_DTYPE_H_
