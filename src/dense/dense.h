// Fully-connected layers on the CPU. Knows nothing of MXNet.
#ifndef DEEPRECT_DENSE_DENSE_H_
#define DEEPRECT_DENSE_DENSE_H_

#include <cstdint>

namespace deeprect {

// A layer and its inputs. All matrices are row by row: x is rows x inputs, one row for each image,
// and weight is outputs x inputs.
struct Dense {
  int64_t rows, inputs, outputs;
  const float *x, *weight;
};

struct DenseGradients {
  float *dx, *dweight, *dbias;
};

// y = x * weight^T + bias. The bits depend on the arguments and the instruction set, not on the
// number of threads.
void dense_forward(const Dense&, const float* bias, float* y);

void dense_backward(const Dense&, const float* dy, const DenseGradients&);

}  // namespace deeprect

#endif  // DEEPRECT_DENSE_DENSE_H_
