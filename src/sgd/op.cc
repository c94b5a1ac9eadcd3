// deeprect_sgd_update as MXNet sees it: attributes, shape and type inference, error messages.
#include "mxnet/op.h"

#include <mxnet/lib_api.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/threads.h"
#include "sgd/sgd.h"

namespace deeprect {
namespace {

const char* const kInputs[] = {"weight", "grad", "velocity"};

[[noreturn]] void fail(const std::string& message) {
  deeprect::fail("deeprect_sgd_update", message);
}

float number(const Attributes& attributes, const char* name) {
  const auto found = attributes.find(name);
  if (found == attributes.end()) fail(std::string(name) + " is missing; give a number");
  char* end = nullptr;
  const double value = std::strtod(found->second.c_str(), &end);
  if (found->second.empty() || *end != '\0' || !std::isfinite(value)) {
    fail(std::string(name) + "=" + found->second + " is not a finite number");
  }
  return static_cast<float>(value);
}

SgdSettings settings_of(const Attributes& attributes) {
  return {number(attributes, "lr"), number(attributes, "wd"), number(attributes, "momentum"),
          number(attributes, "rescale_grad")};
}

MXReturnValue parse_attributes(const Attributes& attributes, int* num_inputs, int* num_outputs) {
  settings_of(attributes);
  *num_inputs = 3;
  *num_outputs = 1;
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue infer_type(const Attributes&, std::vector<int>* in, std::vector<int>* out) {
  for (size_t i = 0; i < in->size(); ++i) {
    if ((*in)[i] != mxnet::ext::kFloat32) {
      fail(std::string(kInputs[i]) + " is " + type_name((*in)[i]) + "; it must be float32");
    }
  }
  (*out)[0] = mxnet::ext::kFloat32;
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue infer_shape(const Attributes&, std::vector<Shape>* in, std::vector<Shape>* out) {
  for (size_t i = 1; i < in->size(); ++i) {
    if ((*in)[i] != (*in)[0]) {
      fail(std::string(kInputs[i]) + " has shape " + to_string((*in)[i]) +
           "; it must be that of weight, " + to_string((*in)[0]));
    }
  }
  (*out)[0] = (*in)[0];
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue mutate_inputs(const Attributes&, std::vector<int>* indices) {
  *indices = {2};
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue forward(const Attributes& attributes, std::vector<MXTensor>* inputs,
                      std::vector<MXTensor>* outputs, const OpResource&) {
  apply_wanted_threads();
  auto& in = *inputs;
  sgd_update(in[0].size(), settings_of(attributes), in[0].data<float>(), in[1].data<float>(),
             in[2].data<float>(), (*outputs)[0].data<float>());
  return mxnet::ext::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(deeprect_sgd_update)
    .setParseAttrs(parse_attributes)
    .setInferType(infer_type)
    .setInferShape(infer_shape)
    .setMutateInputs(mutate_inputs)
    .setForward(forward, "cpu");

}  // namespace deeprect
