#include "base/scratch.h"

#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

#include "base/huge_pages.h"

namespace deeprect {
namespace {

struct Buffer {
  float* data;
  size_t bytes;
};

// Buffers that nobody holds, the most recently returned last. Never more than kKept of them.
constexpr size_t kKept = 4;
constexpr size_t kGranule = size_t{1} << 21;
std::mutex mutex;
std::vector<Buffer>& idle() {
  static auto* buffers = new std::vector<Buffer>;  // outlives the threads that return to it
  return *buffers;
}

}  // namespace

Scratch::Scratch(int64_t floats) {
  bytes_ = (static_cast<size_t>(floats) * sizeof(float) / kGranule + 1) * kGranule;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    auto& buffers = idle();
    size_t best = buffers.size();
    for (size_t i = 0; i < buffers.size(); ++i) {
      const bool fits = buffers[i].bytes >= bytes_;
      if (fits && (best == buffers.size() || buffers[i].bytes < buffers[best].bytes)) best = i;
    }
    if (best < buffers.size()) {
      data_ = buffers[best].data;
      bytes_ = buffers[best].bytes;
      buffers.erase(buffers.begin() + best);
      return;
    }
  }
  data_ = static_cast<float*>(std::aligned_alloc(kGranule, bytes_));
  if (!data_) throw std::bad_alloc();
  // A transform writes to as many places far apart as a tile has points, each in a page of its own.
  prefer_huge_pages(data_, bytes_);
}

Scratch::~Scratch() {
  float* dropped = data_;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    auto& buffers = idle();
    buffers.push_back({data_, bytes_});
    dropped = nullptr;
    if (buffers.size() > kKept) {
      // The smallest: it is the cheapest to make again.
      size_t smallest = 0;
      for (size_t i = 1; i < buffers.size(); ++i) {
        if (buffers[i].bytes < buffers[smallest].bytes) smallest = i;
      }
      dropped = buffers[smallest].data;
      buffers.erase(buffers.begin() + smallest);
    }
  }
  std::free(dropped);
}

}  // namespace deeprect
