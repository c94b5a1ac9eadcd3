// A net that MXNet's C predict API runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace deeprect {

/// Register the operators of a library such as libdeeprect.so with MXNet, once in a process.
void load_operators(const std::string& library);

class Predictor {
 public:
  /// Load a net for one image of `channels` x `size` x `size`.
  ///
  /// `symbol` and `params` are the contents of the files. Throws std::runtime_error if MXNet
  /// refuses them.
  Predictor(const std::string& symbol, const std::string& params, int channels, int size);

  /// Return the scores of the classes for an input (channels, size, size).
  std::vector<float> operator()(const std::vector<float>& input) const;

 private:
  struct Free {
    void operator()(void* handle) const;
  };
  std::unique_ptr<void, Free> handle_;
};

}  // namespace deeprect
