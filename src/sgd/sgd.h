// Stochastic gradient descent with momentum, in one pass over memory. The bits do not depend on the
// number of threads or the instruction set.
#ifndef DEEPRECT_SGD_SGD_H_
#define DEEPRECT_SGD_SGD_H_

#include <cstdint>

namespace deeprect {

struct SgdSettings {
  float lr, wd, momentum, rescale_grad;
};

struct SgdResult {
  float *weight, *velocity;
};

// new velocity = momentum * velocity - lr * (rescale_grad * grad + wd * weight); new weight =
// weight + new velocity. The results may be the inputs.
void sgd_update(int64_t size, const SgdSettings&, const float* weight, const float* grad,
                const float* velocity, const SgdResult&);

}  // namespace deeprect

#endif  // DEEPRECT_SGD_SGD_H_
