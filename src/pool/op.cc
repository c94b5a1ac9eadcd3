// The operator deeprect_max_pool.
#include "mxnet/op.h"

#include <string>

#include "pool/max_pool.h"

namespace deeprect {
namespace {

struct MaxPoolOperator : Operator {
  static constexpr const char* kName = "deeprect_max_pool";
  static constexpr const char* kInputs[] = {"data"};
  int window, stride;

  explicit MaxPoolOperator(AttributeReader& read)
      : window(read.integer("window", {1, 999999}, "a number from 1 on")),
        stride(read.integer("stride", {1, 999999}, "a number from 1 on")) {}

  Shape infer_shape(std::vector<Shape>& in) const {
    const Shape& data = in[0];
    const unsigned int least = window;
    if (data.size() != 4 || data[2] < least || data[3] < least) {
      fail("data has shape " + to_string(data) + "; it must be (N, C, H, W) with maps of " +
           std::to_string(window) + " pixels, the window, or more");
    }
    const MaxPool pool = pool_of(data);
    return {data[0], data[1], static_cast<unsigned int>(pool.out_height()),
            static_cast<unsigned int>(pool.out_width())};
  }

  void forward(Tensors& in, Tensors& out, const OpResource&) const {
    max_pool_forward(pool_of(in[0].shape), in[0].data<float>(), out[0].data<float>());
  }

  void backward(Tensors& in, Tensors& out, const OpResource&) const {
    MXTensor &dy = in[0], &x = in[1];
    max_pool_backward(pool_of(x.shape), dy.data<float>(), x.data<float>(), out[0].data<float>());
  }

 private:
  template <typename Dims>
  MaxPool pool_of(const Dims& shape) const {
    return {int64_t(shape[0]) * shape[1], shape[2], shape[3], window, stride};
  }
};

[[maybe_unused]] const auto& registered = register_operator<MaxPoolOperator>().setBackward(
    run_backward<&MaxPoolOperator::backward>, "cpu");

}  // namespace
}  // namespace deeprect
