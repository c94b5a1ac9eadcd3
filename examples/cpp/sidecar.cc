#include "sidecar.h"

#include <openssl/sha.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "file.h"

namespace deeprect {
namespace {

using nlohmann::json;

std::string sha256(const std::string& bytes) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), digest);
  std::string text;
  for (const uint8_t byte : digest) {
    for (const int half : {byte >> 4, byte & 15}) text += "0123456789abcdef"[half];
  }
  return text;
}

/// Return the content of a file of the export, if it lies beside the sidecar as it was written.
std::string read_beside(const std::string& folder, const json& description) {
  const std::string name = description.at("file");
  if (name.empty() || name[0] == '.' || name.find_first_of("/\\") != std::string::npos) {
    throw std::runtime_error("'" + name + "' is no plain name of a file");
  }
  const std::string path = folder + name;
  const auto expected = description.at("bytes").get<uintmax_t>();
  std::error_code error;
  const auto found = std::filesystem::file_size(path, error);
  if (error) throw std::runtime_error("cannot read " + path + ": " + error.message());
  if (found != expected) {
    throw std::runtime_error(path + " has " + std::to_string(found) + " bytes, but " +
                             std::to_string(expected) + " were exported; copy it again");
  }
  std::string content = read_file(path);
  if (sha256(content) != description.at("sha256")) {
    throw std::runtime_error(path + " is not the file that was exported; copy it again");
  }
  return content;
}

/// Return the first thing that is wrong with the way from an image to the input, or nothing.
std::string problem(const Sidecar& rule) {
  if (rule.channels != 1 && rule.channels != 3) return "images have 1 or 3 channels";
  if (rule.size < 1 || rule.size > 65536) return "the input's size is not within 1 and 65536";
  if (rule.resize < rule.size || rule.resize > 65536) {
    return "'resize' is not within the input's size and 65536";
  }
  const auto channels = static_cast<size_t>(rule.channels);
  if (rule.mean.size() != channels || rule.std.size() != channels) {
    return "'mean' and 'std' do not have a number for each channel";
  }
  const auto finite = [](float value) { return std::isfinite(value); };
  const auto usable = [](float value) { return std::isfinite(value) && value > 0; };
  if (!std::all_of(rule.mean.begin(), rule.mean.end(), finite) ||
      !std::all_of(rule.std.begin(), rule.std.end(), usable)) {
    return "'mean' and 'std' are not all finite, or a 'std' is not positive";
  }
  return "";
}

}  // namespace

Sidecar read_sidecar(const std::string& path) {
  const std::string name = path + ".json", text = read_file(name);
  const auto invalid = [&](const std::string& why) {
    return std::runtime_error("the sidecar " + name + " is not valid: " + why);
  };
  const std::string folder = path.substr(0, path.find_last_of('/') + 1);
  Sidecar sidecar;
  try {
    const json values = json::parse(text);
    if (values.at("schema") != 1) throw invalid("it is of another version; export the net again");
    values.at("form").get_to(sidecar.form);
    if (sidecar.form != "operator" && sidecar.form != "portable") {
      throw std::runtime_error(path + " was exported as " + sidecar.form +
                               "; this program runs MXNet's symbol and parameters");
    }
    sidecar.symbol = read_beside(folder, values.at("files").at(0));
    sidecar.params = read_beside(folder, values.at("files").at(1));
    if (!values.at("classes").is_null()) values.at("classes").get_to(sidecar.classes);
    const json& rule = values.at("preprocess");
    if (rule.is_null()) throw invalid("it does not say how images are prepared");
    rule.at("channels").get_to(sidecar.channels);
    rule.at("size").get_to(sidecar.size);
    rule.at("resize").get_to(sidecar.resize);
    rule.at("border").get_to(sidecar.border);
    rule.at("mean").get_to(sidecar.mean);
    rule.at("std").get_to(sidecar.std);
  } catch (const json::exception& error) {
    throw invalid(error.what());
  }
  if (const std::string why = problem(sidecar); !why.empty()) throw invalid(why);
  return sidecar;
}

}  // namespace deeprect
