// The parameters of PReLU's forward and backward, on the CPU and on the GPU.
#ifndef DEEPRECT_PRELU_PRELU_H_
#define DEEPRECT_PRELU_PRELU_H_

#include "base/dtype.h"
#include "prelu/math.h"

namespace deeprect {

// alpha has extents.channels elements, of data_type, or of float32 beside float16 data.
struct PReLUForward {
  Extents extents;
  DType data_type;
  const void* x;
  DType alpha_type;
  const void* alpha;
  void* y;
};

// grad_alpha has the type of alpha.
struct PReLUBackward {
  Extents extents;
  DType data_type;
  const void *dy, *x;
  DType alpha_type;
  const void* alpha;
  void *dx, *grad_alpha;
};

}  // namespace deeprect

#endif  // DEEPRECT_PRELU_PRELU_H_
