// deeprect_max_pool as MXNet sees it: attributes, shape and type inference, error messages.
#include "mxnet/op.h"

#include <mxnet/lib_api.h>

#include <string>
#include <vector>

#include "base/threads.h"
#include "pool/max_pool.h"

namespace deeprect {
namespace {

[[noreturn]] void fail(const std::string& message) { deeprect::fail("deeprect_max_pool", message); }

unsigned int extent(const Attributes& attributes, const char* name) {
  const auto found = attributes.find(name);
  if (found == attributes.end()) fail(std::string(name) + " is missing; it must be 1 or more");
  const std::string& text = found->second;
  const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || text.empty() || text.size() > 6 || std::stoul(text) < 1) {
    fail(std::string(name) + "=" + text + " is not supported; it must be a number from 1 on");
  }
  return std::stoul(text);
}

MXReturnValue parse_attributes(const Attributes& attributes, int* num_inputs, int* num_outputs) {
  for (const auto& item : attributes) {
    const std::string& key = item.first;
    if (key != "window" && key != "stride" && key.compare(0, 2, "__") != 0) {
      fail("unknown argument " + key + "=" + item.second + "; it takes data, window and stride");
    }
  }
  extent(attributes, "window");
  extent(attributes, "stride");
  *num_inputs = 1;
  *num_outputs = 1;
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue infer_type(const Attributes&, std::vector<int>* in, std::vector<int>* out) {
  const char* const names[] = {"data"};
  return infer_float32("deeprect_max_pool", names, in, out);
}

template <typename Dims>
MaxPool pool_of(const Attributes& attributes, const Dims& dims) {
  return {int64_t(dims[0]) * dims[1], dims[2], dims[3], extent(attributes, "window"),
          extent(attributes, "stride")};
}

MXReturnValue infer_shape(const Attributes& attributes, std::vector<Shape>* in,
                          std::vector<Shape>* out) {
  const Shape& data = (*in)[0];
  const unsigned int window = extent(attributes, "window");
  if (data.size() != 4 || data[2] < window || data[3] < window) {
    fail("data has shape " + to_string(data) + "; it must be (N, C, H, W) with maps of " +
         std::to_string(window) + " pixels, the window, or more");
  }
  const MaxPool pool = pool_of(attributes, data);
  (*out)[0] = {data[0], data[1], static_cast<unsigned int>(pool.out_height()),
               static_cast<unsigned int>(pool.out_width())};
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue forward(const Attributes& attributes, std::vector<MXTensor>* inputs,
                      std::vector<MXTensor>* outputs, const OpResource&) {
  apply_wanted_threads();
  MXTensor& x = (*inputs)[0];
  max_pool_forward(pool_of(attributes, x.shape), x.data<float>(), (*outputs)[0].data<float>());
  return mxnet::ext::MX_SUCCESS;
}

MXReturnValue backward(const Attributes& attributes, std::vector<MXTensor>* inputs,
                       std::vector<MXTensor>* outputs, const OpResource&) {
  apply_wanted_threads();
  MXTensor &dy = (*inputs)[0], &x = (*inputs)[1];
  max_pool_backward(pool_of(attributes, x.shape), dy.data<float>(), x.data<float>(),
                    (*outputs)[0].data<float>());
  return mxnet::ext::MX_SUCCESS;
}

}  // namespace

REGISTER_OP(deeprect_max_pool)
    .setParseAttrs(parse_attributes)
    .setInferType(infer_type)
    .setInferShape(infer_shape)
    .setForward(forward, "cpu")
    .setBackward(backward, "cpu");

}  // namespace deeprect
