// The operator deeprect_sgd_update.
#include "mxnet/op.h"

#include <string>

#include "sgd/sgd.h"

namespace deeprect {
namespace {

struct SgdUpdate : Operator {
  static constexpr const char* kName = "deeprect_sgd_update";
  static constexpr const char* kInputs[] = {"weight", "grad", "velocity"};
  static constexpr int kOutputs = 2;  // the new weight and velocity; they may be the old arrays
  SgdSettings settings;

  explicit SgdUpdate(AttributeReader& read)
      : settings{read.number("lr"), read.number("wd"), read.number("momentum"),
                 read.number("rescale_grad")} {}

  Shape infer_shape(std::vector<Shape>& in) const {
    for (size_t i = 1; i < in.size(); ++i) {
      if (in[i] != in[0]) {
        fail(std::string(kInputs[i]) + " has shape " + to_string(in[i]) +
             "; it must be that of weight, " + to_string(in[0]));
      }
    }
    return in[0];
  }

  void forward(Tensors& in, Tensors& out, const OpResource&) const {
    sgd_update(in[0].size(), settings, in[0].data<float>(), in[1].data<float>(),
               in[2].data<float>(), {out[0].data<float>(), out[1].data<float>()});
  }
};

[[maybe_unused]] const auto& registered = register_operator<SgdUpdate>();

}  // namespace
}  // namespace deeprect
