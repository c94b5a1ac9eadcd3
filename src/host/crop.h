// A part of an 8-bit RGB image, resized and normalised for a net in one go: only what is asked for
// is computed. The same bits for any instruction set.
#ifndef DEEPRECT_HOST_CROP_H_
#define DEEPRECT_HOST_CROP_H_

#include <cstdint>

// The box (top, left, bottom, right, in pixels of the image and fractions of them) of the image
// (height, width, 3) becomes out (3, size, size): resampled with a triangular filter, which is
// linear interpolation where the image grows and an average where it shrinks; mirrored from left to
// right if so wished; and then value * scale[c] + offset[c].
extern "C" void deeprect_crop(const uint8_t* image, int64_t height, int64_t width,
                              const double* box, int64_t size, int mirrored, const float* scale,
                              const float* offset, float* out);

#endif  // DEEPRECT_HOST_CROP_H_
