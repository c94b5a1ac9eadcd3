// The element types of the operators, and the choice of a template by type.
#ifndef DEEPRECT_BASE_DTYPE_H_
#define DEEPRECT_BASE_DTYPE_H_

#include "base/half.h"

namespace deeprect {

enum class DType { kFloat32, kFloat64, kFloat16 };

// Call f with a null pointer to the element type.
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

// The type of the arithmetic on elements of type T: float for half precision.
template <typename T>
struct MathType {
  using type = T;
};
template <>
struct MathType<Half> {
  using type = float;
};
template <typename T>
using Math = typename MathType<T>::type;

}  // namespace deeprect

#endif  // DEEPRECT_BASE_DTYPE_H_
