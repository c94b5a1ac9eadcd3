// What an export says of itself in PATH.json: its files, and the way from an image to a class.
#pragma once

#include <string>
#include <vector>

namespace deeprect {

struct Sidecar {
  std::string form;                  // "operator" or "portable"
  std::string symbol, params;        // the contents of the files
  std::vector<std::string> classes;  // empty if the net's classes have no names

  // From an image to the net's input.
  int channels, size, resize;
  bool border;
  std::vector<float> mean, std;
};

/// Read the sidecar of the export `path`; docs/deploy.md explains the format.
///
/// Throws std::runtime_error if it cannot be read, does not describe an MXNet export of images, or
/// if one of its files is missing or is not what was exported.
Sidecar read_sidecar(const std::string& path);

}  // namespace deeprect
