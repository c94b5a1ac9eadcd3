// The operator deeprect_conv_prelu.
#include "mxnet/op.h"

#include <algorithm>
#include <string>

#include "conv/conv_prelu.h"

namespace deeprect {
namespace {

struct ConvPReLUOperator : Operator {
  static constexpr const char* kName = "deeprect_conv_prelu";
  static constexpr const char* kInputs[] = {"data", "weight", "bias", "alpha", "weight"};
  int pad;
  bool relu, twice;

  explicit ConvPReLUOperator(AttributeReader& read)
      : pad(read.integer("pad", {0, 2}, "0, 1 or 2, and less than the kernel", 0)),
        relu(read.choice("activation", {"prelu", "relu"}, "prelu, or relu without alpha") == 1),
        twice(reads_weight_twice(read)) {}

  int absent_inputs() const { return relu + !twice; }

  Shape infer_shape(std::vector<Shape>& in) const {
    const Shape& data = in[0];
    Shape& weight = in[1];
    if (data.size() != 4 || std::count(data.begin() + 1, data.end(), 0)) {
      fail("data has shape " + to_string(data) +
           "; it must be (N, C, H, W) with channels and pixels");
    }
    if (weight.size() == 4 && weight[1] == kUnknown) weight[1] = data[1];
    const bool square = weight.size() == 4 && weight[2] == weight[3];
    if (!square || weight[2] < 2 || weight[2] > 3 || weight[1] != data[1] || weight[0] == 0 ||
        weight[0] == kUnknown) {
      fail("weight has shape " + to_string(weight) + "; for data of shape " + to_string(data) +
           " it must be (filters, " + std::to_string(data[1]) + ", k, k) with k of 2 or 3");
    }
    const unsigned int kernel = weight[2], padding = 2 * pad;
    if (pad >= static_cast<int>(kernel)) {
      fail("pad=" + std::to_string(pad) + " must be less than the kernel, " +
           std::to_string(kernel));
    }
    if (data[2] + padding < kernel || data[3] + padding < kernel) {
      fail("data of shape " + to_string(data) + " with pad=" + std::to_string(pad) +
           " is smaller than the kernel of " + std::to_string(kernel));
    }
    infer_vector("bias", weight[0], "filter", &in[2]);
    if (!relu) infer_vector("alpha", weight[0], "filter", &in[3], "slope");
    if (twice) in.back() = weight;
    return {data[0], weight[0], data[2] + padding + 1 - kernel, data[3] + padding + 1 - kernel};
  }

  void forward(Tensors& in, Tensors& out, const OpResource&) const {
    conv_prelu_forward(layer_of(in, 0), out[0].data<float>());
  }

  void backward(Tensors& in, Tensors& out, const OpResource&) const {
    conv_prelu_backward(layer_of(in, 1), in.back().data<float>(), in[0].data<float>(),
                        {out[0].data<float>(), out[1].data<float>(), out[2].data<float>(),
                         relu ? nullptr : out[3].data<float>()});
    if (twice) fill_zeros(out.back());
  }

 private:
  // The layer whose inputs stand from in[first] on.
  ConvPReLU layer_of(Tensors& in, size_t first) const {
    MXTensor &data = in[first], &weight = in[first + 1], &bias = in[first + 2];
    Rectifier rectifier{nullptr, false};
    if (!relu) rectifier = {in[first + 3].data<float>(), in[first + 3].size() == 1};
    return {{data.shape[0], data.shape[1], weight.shape[0], data.shape[2], data.shape[3],
             weight.shape[2], pad},
            data.data<float>(),
            weight.data<float>(),
            bias.data<float>(),
            rectifier};
  }
};

[[maybe_unused]] const auto& registered = register_operator<ConvPReLUOperator>().setBackward(
    run_backward<&ConvPReLUOperator::backward>, "cpu");

}  // namespace
}  // namespace deeprect
