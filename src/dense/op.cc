// The operator deeprect_dense.
#include "mxnet/op.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>

#include "dense/dense.h"

namespace deeprect {
namespace {

struct DenseOperator : Operator {
  static constexpr const char* kName = "deeprect_dense";
  static constexpr const char* kInputs[] = {"data", "weight", "bias", "weight"};
  bool twice;

  explicit DenseOperator(AttributeReader& read) : twice(reads_weight_twice(read)) {}

  int absent_inputs() const { return !twice; }

  Shape infer_shape(std::vector<Shape>& in) const {
    const Shape& data = in[0];
    Shape& weight = in[1];
    if (data.size() < 2 || std::count(data.begin() + 1, data.end(), 0)) {
      fail("data has shape " + to_string(data) + "; it must be (N, ...) with inputs");
    }
    const uint64_t inputs =
        std::accumulate(data.begin() + 1, data.end(), uint64_t{1}, std::multiplies<>());
    if (weight.size() == 2 && weight[1] == kUnknown) weight[1] = inputs;
    if (weight.size() != 2 || weight[1] != inputs || weight[0] == 0 || weight[0] == kUnknown) {
      fail("weight has shape " + to_string(weight) + "; for data of shape " + to_string(data) +
           " it must be (outputs, " + std::to_string(inputs) + ")");
    }
    infer_vector("bias", weight[0], "output", &in[2]);
    if (twice) in[3] = weight;
    return {data[0], weight[0]};
  }

  void forward(Tensors& in, Tensors& out, const OpResource&) const {
    dense_forward(dense_of(in[0], in[1]), in[2].data<float>(), out[0].data<float>());
  }

  void backward(Tensors& in, Tensors& out, const OpResource&) const {
    dense_backward(dense_of(in[1], in[2]), in[0].data<float>(),
                   {out[0].data<float>(), out[1].data<float>(), out[2].data<float>()});
    if (twice) fill_zeros(out[3]);
  }

 private:
  static Dense dense_of(MXTensor& data, MXTensor& weight) {
    return {data.shape[0], weight.shape[1], weight.shape[0], data.data<float>(),
            weight.data<float>()};
  }
};

[[maybe_unused]] const auto& registered =
    register_operator<DenseOperator>().setBackward(run_backward<&DenseOperator::backward>, "cpu");

}  // namespace
}  // namespace deeprect
