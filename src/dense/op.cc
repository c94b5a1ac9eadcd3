// deeprect_dense as MXNet sees it: attributes, shape and type inference, error messages.
#include "mxnet/op.h"

#include <mxnet/lib_api.h>

#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "base/threads.h"
#include "dense/dense.h"

namespace deeprect {
namespace {

[[noreturn]] void fail(const std::string& message) { deeprect::fail("deeprect_dense", message); }

MXReturnValue parse_attributes(const Attributes& attributes, int* num_inputs, int* num_outputs) {
  for (const auto& item : attributes) {
    if (item.first.compare(0, 2, "__") != 0) {
      fail("unknown argument " + item.first + "=" + item.second +
           "; it takes data, weight and bias");
    }
  }
  *num_inputs = 3;
  *num_outputs = 1;
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue infer_type(const Attributes&, std::vector<int>* in, std::vector<int>* out) {
  const char* const names[] = {"data", "weight", "bias"};
  return infer_float32("deeprect_dense", names, in, out);
}

MXReturnValue infer_shape(const Attributes&, std::vector<Shape>* in, std::vector<Shape>* out) {
  const Shape& data = (*in)[0];
  Shape &weight = (*in)[1], &bias = (*in)[2];
  const unsigned int inputs =
      std::accumulate(data.begin() + !data.empty(), data.end(), 1u, std::multiplies<>());
  if (data.size() < 2 || inputs == 0) {
    fail("data has shape " + to_string(data) + "; it must be (N, ...) with inputs");
  }
  if (weight.size() == 2 && (weight[1] == 0 || weight[1] == -1u)) weight[1] = inputs;
  if (weight.size() != 2 || weight[1] != inputs || weight[0] < 1) {
    fail("weight has shape " + to_string(weight) + "; for data of shape " + to_string(data) +
         " it must be (outputs, " + std::to_string(inputs) + ")");
  }
  if (is_deferred(bias)) bias = {weight[0]};
  if (bias != Shape{weight[0]}) {
    fail("bias has shape " + to_string(bias) + "; it must be (" + std::to_string(weight[0]) +
         ",), an element for each output");
  }
  (*out)[0] = {data[0], weight[0]};
  return mxnet::ext::MX_SUCCESS;
}

Dense dense_of(const MXTensor& data, const MXTensor& weight) {
  return {data.shape[0], weight.shape[1], weight.shape[0]};
}

MXReturnValue forward(const Attributes&, std::vector<MXTensor>* inputs,
                      std::vector<MXTensor>* outputs, const OpResource&) {
  apply_wanted_threads();
  auto& in = *inputs;
  dense_forward(dense_of(in[0], in[1]), in[0].data<float>(), in[1].data<float>(),
                in[2].data<float>(), (*outputs)[0].data<float>());
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue backward(const Attributes&, std::vector<MXTensor>* inputs,
                       std::vector<MXTensor>* outputs, const OpResource&) {
  apply_wanted_threads();
  // dy, data, weight, bias, y.
  auto &in = *inputs, &out = *outputs;
  dense_backward(dense_of(in[1], in[2]), in[0].data<float>(), in[1].data<float>(),
                 in[2].data<float>(), out[0].data<float>(), out[1].data<float>(),
                 out[2].data<float>());
  return mxnet::ext::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(deeprect_dense)
    .setParseAttrs(parse_attributes)
    .setInferType(infer_type)
    .setInferShape(infer_shape)
    .setForward(forward, "cpu")
    .setBackward(backward, "cpu");

}  // namespace deeprect
