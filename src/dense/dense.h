// Fully-connected layers on the CPU. Knows nothing of MXNet. All matrices are row by row.
#ifndef DEEPRECT_DENSE_DENSE_H_
#define DEEPRECT_DENSE_DENSE_H_

#include <cstdint>

namespace deeprect {

struct Dense {
  int64_t rows;  // of the data, images
  int64_t inputs, outputs;
};

// y = x * weight^T + bias; x is rows x inputs, weight outputs x inputs, y rows x outputs. The bits
// depend on the arguments and the instruction set, not on the number of threads.
void dense_forward(const Dense& d, const float* x, const float* weight, const float* bias,
                   float* y);

void dense_backward(const Dense& d, const float* dy, const float* x, const float* weight, float* dx,
                    float* dweight, float* dbias);

}  // namespace deeprect

#endif  // DEEPRECT_DENSE_DENSE_H_
