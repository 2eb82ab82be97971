// Numbers as they are stored, and as they are counted with. No header is needed: NVRTC finds none
// on a machine without a CUDA toolkit, and float16 and bfloat16 are defined in headers.
#pragma once

struct float16 { unsigned short bits; };
struct bfloat16 { unsigned short bits; };

#ifdef __CUDACC__
#ifdef ROLLED  // for what would be too long unrolled
#define UNROLL _Pragma("unroll 1")
#else
#define UNROLL _Pragma("unroll")
#endif

__device__ inline float from_float16(unsigned short bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

// Both halves of a word, without taking it apart first.
__device__ inline void from_float16s(unsigned int word, float& low, float& high) {
  asm("{\n .reg .f16 l, h;\n mov.b32 {l, h}, %2;\n cvt.f32.f16 %0, l;\n cvt.f32.f16 %1, h;\n}"
      : "=f"(low), "=f"(high) : "r"(word));
}

__device__ inline unsigned short to_float16(float value) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}

__device__ inline float from_bits(unsigned int bits) { return __uint_as_float(bits); }
__device__ inline unsigned int to_bits(float value) { return __float_as_uint(value); }
#endif

// float16 and bfloat16 are counted with as float.
template <typename Number> struct Counted { using type = float; };
template <> struct Counted<double> { using type = double; };

__device__ inline float counted(float value) { return value; }
__device__ inline double counted(double value) { return value; }
__device__ inline float counted(float16 value) { return from_float16(value.bits); }
__device__ inline float counted(bfloat16 value) { return from_bits((unsigned int)value.bits << 16); }

__device__ inline void counted(unsigned int word, float16, float& low, float& high) {
  from_float16s(word, low, high);
}

__device__ inline void counted(unsigned int word, bfloat16, float& low, float& high) {
  low = from_bits(word << 16);
  high = from_bits(word & 0xffff0000u);
}

__device__ inline void store(float& out, float value) { out = value; }
__device__ inline void store(double& out, double value) { out = value; }
__device__ inline void store(float16& out, float value) { out.bits = to_float16(value); }

// To nearest, ties to even; the instruction for it came with sm_80 only.
__device__ inline void store(bfloat16& out, float value) {
  const unsigned int bits = to_bits(value);
  const unsigned int nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  out.bits = (unsigned short)(value != value ? 0x7fc0u : nearest);
}

// So many numbers are read or written at once.
template <typename Number, int N> struct alignas(sizeof(Number) * N) Pack { Number values[N]; };

// The N numbers of one vector of `from`, counted.
template <int N, typename Number, typename Index>
__device__ inline void read(
    const Number* from, Index vector, typename Counted<Number>::type (&out)[N]) {
  if constexpr (sizeof(Number) == 2 && N > 1) {
    const auto words = reinterpret_cast<const Pack<unsigned int, N / 2>*>(from)[vector];
    UNROLL
    for (int n = 0; n < N; n += 2) counted(words.values[n / 2], Number{}, out[n], out[n + 1]);
  } else {
    const auto numbers = reinterpret_cast<const Pack<Number, N>*>(from)[vector];
    UNROLL
    for (int n = 0; n < N; n++) out[n] = counted(numbers.values[n]);
  }
}

template <int N, typename Number, typename Index>
__device__ inline void write(
    Number* to, Index vector, const typename Counted<Number>::type (&values)[N]) {
  Pack<Number, N> numbers;
  UNROLL
  for (int n = 0; n < N; n++) store(numbers.values[n], values[n]);
  reinterpret_cast<Pack<Number, N>*>(to)[vector] = numbers;
}
