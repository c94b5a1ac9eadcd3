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

// The number of idle buffers to keep. A convolution holds two buffers in its forward pass and three
// in its backward pass.
constexpr size_t kKept = 4;
// Buffers are whole huge pages.
constexpr size_t kGranule = size_t{1} << 21;
std::mutex mutex;
std::vector<Buffer>& idle() {
  // Never destroyed: threads may return buffers while the process ends.
  static auto* buffers = new std::vector<Buffer>;
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
  // A Winograd transform writes to one place for each point of a tile. These places are far apart,
  // each in its own page; huge pages save TLB misses.
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
      // Free the smallest buffer: it is the cheapest to allocate again.
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
