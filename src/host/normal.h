// Normal random values as a function of a key and an index: the same bits on every machine, for
// any instruction set and any number of threads.
#ifndef DEEPRECT_HOST_NORMAL_H_
#define DEEPRECT_HOST_NORMAL_H_

#include <cstdint>

// Fills out[0 .. size) with independent normal values of mean 0 and standard deviation `std`; `key`
// is four words that name the sequence.
extern "C" void deeprect_normal(float* out, int64_t size, float std, const uint32_t* key);

#endif  // DEEPRECT_HOST_NORMAL_H_
