// The operator deeprect_depth_to_space, for inference: MXNet's depth_to_space, many times as fast.
//
// With blocks of b x b, y[n, c, h * b + i, w * b + j] = x[n, (i * b + j) * C + c, h, w].
#include "mxnet/op.h"

#include <string>

namespace deeprect {
namespace {

// Write a row of outputs from b rows of inputs, `plane` floats apart. b is a constant where that
// makes vector code.
template <int constant>
void interleave_rows(const float* x, int64_t plane, int64_t width, int block, float* y) {
  const int b = constant ? constant : block;
  for (int64_t w = 0; w < width; ++w) {
    for (int j = 0; j < b; ++j) y[w * b + j] = x[j * plane + w];
  }
}

struct DepthToSpace : Operator {
  static constexpr const char* kName = "deeprect_depth_to_space";
  static constexpr const char* kInputs[] = {"data"};
  int block;

  explicit DepthToSpace(AttributeReader& read)
      : block(read.integer("block_size", {1, 1024}, "an integer from 1 to 1024")) {}

  Shape infer_shape(std::vector<Shape>& in) const {
    const Shape& data = in[0];
    const unsigned int b = block;
    if (data.size() != 4 || data[1] == 0 || data[1] % (b * b)) {
      fail("data has shape " + to_string(data) + "; it must be (N, C, H, W) with C a multiple of " +
           std::to_string(b * b));
    }
    return {data[0], data[1] / (b * b), data[2] * b, data[3] * b};
  }

  void forward(Tensors& in, Tensors& out, const OpResource&) const {
    const auto& shape = in[0].shape;
    const int64_t images = shape[0], height = shape[2], width = shape[3], plane = height * width;
    const int64_t b = block, channels = shape[1] / (b * b);
    const float* const x = in[0].data<float>();
    float* const y = out[0].data<float>();
    const auto interleave = b == 2   ? interleave_rows<2>
                            : b == 3 ? interleave_rows<3>
                            : b == 4 ? interleave_rows<4>
                                     : interleave_rows<0>;
#pragma omp parallel for collapse(3)
    for (int64_t n = 0; n < images; ++n) {
      for (int64_t c = 0; c < channels; ++c) {
        for (int64_t h = 0; h < height; ++h) {
          for (int64_t i = 0; i < b; ++i) {
            const float* const from = x + ((n * b + i) * b * channels + c) * plane + h * width;
            float* const to = y + (((n * channels + c) * height + h) * b + i) * width * b;
            interleave(from, channels * plane, width, block, to);
          }
        }
      }
    }
  }
};

[[maybe_unused]] const auto& registered =
    register_operator<DepthToSpace>().setBackward(refuse_backward<DepthToSpace>, "cpu");

}  // namespace
}  // namespace deeprect
