// The arithmetic of PReLU on one element (He et al. 2015, section 2.1), and the map from an element
// to its slope. Shared by the CPU kernels and the CUDA kernels.
#ifndef DEEPRECT_PRELU_MATH_H_
#define DEEPRECT_PRELU_MATH_H_

#include <cstdint>

#include "base/arithmetic.h"

namespace deeprect {

// A tensor as outer x channels x inner, in memory order, with one slope for each channel. NCHW has
// inner = H*W; NHWC and NxC have inner = 1. A tensor with a shared slope is one channel.
struct Extents {
  int64_t outer;
  int64_t channels;
  int64_t inner;

  DEEPRECT_HD int64_t size() const { return outer * channels * inner; }
  DEEPRECT_HD int64_t channel_of(int64_t i) const { return (i / inner) % channels; }
};

// f(x) = x for x > 0, a*x otherwise. Zero, minus zero and NaN take the second branch.
template <typename T>
DEEPRECT_HD T prelu(T x, T a) {
  return x > T(0) ? x : a * x;
}

// dE/dx = dE/dy * (1 for x > 0, a otherwise).
template <typename T>
DEEPRECT_HD T prelu_grad_data(T dy, T x, T a) {
  return x > T(0) ? dy : a * dy;
}

// The term of dE/da: dE/dy * (0 for x > 0, x otherwise). This is a select and not a product with a
// mask, so that an infinite x in the positive branch adds nothing.
template <typename Sum, typename T>
DEEPRECT_HD Sum prelu_grad_alpha(T dy, T x) {
  return x > T(0) ? Sum(0) : Sum(dy) * Sum(x);
}

}  // namespace deeprect

#endif  // DEEPRECT_PRELU_MATH_H_
