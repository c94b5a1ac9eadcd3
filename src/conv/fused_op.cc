// The operator deeprect_fused_conv, for inference: a convolution with what stands around it.
//
//   y = rectifier(convolution(scale * data + shift) + bias + summand)
//
// A slope of 1 is no rectifier, and a slope of 0 is a ReLU.
#include <string>

#include "conv/direct.h"
#include "conv/winograd.h"
#include "mxnet/op.h"

namespace deeprect {
namespace {

struct FusedConv : Operator {
  static constexpr const char* kName = "deeprect_fused_conv";
  static constexpr const char* kInputs[] = {"data",    "weight", "bias", "alpha",
                                            "summand", "scale",  "shift"};
  int pad;
  bool direct, added, scaled;

  explicit FusedConv(AttributeReader& read)
      : pad(read.integer("pad", {0, kMost}, "an integer from 0, less than the kernel", 0)),
        direct(read.choice("algorithm", {"winograd", "direct"}, "winograd or direct") == 1),
        added(read.choice("added", {"False", "True"}, "False or True") == 1),
        scaled(read.choice("scaled", {"False", "True"}, "False or True") == 1) {}

  int absent_inputs() const { return (added ? 0 : 1) + (scaled ? 0 : 2); }

  Shape infer_shape(std::vector<Shape>& in) const {
    const Shape &data = in[0], &weight = in[1];
    if (data.size() != 4) fail("data has shape " + to_string(data) + "; it must be (N, C, H, W)");
    const bool square = weight.size() == 4 && weight[2] == weight[3];
    const unsigned int least = direct ? 1 : 2, most = direct ? kMost : 3;
    if (!square || weight[0] < 1 || weight[1] < 1 || weight[1] != data[1] || weight[2] < least ||
        weight[2] > most) {
      fail("weight has shape " + to_string(weight) + "; for data of shape " + to_string(data) +
           " it must be (filters, C, k, k) with k from " + std::to_string(least) + " to " +
           std::to_string(most));
    }
    const Convolution c = convolution(data, weight);
    if (c.pad >= c.kernel || c.out_height() < 1 || c.out_width() < 1) {
      fail("pad=" + std::to_string(pad) + " does not fit data of shape " + to_string(data) +
           " and a kernel of " + std::to_string(c.kernel));
    }
    infer_vector("bias", weight[0], "filter", &in[2]);
    infer_vector("alpha", weight[0], "filter", &in[3], "slope");
    if (scaled) {
      infer_vector("scale", data[1], "channel", &in[scale_at()]);
      infer_vector("shift", data[1], "channel", &in[scale_at() + 1]);
    }
    const Shape out{data[0], weight[0], static_cast<unsigned>(c.out_height()),
                    static_cast<unsigned>(c.out_width())};
    if (added && in[4].empty()) in[4] = out;
    if (added && in[4] != out) {
      fail("summand has shape " + to_string(in[4]) + "; it must be " + to_string(out));
    }
    return out;
  }

  void forward(Tensors& in, Tensors& out, const OpResource&) const {
    MXTensor &data = in[0], &weight = in[1];
    const Convolution c = convolution(data.shape, weight.shape);
    if (c.images == 0) return;
    Input input{data.data<float>()};
    if (scaled) {
      input.scale = in[scale_at()].data<float>();
      input.shift = in[scale_at() + 1].data<float>();
    }
    const Epilogue end{in[2].data<float>(), in[3].data<float>(), in[3].size() > 1,
                       added ? in[4].data<float>() : nullptr};
    float* const y = out[0].data<float>();
    if (direct) {
      convolve_directly(c, input, weight.data<float>(), end, y);
    } else {
      const int64_t filter = c.in_channels * c.taps();
      convolve(c, input, {weight.data<float>(), filter, c.taps(), false}, end, y);
    }
  }

 private:
  static constexpr int kMost = 64;  // the largest kernel

  template <typename Dims>
  Convolution convolution(const Dims& data, const Dims& weight) const {
    return {data[0], data[1], weight[0], data[2], data[3], weight[2], pad};
  }
  // The place of scale among the inputs; shift follows.
  int scale_at() const { return added ? 5 : 4; }
};

[[maybe_unused]] const auto& registered =
    register_operator<FusedConv>().setBackward(refuse_backward<FusedConv>, "cpu");

}  // namespace
}  // namespace deeprect
