// Calls the operator that src/prelu/op.cc registers for a context, as MXNet does.
#include <mxnet/lib_api.h>

#include <algorithm>
#include <cstring>

using mxnet::ext::MXTensor;

namespace {

std::vector<char> workspace;

void* allocate(void*, int bytes) {
  workspace.assign(bytes, '\xff');
  return workspace.data();
}

mxnet::ext::fcomp_t function_for(const char* context, bool backward) {
  auto& op = mxnet::ext::Registry<mxnet::ext::CustomOp>::get()->get(0);
  op.mapToVector();
  const auto& contexts = backward ? op.backward_ctx_cstr : op.forward_ctx_cstr;
  const auto found = std::find_if(contexts.begin(), contexts.end(), [&](const char* name) {
    return std::strcmp(name, context) == 0;
  });
  return (backward ? op.backward_fp : op.forward_fp).at(found - contexts.begin());
}

}  // namespace

// arrays: x, alpha, y of a forward; dy, x, alpha, y, dx, grad_alpha of a backward. Returns null or
// the message of the error.
extern "C" const char* emulated_operator(const char* context, bool backward, const char* axis,
                                         int rank, const int64_t* shape, int64_t slopes,
                                         int data_type, int alpha_type, void** arrays) {
  static std::string message;
  const auto tensor = [&](void* p, bool is_alpha) {
    const std::vector<int64_t> dims =
        is_alpha ? std::vector<int64_t>{slopes} : std::vector<int64_t>(shape, shape + rank);
    const auto type = static_cast<mxnet::ext::MXDType>(is_alpha ? alpha_type : data_type);
    return MXTensor(p, dims, type, 0, mxnet::ext::MXContext(context, 0));
  };
  std::vector<MXTensor> inputs, outputs;
  if (backward) {
    inputs = {tensor(arrays[0], false), tensor(arrays[1], false), tensor(arrays[2], true),
              tensor(arrays[3], false)};
    outputs = {tensor(arrays[4], false), tensor(arrays[5], true)};
  } else {
    inputs = {tensor(arrays[0], false), tensor(arrays[1], true)};
    outputs = {tensor(arrays[2], false)};
  }
  const mxnet::ext::OpResource resource(nullptr, nullptr, allocate, nullptr, nullptr, nullptr,
                                        nullptr, nullptr, nullptr);
  try {
    function_for(context, backward)({{"axis", axis}}, &inputs, &outputs, resource);
    return nullptr;
  } catch (const std::exception& error) {
    message = error.what();
    return message.c_str();
  }
}
