// What a kernel in CUDA C++ needs to be compiled for a CPU: one thread runs after the other.
// Builtins rather than headers, which would take most of the time.

#define __global__
#define __device__
#define __host__
#define UNROLL

struct Three { unsigned int x, y, z; };
static Three blockIdx, blockDim, threadIdx;

static inline float from_float16(unsigned short bits) {
  _Float16 value;
  __builtin_memcpy(&value, &bits, sizeof bits);
  return value;
}

static inline void from_float16s(unsigned int word, float& low, float& high) {
  low = from_float16(word & 0xffff);
  high = from_float16(word >> 16);
}

static inline unsigned short to_float16(float value) {
  const _Float16 nearest = value;
  unsigned short bits;
  __builtin_memcpy(&bits, &nearest, sizeof bits);
  return bits;
}

static inline float from_bits(unsigned int bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof bits);
  return value;
}

static inline unsigned int to_bits(float value) {
  unsigned int bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float exp(float x) { return __builtin_expf(x); }
static inline double exp(double x) { return __builtin_exp(x); }
static inline float expm1(float x) { return __builtin_expm1f(x); }
static inline double expm1(double x) { return __builtin_expm1(x); }
static inline float log1p(float x) { return __builtin_log1pf(x); }
static inline double log1p(double x) { return __builtin_log1p(x); }
static inline float tanh(float x) { return __builtin_tanhf(x); }
static inline double tanh(double x) { return __builtin_tanh(x); }
