// The operator deeprect_prelu.
#include "mxnet/op.h"

#include <limits>
#include <string>

#include "prelu/cpu.h"
#ifdef DEEPRECT_WITH_CUDA
#include "prelu/gpu.h"
#endif

namespace deeprect {
namespace {

bool is_floating(int type) {
  return type == mxnet::ext::kFloat32 || type == mxnet::ext::kFloat64 ||
         type == mxnet::ext::kFloat16;
}

DType dtype_of(const MXTensor& tensor) {
  switch (tensor.dtype) {
    case mxnet::ext::kFloat64:
      return DType::kFloat64;
    case mxnet::ext::kFloat16:
      return DType::kFloat16;
    default:
      return DType::kFloat32;  // infer_types admits no other
  }
}

struct PReLU : Operator {
  static constexpr const char* kName = "deeprect_prelu";
  static constexpr const char* kInputs[] = {"data", "alpha"};
  int axis;

  explicit PReLU(AttributeReader& read)
      : axis(read.integer("axis", {-64, 64}, "an integer, such as 1 for NCHW or -1 for NHWC", 1)) {}

  static int infer_types(const char* const*, std::vector<int>& types) {
    int &data = types[0], &alpha = types[1];
    if (data < 0) data = alpha;
    if (alpha < 0) alpha = data;
    if (data < 0) return data;
    if (!is_floating(data)) {
      fail("data is " + type_name(data) + "; it must be float16, float32 or float64");
    }
    // Mixed-precision training keeps the slopes in float32 beside half-precision data.
    const bool mixed = data == mxnet::ext::kFloat16 && alpha == mxnet::ext::kFloat32;
    if (alpha != data && !mixed) {
      fail("alpha is " + type_name(alpha) + " and data is " + type_name(data) +
           "; alpha must have the type of data, or be float32 beside float16 data");
    }
    return data;
  }

  Shape infer_shape(std::vector<Shape>& in) const {
    const Shape& data = in[0];
    Shape& alpha = in[1];
    if (data.empty()) fail("data has no axes, or its shape is not known; give at least one axis");
    const unsigned int channels = data[channel_axis(data)];
    if (!infer_vector(channels, true, &alpha)) {
      fail("alpha has shape " + to_string(alpha) + ", but data of shape " + to_string(data) +
           " has " + std::to_string(channels) + " channels on axis " + std::to_string(axis) +
           ": alpha must have shape (" + std::to_string(channels) +
           ",), or (1,) to share one slope");
    }
    return data;
  }

  void forward(Tensors& in, Tensors& out, const OpResource&) const {
    prelu_forward_cpu(forward_pass(in, out));
  }
  void backward(Tensors& in, Tensors& out, const OpResource&) const {
    prelu_backward_cpu(backward_pass(in, out));
  }

#ifdef DEEPRECT_WITH_CUDA
  void forward_gpu(Tensors& in, Tensors& out, const OpResource& resource) const {
    prelu_forward_gpu(forward_pass(in, out), resource.get_cuda_stream());
  }
  void backward_gpu(Tensors& in, Tensors& out, const OpResource& resource) const {
    const PReLUBackward pass = backward_pass(in, out);
    const int64_t bytes = prelu_backward_gpu_workspace(pass.extents, pass.data_type);
    // lib_api counts the bytes of a workspace in an int.
    if (bytes > std::numeric_limits<int>::max()) {
      fail("the backward needs a workspace of " + std::to_string(bytes) +
           " bytes on the GPU and MXNet grants less than 2 GiB; split the data");
    }
    // MXNet keeps one workspace for each stream: allocate once in a call.
    void* const workspace = bytes == 0 ? nullptr : resource.alloc_gpu(static_cast<int>(bytes));
    prelu_backward_gpu(pass, workspace, resource.get_cuda_stream());
  }
#endif

 private:
  template <typename Dims>
  size_t channel_axis(const Dims& shape) const {
    const int rank = static_cast<int>(shape.size());
    if (axis < -rank || axis >= rank) {
      fail("axis=" + std::to_string(axis) + " is out of range for data of shape " +
           to_string(shape));
    }
    return static_cast<size_t>(axis < 0 ? axis + rank : axis);
  }

  Extents extents_of(const MXTensor& data, const MXTensor& alpha) const {
    const size_t channels = channel_axis(data.shape);
    Extents e{1, 1, 1};
    for (size_t i = 0; i < data.shape.size(); ++i) {
      (i < channels ? e.outer : i == channels ? e.channels : e.inner) *= data.shape[i];
    }
    // With a shared slope the whole tensor is one channel.
    if (alpha.size() == 1) e = {1, 1, e.size()};
    return e;
  }

  PReLUForward forward_pass(const Tensors& in, const Tensors& out) const {
    const MXTensor &data = in[0], &alpha = in[1];
    return {extents_of(data, alpha), dtype_of(data), data.data_ptr,
            dtype_of(alpha),         alpha.data_ptr, out[0].data_ptr};
  }

  PReLUBackward backward_pass(const Tensors& in, const Tensors& out) const {
    const MXTensor &dy = in[0], &data = in[1], &alpha = in[2];
    return {extents_of(data, alpha), dtype_of(data), dy.data_ptr,     data.data_ptr,
            dtype_of(alpha),         alpha.data_ptr, out[0].data_ptr, out[1].data_ptr};
  }
};

[[maybe_unused]] const auto& registered =
    register_operator<PReLU>()
        .setBackward(run_backward<&PReLU::backward>, "cpu")
#ifdef DEEPRECT_WITH_CUDA
        .setForward(run_forward<&PReLU::forward_gpu>, "gpu")
        .setBackward(run_backward<&PReLU::backward_gpu>, "gpu")
#endif
    ;

}  // namespace
}  // namespace deeprect
