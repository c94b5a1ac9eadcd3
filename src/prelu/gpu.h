// PReLU on the GPU: launchers of the CUDA kernels. Knows nothing of MXNet; a stream is a
// cudaStream_t, passed as void* so that callers need no CUDA headers.
//
// Everything runs asynchronously on the stream. A launch that fails throws std::runtime_error.
#ifndef DEEPRECT_PRELU_GPU_H_
#define DEEPRECT_PRELU_GPU_H_

#include "base/dtype.h"
#include "prelu/math.h"

namespace deeprect {

// alpha has extents.channels elements, of data_type, or of float32 beside float16 data.
void prelu_forward_gpu(const Extents& extents, DType data_type, const void* x, DType alpha_type,
                       const void* alpha, void* y, void* stream);

// Bytes of device memory that the backward needs for partial sums; 0 for empty data.
int64_t prelu_backward_gpu_workspace(const Extents& extents, DType data_type);

// grad_alpha has the type of alpha. Its bits depend on the extents, the types and the pointers'
// alignment to 16 bytes only: not on the device, the grid or the order in which blocks run.
// workspace is aligned to 16 bytes.
void prelu_backward_gpu(const Extents& extents, DType data_type, const void* dy, const void* x,
                        DType alpha_type, const void* alpha, void* dx, void* grad_alpha,
                        void* workspace, void* stream);

}  // namespace deeprect

#endif  // DEEPRECT_PRELU_GPU_H_
