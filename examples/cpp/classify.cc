// Names what JPEG files show, by a net that `deeprect_gluon.export.export` wrote:
//
//   classify [--operators LIBDEEPRECT.SO] [--top N] EXPORT IMAGE...
//
// EXPORT is the beginning of the files EXPORT.json, EXPORT-symbol.json and EXPORT-0000.params.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <exception>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "image.h"
#include "predictor.h"
#include "sidecar.h"

namespace {

using deeprect::Image;
using deeprect::Sidecar;

constexpr const char* kUsage =
    "usage: classify [--operators LIBDEEPRECT.SO] [--top N] EXPORT IMAGE...";

struct Arguments {
  std::string operators;
  size_t top = 5;
  std::string net;
  std::vector<std::string> images;
};

Arguments parse(int count, char** values) {
  Arguments arguments;
  std::vector<std::string> rest;
  for (int i = 1; i < count; ++i) {
    const std::string_view value = values[i];
    if (value == "--operators" && i + 1 < count) {
      arguments.operators = values[++i];
    } else if (value == "--top" && i + 1 < count) {
      const std::string_view number = values[++i];
      const char* end = number.data() + number.size();
      const auto [stop, error] = std::from_chars(number.data(), end, arguments.top);
      if (error != std::errc() || stop != end || arguments.top == 0) {
        throw std::invalid_argument("--top " + std::string(number) + " is no number of classes");
      }
    } else if (value.size() > 1 && value[0] == '-') {
      throw std::invalid_argument("unknown or incomplete option " + std::string(value) + "\n" +
                                  kUsage);
    } else {
      rest.emplace_back(value);
    }
  }
  if (rest.size() < 2) throw std::invalid_argument(kUsage);
  arguments.net = rest.front();
  arguments.images.assign(rest.begin() + 1, rest.end());
  return arguments;
}

/// From an image to a net's input: channels, size, normalisation (`images.Preprocess` in Python).
std::vector<float> to_input(const Image& original, const Sidecar& rule) {
  const Image image = with_channels(original, rule.channels);
  const bool small = std::max(image.height, image.width) <= rule.size;
  const Image square =
      rule.border && small ? pad(image, rule.size) : resize_and_crop(image, rule.resize, rule.size);
  std::vector<float> input;
  input.reserve(square.pixels.size());
  for (int c = 0; c < rule.channels; ++c) {
    for (int y = 0; y < rule.size; ++y) {
      for (int x = 0; x < rule.size; ++x) {
        input.push_back((square.at(y, x)[c] / 255.0f - rule.mean[c]) / rule.std[c]);
      }
    }
  }
  return input;
}

std::vector<double> softmax(const std::vector<float>& scores) {
  const double most = *std::max_element(scores.begin(), scores.end());
  std::vector<double> result(scores.size());
  std::transform(scores.begin(), scores.end(), result.begin(),
                 [&](float score) { return std::exp(score - most); });
  const double sum = std::accumulate(result.begin(), result.end(), 0.0);
  for (double& value : result) value /= sum;
  return result;
}

void print_likeliest(const std::vector<double>& probabilities, const Sidecar& sidecar, size_t top) {
  std::vector<size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  for (size_t i = 0; i < std::min(top, order.size()); ++i) {
    const size_t index = order[i];
    const std::string name =
        index < sidecar.classes.size() ? sidecar.classes[index] : "class " + std::to_string(index);
    std::printf("  %.6f  %s\n", probabilities[index], name.c_str());
  }
}

void run(const Arguments& arguments) {
  const Sidecar sidecar = deeprect::read_sidecar(arguments.net);
  if (!arguments.operators.empty()) {
    deeprect::load_operators(arguments.operators);
  } else if (sidecar.form == "operator") {
    throw std::invalid_argument(arguments.net +
                                " needs this project's operators: give --operators "
                                "LIBDEEPRECT.SO, or export the net with portable=True");
  }
  const deeprect::Predictor net(sidecar.symbol, sidecar.params, sidecar.channels, sidecar.size);
  for (const std::string& path : arguments.images) {
    const auto scores = net(to_input(deeprect::read_jpeg(path), sidecar));
    std::printf("%s\n", path.c_str());
    print_likeliest(softmax(scores), sidecar, arguments.top);
  }
}

}  // namespace

int main(int count, char** values) {
  try {
    run(parse(count, values));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify: %s\n", error.what());
    return 1;
  }
}
