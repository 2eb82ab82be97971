// y = clamp(gain * act(x + b)) and its derivatives, each tensor read and written once.
//
// Compiled for: TYPE, how numbers are stored; ACT; ORDER (0: y; 1: dy times the slope; 2: how that
// product changes); CLAMP, whether there is one; BIAS (0: none; 1: one for all of a vector; 2: a
// vector of it for each); VECTOR, how many numbers a thread takes at once; TIMES, how often; INDEX, an
// unsigned integer that can count them all.
#include "numbers.cuh"

enum { LINEAR, RELU, LRELU, TANH, SIGMOID, ELU, SELU, SOFTPLUS, SWISH };

using T = TYPE;
using C = Counted<T>::type;

struct Arguments {
  const T* x;       // order 0: x; order 1: dy; order 2: the gradient of order 1's result
  const T* b;       // order 0
  const T* dy;      // order 2
  const T* y;       // orders 1 and 2: order 0's result, but for swish without CLAMP
  const T* z;       // orders 1 and 2 of swish: x + b
  T* out;
  long long count;  // of vectors
  long long stride; // along the bias's axis, in vectors
  long long size;   // of the bias, in what BIAS takes at once
  double alpha, gain, clamp;
};

constexpr double SELU_LAMBDA = 1.0507009873554804934193349852946;
constexpr double SELU_ALPHA = 1.6732632423543772848170429916717;

__device__ inline C sigmoid(C z) { return C(1) / (C(1) + exp(-z)); }

__device__ inline C activate(C z, C alpha) {
  switch (ACT) {
    case RELU: return z < 0 ? C(0) : z;
    case LRELU: return z > 0 ? z : z * alpha;
    case TANH: return tanh(z);
    case SIGMOID: return sigmoid(z);
    case ELU: return z > 0 ? z : expm1(z);
    case SELU: return C(SELU_LAMBDA) * (z > 0 ? z : C(SELU_ALPHA) * expm1(z));
    case SOFTPLUS: return z > 20 ? z : log1p(exp(z));
    case SWISH: return z * sigmoid(z);
    default: return z;
  }
}

// Of u = act(z), or for swish of z.
__device__ inline C slope(C u, C alpha) {
  switch (ACT) {
    case RELU: return u > 0 ? C(1) : C(0);
    case LRELU: return u > 0 ? C(1) : alpha;
    case TANH: return C(1) - u * u;
    case SIGMOID: return u * (C(1) - u);
    case ELU: return (u > 0 ? C(0) : u) + C(1);
    case SELU: return u > 0 ? C(SELU_LAMBDA) : u + C(SELU_LAMBDA * SELU_ALPHA);
    case SOFTPLUS: return -expm1(-u);
    case SWISH: return sigmoid(u) * (C(1) + u * (C(1) - sigmoid(u)));
    default: return C(1);
  }
}

// How the slope changes: with u, for swish with z.
__device__ inline C curve(C u) {
  switch (ACT) {
    case TANH: return C(-2) * u;
    case SIGMOID: return C(1) - C(2) * u;
    case ELU: return u < 0 ? C(1) : C(0);
    case SELU: return u < 0 ? C(1) : C(0);
    case SOFTPLUS: return exp(-u);
    case SWISH: {
      const C s = sigmoid(u);
      return s * (C(1) - s) * (C(2) + u * (C(1) - C(2) * s));
    }
    default: return C(0);
  }
}

extern "C" __global__ void bias_act(Arguments a) {
  constexpr bool BY_Z = ACT == SWISH;
  constexpr bool HAS_Y = ORDER > 0 && (CLAMP || (!BY_Z && ACT != LINEAR));
  const C alpha = C(a.alpha), gain = C(a.gain), clamp = C(a.clamp);
  const INDEX count = (INDEX)a.count;
  const INDEX first = (INDEX)blockIdx.x * (blockDim.x * TIMES) + threadIdx.x;
  C x[TIMES][VECTOR], y[TIMES][VECTOR], z[TIMES][VECTOR], dy[TIMES][VECTOR];
  UNROLL
  for (int t = 0; t < TIMES; t++) {
    const INDEX vector = first + t * blockDim.x;
    if (vector >= count) break;
    read(a.x, vector, x[t]);
    if constexpr (HAS_Y) read(a.y, vector, y[t]);
    if constexpr (ORDER > 0 && BY_Z) read(a.z, vector, z[t]);
    if constexpr (ORDER == 2) read(a.dy, vector, dy[t]);
  }
  UNROLL
  for (int t = 0; t < TIMES; t++) {
    const INDEX vector = first + t * blockDim.x;
    if (vector >= count) break;
    C b[BIAS == 2 ? VECTOR : 1] = {}, out[VECTOR];
    if constexpr (ORDER == 0 && BIAS == 1) read(a.b, vector / (INDEX)a.stride % (INDEX)a.size, b);
    if constexpr (ORDER == 0 && BIAS == 2) read(a.b, vector % (INDEX)a.size, b);
    UNROLL
    for (int n = 0; n < VECTOR; n++) {
      C value = x[t][n];
      if constexpr (ORDER == 0) {
        if constexpr (BIAS) value += b[BIAS == 2 ? n : 0];
        value = activate(value, alpha) * gain;
        if constexpr (CLAMP) value = value > clamp ? clamp : value < -clamp ? -clamp : value;
      } else {
        const C known = HAS_Y ? y[t][n] : C(0);
        const C u = BY_Z ? z[t][n] : ACT <= LRELU ? known : known / gain;
        if constexpr (ORDER == 1) value *= slope(u, alpha) * gain;
        if constexpr (ORDER == 2) {
          value *= dy[t][n] * curve(u);
          if constexpr (BY_Z) value *= gain;
        }
        if constexpr (CLAMP) value = known >= clamp || known <= -clamp ? C(0) : value;
      }
      out[n] = value;
    }
    write(a.out, vector, out);
  }
}
