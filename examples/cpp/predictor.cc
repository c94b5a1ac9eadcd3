#include "predictor.h"

#include <mxnet/c_api.h>
// After c_api.h, which has the types that it uses.
#include <mxnet/c_predict_api.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace deeprect {
namespace {

/// Throw what MXNet says of its last failure, less the stack.
void check(int status, const std::string& what) {
  if (status == 0) return;
  std::string message = MXGetLastError();
  if (const auto start = message.rfind("Error: "); start != std::string::npos) {
    message = message.substr(start + std::strlen("Error: "));
  }
  throw std::runtime_error(what + ": " + message.substr(0, message.find('\n')));
}

/// Start MXNet, once. MXPredFree leaves much of its work to threads of MXNet's engine, and exit()
/// destroys the engine: a thread that was still at work then used what was gone, and the process
/// died in up to one of twenty runs. So exit() must wait for them first.
void start_mxnet() {
  [[maybe_unused]] static const bool started = [] {
    setenv("MXNET_SUBGRAPH_VERBOSE", "0", /*overwrite=*/0);  // no line on stderr for each net
    MXNDArrayWaitAll();  // makes the engine; what is registered later runs before its end
    return std::atexit([] { MXNDArrayWaitAll(); }) == 0;
  }();
}

}  // namespace

void load_operators(const std::string& library) {
  start_mxnet();
  check(MXLoadLib(library.c_str(), 0), "cannot load " + library);
}

Predictor::Predictor(const std::string& symbol, const std::string& params, int channels, int size) {
  if (params.size() > std::numeric_limits<int>::max()) {
    throw std::runtime_error(
        "parameters of more than 2 GiB, which MXNet's predict API cannot take");
  }
  start_mxnet();
  constexpr int kCpu = 1;
  const char* inputs[] = {"data"};
  const uint32_t begins[] = {0, 4};
  const uint32_t shape[] = {1, static_cast<uint32_t>(channels), static_cast<uint32_t>(size),
                            static_cast<uint32_t>(size)};
  PredictorHandle handle = nullptr;
  check(MXPredCreate(symbol.c_str(), params.data(), static_cast<int>(params.size()), kCpu, 0, 1,
                     inputs, begins, shape, &handle),
        "MXNet refuses the net");
  handle_.reset(handle);
}

std::vector<float> Predictor::operator()(const std::vector<float>& input) const {
  check(MXPredSetInput(handle_.get(), "data", input.data(), static_cast<uint32_t>(input.size())),
        "MXNet refuses the input");
  check(MXPredForward(handle_.get()), "the net failed");
  uint32_t* shape = nullptr;
  uint32_t dimensions = 0;
  check(MXPredGetOutputShape(handle_.get(), 0, &shape, &dimensions), "the net has no output");
  const auto size =
      std::accumulate(shape, shape + dimensions, uint32_t{1}, std::multiplies<uint32_t>());
  std::vector<float> scores(size);
  check(MXPredGetOutput(handle_.get(), 0, scores.data(), size), "the net failed");
  return scores;
}

void Predictor::Free::operator()(void* handle) const { MXPredFree(handle); }

}  // namespace deeprect
