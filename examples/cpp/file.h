#pragma once

#include <string>

namespace deeprect {

/// Return a file's bytes; throws std::runtime_error, which names the file, if it cannot be read.
std::string read_file(const std::string& path);

}  // namespace deeprect
