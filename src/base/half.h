// IEEE 754 binary16 for storage. Convert to and from float, rounding to nearest even.
#ifndef DEEPRECT_BASE_HALF_H_
#define DEEPRECT_BASE_HALF_H_

#include <cstdint>
#include <cstring>

namespace deeprect {

struct Half {
  uint16_t bits;
};

inline float half_to_float(Half h) {
  const uint32_t sign = uint32_t(h.bits & 0x8000u) << 16;
  const uint32_t magnitude = h.bits & 0x7fffu;
  // The shift puts the fields into place, but the exponent is then too small by 127 - 15. One exact
  // multiplication by 2^112 corrects it, for subnormal numbers too.
  uint32_t bits = magnitude << 13;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  value *= 5.192296858534828e33f;  // 2^112
  std::memcpy(&bits, &value, sizeof(bits));
  if (magnitude >= 0x7c00u) bits |= 0x7f800000u;  // infinity and NaN
  if (magnitude > 0x7c00u) bits |= 0x00400000u;   // make a signalling NaN quiet
  bits |= sign;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline Half float_to_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  const uint16_t sign = uint16_t((bits >> 16) & 0x8000u);
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return {uint16_t(sign | 0x7e00u | ((bits >> 13) & 0x3ffu))};  // NaN
  if (bits >= 0x477ff000u) return {uint16_t(sign | 0x7c00u)};  // too large: infinity
  if (bits < 0x38800000u) {
    // Below 2^-14 the result is subnormal. Adding 0.5 moves its last bit to the last bit of the
    // float, and the addition rounds to nearest even.
    float magnitude;
    std::memcpy(&magnitude, &bits, sizeof(magnitude));
    magnitude += 0.5f;
    std::memcpy(&bits, &magnitude, sizeof(bits));
    return {uint16_t(sign | (bits - 0x3f000000u))};
  }
  const uint32_t round = 0xfffu + ((bits >> 13) & 1u);
  return {uint16_t(sign | ((bits + round - 0x38000000u) >> 13))};
}

}  // namespace deeprect

#endif  // DEEPRECT_BASE_HALF_H_
