// What a kernel in CUDA C++ needs to be compiled for a CPU: one thread runs after the other.
#include <cmath>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define UNROLL

struct Three { unsigned int x, y, z; };
static Three blockIdx, blockDim, threadIdx;

static inline float from_float16(unsigned short bits) {
  _Float16 value;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

static inline unsigned short to_float16(float value) {
  const _Float16 nearest = value;
  unsigned short bits;
  std::memcpy(&bits, &nearest, sizeof bits);
  return bits;
}

static inline float from_bits(unsigned int bits) {
  float value;
  std::memcpy(&value, &bits, sizeof bits);
  return value;
}

static inline unsigned int to_bits(float value) {
  unsigned int bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

using std::exp, std::expm1, std::log1p, std::tanh;
