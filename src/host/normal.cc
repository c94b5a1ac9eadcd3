// Normal random values as a function of a key and an index. Python calls deeprect_normal. The bits
// are the same on every machine, for any instruction set and any number of threads.
#include <cstring>

#include "host/normal_kernels.h"

// Fill out[0 .. size) with independent normal values of mean 0 and standard deviation `std`. `key`
// is four words that name the sequence.
extern "C" void deeprect_normal(float* out, int64_t size, float std, const uint32_t* key) {
  using deeprect::kTile;
  const auto fill_tile = deeprect::normal_kernels().fill_tile;
  const int64_t whole = size / kTile;
#pragma omp parallel for schedule(static)
  for (int64_t tile = 0; tile < whole; ++tile) {
    fill_tile(out + tile * kTile, static_cast<uint64_t>(tile), std, key);
  }
  if (size % kTile) {
    float last[kTile];
    fill_tile(last, static_cast<uint64_t>(whole), std, key);
    std::memcpy(out + whole * kTile, last, sizeof(float) * static_cast<size_t>(size % kTile));
  }
}
