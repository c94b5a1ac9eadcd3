// deeprect_conv_prelu as MXNet sees it: attributes, shape and type inference, error messages.
#include "mxnet/op.h"

#include <mxnet/lib_api.h>

#include <string>
#include <vector>

#include "base/threads.h"
#include "conv/conv_prelu.h"

namespace deeprect {
namespace {

[[noreturn]] void fail(const std::string& message) {
  deeprect::fail("deeprect_conv_prelu", message);
}

std::string attribute(const Attributes& attributes, const char* name, const char* otherwise) {
  const auto found = attributes.find(name);
  return found == attributes.end() ? otherwise : found->second;
}

unsigned int pad_of(const Attributes& attributes) {
  const std::string text = attribute(attributes, "pad", "0");
  if (text != "0" && text != "1" && text != "2") {
    fail("pad=" + text + " is not supported; it must be 0, 1 or 2, and less than the kernel");
  }
  return text[0] - '0';
}

bool is_relu(const Attributes& attributes) {
  const std::string text = attribute(attributes, "activation", "prelu");
  if (text != "prelu" && text != "relu") {
    fail("activation=" + text + " is not supported; it must be prelu, or relu without alpha");
  }
  return text == "relu";
}

MXReturnValue parse_attributes(const Attributes& attributes, int* num_inputs, int* num_outputs) {
  for (const auto& item : attributes) {
    const std::string& key = item.first;
    if (key != "pad" && key != "activation" && key.compare(0, 2, "__") != 0) {
      fail("unknown argument " + key + "=" + item.second +
           "; it takes data, weight, bias, alpha, pad and activation");
    }
  }
  pad_of(attributes);
  *num_inputs = is_relu(attributes) ? 3 : 4;
  *num_outputs = 1;
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue infer_type(const Attributes&, std::vector<int>* in, std::vector<int>* out) {
  const char* const names[] = {"data", "weight", "bias", "alpha"};
  return infer_float32("deeprect_conv_prelu", names, in, out);
}

void infer_vector(const char* name, unsigned int channels, bool may_be_shared, Shape* shape) {
  if (is_deferred(*shape)) *shape = {channels};
  if (shape->size() == 1 && ((*shape)[0] == channels || (may_be_shared && (*shape)[0] == 1)))
    return;
  fail(std::string(name) + " has shape " + to_string(*shape) + "; it must be (" +
       std::to_string(channels) + ",), an element for each filter" +
       (may_be_shared ? ", or (1,) to share one slope" : ""));
}

MXReturnValue infer_shape(const Attributes& attributes, std::vector<Shape>* in,
                          std::vector<Shape>* out) {
  const Shape& data = (*in)[0];
  Shape& weight = (*in)[1];
  if (data.size() != 4 || data[1] == 0) {
    fail("data has shape " + to_string(data) + "; it must be (N, C, H, W) with channels");
  }
  if (weight.size() == 4 && (weight[1] == 0 || weight[1] == -1u)) weight[1] = data[1];
  const bool square = weight.size() == 4 && weight[2] == weight[3];
  if (!square || weight[2] < 2 || weight[2] > 3 || weight[1] != data[1] || weight[0] < 1) {
    fail("weight has shape " + to_string(weight) + "; for data of shape " + to_string(data) +
         " it must be (filters, " + std::to_string(data[1]) + ", k, k) with k of 2 or 3");
  }
  const unsigned int kernel = weight[2], pad = pad_of(attributes);
  if (pad >= kernel) {
    fail("pad=" + std::to_string(pad) + " must be less than the kernel, " + std::to_string(kernel));
  }
  if (data[2] + 2 * pad < kernel || data[3] + 2 * pad < kernel) {
    fail("data of shape " + to_string(data) + " with pad=" + std::to_string(pad) +
         " is smaller than the kernel of " + std::to_string(kernel));
  }
  infer_vector("bias", weight[0], false, &(*in)[2]);
  if (!is_relu(attributes)) infer_vector("alpha", weight[0], true, &(*in)[3]);
  const unsigned int shrink = kernel - 1 - 2 * pad;  // modulo 2^32: it may be negative
  (*out)[0] = {data[0], weight[0], data[2] - shrink, data[3] - shrink};
  return mxnet::ext::MX_SUCCESS;
}

Convolution convolution_of(const Attributes& attributes, const MXTensor& data,
                           const MXTensor& weight) {
  return {data.shape[0], data.shape[1],   weight.shape[0],   data.shape[2],
          data.shape[3], weight.shape[2], pad_of(attributes)};
}

Rectifier rectifier_of(std::vector<MXTensor>& inputs, size_t alpha) {
  if (alpha >= inputs.size()) return {nullptr, false};
  return {inputs[alpha].data<float>(), inputs[alpha].size() == 1};
}

MXReturnValue forward(const Attributes& attributes, std::vector<MXTensor>* inputs,
                      std::vector<MXTensor>* outputs, const OpResource&) {
  apply_wanted_threads();
  auto& in = *inputs;
  conv_prelu_forward(convolution_of(attributes, in[0], in[1]), in[0].data<float>(),
                     in[1].data<float>(), in[2].data<float>(), rectifier_of(in, 3),
                     (*outputs)[0].data<float>());
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, std::vector<MXTensor>* inputs,
                       std::vector<MXTensor>* outputs, const OpResource&) {
  apply_wanted_threads();
  // dy, data, weight, bias, alpha unless it is a ReLU, y.
  auto &in = *inputs, &out = *outputs;
  const bool relu = is_relu(attributes);
  MXTensor& y = in.back();
  conv_prelu_backward(convolution_of(attributes, in[1], in[2]), in[0].data<float>(),
                      in[1].data<float>(), in[2].data<float>(), in[3].data<float>(),
                      relu ? Rectifier{nullptr, false} : rectifier_of(in, 4), y.data<float>(),
                      out[0].data<float>(), out[1].data<float>(), out[2].data<float>(),
                      relu ? nullptr : out[3].data<float>());
  return mxnet::ext::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(deeprect_conv_prelu)
    .setParseAttrs(parse_attributes)
    .setInferType(infer_type)
    .setInferShape(infer_shape)
    .setForward(forward, "cpu")
    .setBackward(backward, "cpu");

}  // namespace deeprect
