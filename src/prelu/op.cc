// deeprect_prelu as MXNet sees it: attributes, shape and type inference, dispatch, error messages.
#include "mxnet/op.h"

#include <mxnet/lib_api.h>

#include <cstdlib>
#include <exception>
#include <limits>
#include <string>
#include <vector>

#include "prelu/cpu.h"
#ifdef DEEPRECT_WITH_CUDA
#include "prelu/gpu.h"
#endif
#include "base/threads.h"

static_assert(MX_LIBRARY_VERSION == 11,
              "deeprect_gluon is written for the lib_api.h of MXNet 1.9.1 (library version 11)");

namespace deeprect {
namespace {

[[noreturn]] void fail(const std::string& message) { deeprect::fail("deeprect_prelu", message); }

DType dtype_of(const MXTensor& tensor) {
  switch (tensor.dtype) {
    case mxnet::ext::kFloat64:
      return DType::kFloat64;
    case mxnet::ext::kFloat16:
      return DType::kFloat16;
    default:
      return DType::kFloat32;  // infer_type admits no fourth
  }
}

int axis_attribute(const Attributes& attributes) {
  const auto found = attributes.find("axis");
  if (found == attributes.end()) return 1;
  const std::string& text = found->second;
  char* end = nullptr;
  const long axis = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || axis < -64 || axis > 64) {
    fail("axis=" + text + " is not an axis; give an integer, such as 1 for NCHW or -1 for NHWC");
  }
  return static_cast<int>(axis);
}

template <typename Dims>
size_t channel_axis(const Attributes& attributes, const Dims& data_shape) {
  const int axis = axis_attribute(attributes);
  const int rank = static_cast<int>(data_shape.size());
  if (axis < -rank || axis >= rank) {
    fail("axis=" + std::to_string(axis) + " is out of range for data of shape " +
         to_string(data_shape));
  }
  return static_cast<size_t>(axis < 0 ? axis + rank : axis);
}

MXReturnValue parse_attributes(const Attributes& attributes, int* num_inputs, int* num_outputs) {
  for (const auto& attribute : attributes) {
    const std::string& key = attribute.first;
    if (key != "axis" && key.compare(0, 2, "__") != 0) {
      fail("unknown argument " + key + "=" + attribute.second + "; it takes data, alpha and axis");
    }
  }
  axis_attribute(attributes);
  *num_inputs = 2;
  *num_outputs = 1;
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue infer_type(const Attributes&, std::vector<int>* in, std::vector<int>* out) {
  int& data = (*in)[0];
  int& alpha = (*in)[1];
  if (data < 0) data = alpha;
  if (alpha < 0) alpha = data;
  const bool known = data >= 0;
  const bool floating =
      data == mxnet::ext::kFloat32 || data == mxnet::ext::kFloat64 || data == mxnet::ext::kFloat16;
  if (known && !floating) {
    fail("data is " + type_name(data) + "; it must be float16, float32 or float64");
  }
  // Master slopes in float32 for half-precision data: mixed-precision training keeps them so.
  const bool mixed = data == mxnet::ext::kFloat16 && alpha == mxnet::ext::kFloat32;
  if (known && alpha != data && !mixed) {
    fail("alpha is " + type_name(alpha) + " and data is " + type_name(data) +
         "; alpha must have the type of data, or be float32 beside float16 data");
  }
  (*out)[0] = data;
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue infer_shape(const Attributes& attributes, std::vector<Shape>* in,
                          std::vector<Shape>* out) {
  constexpr unsigned int kUnknown = static_cast<unsigned int>(-1);
  const Shape& data = (*in)[0];
  Shape& alpha = (*in)[1];
  if (data.empty()) fail("data has no axes, or its shape is not known; give at least one axis");
  const unsigned int channels = data[channel_axis(attributes, data)];
  // A deferred parameter arrives without axes, or with one axis of unknown length.
  const bool deferred = alpha.empty() || (alpha.size() == 1 && alpha[0] != channels &&
                                          (alpha[0] == kUnknown || alpha[0] == 0));
  if (deferred) alpha = {channels};
  if (alpha.size() != 1 || (alpha[0] != 1 && alpha[0] != channels)) {
    fail("alpha has shape " + to_string(alpha) + ", but data of shape " + to_string(data) +
         " has " + std::to_string(channels) + " channels on axis " +
         std::to_string(axis_attribute(attributes)) + ": alpha must have shape (" +
         std::to_string(channels) + ",), or (1,) to share one slope");
  }
  (*out)[0] = data;
  return mxnet::ext::MX_SUCCESS;
}

Extents extents_of(const Attributes& attributes, const MXTensor& data, const MXTensor& alpha) {
  const size_t axis = channel_axis(attributes, data.shape);
  Extents e{1, 1, 1};
  for (size_t i = 0; i < data.shape.size(); ++i) {
    (i < axis ? e.outer : i == axis ? e.channels : e.inner) *= data.shape[i];
  }
  // A shared slope sees the whole tensor as one channel.
  if (alpha.size() == 1) e = {1, 1, e.size()};
  return e;
}

MXReturnValue forward(const Attributes& attributes, std::vector<MXTensor>* inputs,
                      std::vector<MXTensor>* outputs, const OpResource&) {
  apply_wanted_threads();
  const MXTensor &data = (*inputs)[0], &alpha = (*inputs)[1];
  prelu_forward_cpu(extents_of(attributes, data, alpha), dtype_of(data), data.data_ptr,
                    dtype_of(alpha), alpha.data_ptr, (*outputs)[0].data_ptr);
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, std::vector<MXTensor>* inputs,
                       std::vector<MXTensor>* outputs, const OpResource&) {
  apply_wanted_threads();
  const MXTensor &dy = (*inputs)[0], &data = (*inputs)[1], &alpha = (*inputs)[2];
  prelu_backward_cpu(extents_of(attributes, data, alpha), dtype_of(data), dy.data_ptr,
                     data.data_ptr, dtype_of(alpha), alpha.data_ptr, (*outputs)[0].data_ptr,
                     (*outputs)[1].data_ptr);
  return mxnet::ext::MX_SUCCESS;
}

#ifdef DEEPRECT_WITH_CUDA
// lib_api sizes its workspaces by an int. MXNet keeps one for each stream: ask once in a call.
void* allocate_gpu(const OpResource& resource, int64_t bytes) {
  if (bytes > std::numeric_limits<int>::max()) {
    fail("the backward needs a workspace of " + std::to_string(bytes) +
         " bytes on the GPU and MXNet grants less than 2 GiB; split the data");
  }
  return bytes == 0 ? nullptr : resource.alloc_gpu(static_cast<int>(bytes));
}

MXReturnValue forward_gpu(const Attributes& attributes, std::vector<MXTensor>* inputs,
                          std::vector<MXTensor>* outputs, const OpResource& resource) {
  const MXTensor &data = (*inputs)[0], &alpha = (*inputs)[1];
  prelu_forward_gpu(extents_of(attributes, data, alpha), dtype_of(data), data.data_ptr,
                    dtype_of(alpha), alpha.data_ptr, (*outputs)[0].data_ptr,
                    resource.get_cuda_stream());
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue backward_gpu(const Attributes& attributes, std::vector<MXTensor>* inputs,
                           std::vector<MXTensor>* outputs, const OpResource& resource) {
  const MXTensor &dy = (*inputs)[0], &data = (*inputs)[1], &alpha = (*inputs)[2];
  const Extents extents = extents_of(attributes, data, alpha);
  const DType type = dtype_of(data);
  void* workspace = allocate_gpu(resource, prelu_backward_gpu_workspace(extents, type));
  prelu_backward_gpu(extents, type, dy.data_ptr, data.data_ptr, dtype_of(alpha), alpha.data_ptr,
                     (*outputs)[0].data_ptr, (*outputs)[1].data_ptr, workspace,
                     resource.get_cuda_stream());
  return mxnet::ext::MX_SUCCESS;
}
#endif

}  // namespace

REGISTER_OP(deeprect_prelu)
    .setParseAttrs(parse_attributes)
    .setInferType(infer_type)
    .setInferShape(infer_shape)
#ifdef DEEPRECT_WITH_CUDA
    .setForward(forward_gpu, "gpu")
    .setBackward(backward_gpu, "gpu")
#endif
    .setForward(forward, "cpu")
    .setBackward(backward, "cpu");

}  // namespace deeprect

mxnet::ext::MXReturnValue initialize(int version) {
  // 1.9.1 and later patch releases keep the interface; an older MXNet lacks parts of it.
  return version >= 10901 ? mxnet::ext::MX_SUCCESS : mxnet::ext::MX_FAIL;
}

extern "C" {
const char* deeprect_version() { return DEEPRECT_VERSION; }
// Null if $DEEPRECT_ISA names one that cannot be used.
const char* deeprect_cpu_isa() {
  try {
    return deeprect::cpu_isa();
  } catch (const std::exception&) {
    return nullptr;
  }
}
void deeprect_set_threads(int count) { deeprect::wanted_threads = count; }
}
