// PReLU on the GPU: launchers of the CUDA kernels. Knows nothing of MXNet. A stream is a
// cudaStream_t, passed as void* so that callers need no CUDA headers.
//
// The kernels run asynchronously on the stream. A launch that fails throws std::runtime_error.
#ifndef DEEPRECT_PRELU_GPU_H_
#define DEEPRECT_PRELU_GPU_H_

#include "prelu/prelu.h"

namespace deeprect {

void prelu_forward_gpu(const PReLUForward&, void* stream);

// Return the bytes of device memory that the backward needs for partial sums; 0 for empty data.
int64_t prelu_backward_gpu_workspace(const Extents& extents, DType data_type);

// The bits of grad_alpha depend on the extents, the types and the pointers' alignment to 16 bytes
// only: not on the device, the grid or the order in which blocks run. workspace is aligned to 16
// bytes.
void prelu_backward_gpu(const PReLUBackward&, void* workspace, void* stream);

}  // namespace deeprect

#endif  // DEEPRECT_PRELU_GPU_H_
