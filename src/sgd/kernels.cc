// The kernel of stochastic gradient descent, compiled for DEEPRECT_ISA.
#include "sgd/kernels.h"

namespace deeprect {
namespace DEEPRECT_ISA {
namespace {

void update(int64_t size, SgdSettings s, const float* weight, const float* grad,
            const float* velocity, const SgdResult& result) {
#pragma omp simd
  for (int64_t i = 0; i < size; ++i) {
    const float step =
        s.momentum * velocity[i] - s.lr * (s.rescale_grad * grad[i] + s.wd * weight[i]);
    result.velocity[i] = step;
    result.weight[i] = weight[i] + step;
  }
}

}  // namespace

extern const SgdKernels sgd_kernels = {update};

}  // namespace DEEPRECT_ISA
}  // namespace deeprect
