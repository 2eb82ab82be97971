// Zeros between samples, a filter, every so-manieth sample: y[o] = sum over k of
// g[k] * u[o * DOWN + k - before], where u[i * UP] = x[i] and 0 elsewhere, on both axes.
//
// A thread makes ROWS x COLUMNS samples of VECTOR neighbouring channels (channels last) or of one
// (VECTOR 1), so that what it read and filtered along x serves several rows. Loops over samples
// and taps have constant bounds: which tap meets which sample is known when this is compiled,
// unless ROLLED, for long filters.
//
// Compiled for: TYPE, how numbers are stored; UPX, UPY, DOWNX, DOWNY; KX, KY, the filter's size;
// PHASEX, PHASEY, `before` modulo UP; SEPARABLE, whether the filter is fy by fx; ROWS, COLUMNS,
// multiples of UPY and UPX; VECTOR; INDEX, an unsigned integer that can count all numbers.
#include "numbers.cuh"

using T = TYPE;
using C = Counted<T>::type;

struct Arguments {
  const T* x;
  T* y;
  const float* fx;             // (KX,), or without SEPARABLE (KY, KX)
  const float* fy;             // (KY,), with SEPARABLE
  double gain;
  long long threads;           // planes * tall * wide * lanes
  int in_height, in_width, out_height, out_width;
  int lanes;                   // vectors per pixel
  int wide, tall;              // how many threads side by side make a row, a column
  int first_x, first_y;        // the first sample that the first thread may need
  int flip;                    // correlate rather than convolve
};

// What samples of one axis `COUNT` results need.
__host__ __device__ constexpr int needed(int up, int down, int taps, int phase, int count) {
  return (taps - 1 - phase + (count - 1) * down) / up + 1;
}

constexpr int IN_ROWS = needed(UPY, DOWNY, KY, PHASEY, ROWS);
constexpr int IN_COLUMNS = needed(UPX, DOWNX, KX, PHASEX, COLUMNS);

// Filters what lies at and after sample (y0, x0), whose vector is `first`: a number that may have
// wrapped where that sample is outside, and is whole again where one inside is meant. INSIDE: all
// samples that are needed are there.
template <bool INSIDE>
__device__ inline void filter(
    const Arguments& a, int y0, int x0, INDEX first, C (&sums)[ROWS][COLUMNS][VECTOR]) {
  C gx[SEPARABLE ? KX : 1], gy[SEPARABLE ? KY : 1], g[SEPARABLE ? 1 : KY * KX];
  if constexpr (SEPARABLE) {
    UNROLL
    for (int k = 0; k < KX; k++) gx[k] = a.fx[a.flip ? k : KX - 1 - k];
    UNROLL
    for (int k = 0; k < KY; k++) gy[k] = C(a.gain) * a.fy[a.flip ? k : KY - 1 - k];
  } else {
    UNROLL
    for (int k = 0; k < KY * KX; k++) g[k] = C(a.gain) * a.fx[a.flip ? k : KY * KX - 1 - k];
  }
  const INDEX line = (INDEX)a.in_width * a.lanes;
  UNROLL
  for (int i = 0; i < IN_ROWS; i++) {
    if (!INSIDE && (y0 + i < 0 || y0 + i >= a.in_height)) continue;
    C samples[IN_COLUMNS][VECTOR];
    UNROLL
    for (int j = 0; j < IN_COLUMNS; j++) {
      if (INSIDE || (x0 + j >= 0 && x0 + j < a.in_width)) {
        read(a.x, first + i * line + (INDEX)j * a.lanes, samples[j]);
      } else {
        UNROLL
        for (int n = 0; n < VECTOR; n++) samples[j][n] = 0;
      }
    }
    if constexpr (SEPARABLE) {
      C filtered[COLUMNS][VECTOR] = {};
      UNROLL
      for (int c = 0; c < COLUMNS; c++) {
        UNROLL
        for (int j = 0; j < IN_COLUMNS; j++) {
          const int k = j * UPX + PHASEX - c * DOWNX;
          if (k < 0 || k >= KX) continue;
          UNROLL
          for (int n = 0; n < VECTOR; n++) filtered[c][n] += gx[k] * samples[j][n];
        }
      }
      UNROLL
      for (int r = 0; r < ROWS; r++) {
        const int k = i * UPY + PHASEY - r * DOWNY;
        if (k < 0 || k >= KY) continue;
        UNROLL
        for (int c = 0; c < COLUMNS; c++) {
          UNROLL
          for (int n = 0; n < VECTOR; n++) sums[r][c][n] += gy[k] * filtered[c][n];
        }
      }
    } else {
      UNROLL
      for (int r = 0; r < ROWS; r++) {
        const int ky = i * UPY + PHASEY - r * DOWNY;
        if (ky < 0 || ky >= KY) continue;
        UNROLL
        for (int c = 0; c < COLUMNS; c++) {
          UNROLL
          for (int j = 0; j < IN_COLUMNS; j++) {
            const int kx = j * UPX + PHASEX - c * DOWNX;
            if (kx < 0 || kx >= KX) continue;
            UNROLL
            for (int n = 0; n < VECTOR; n++) sums[r][c][n] += g[ky * KX + kx] * samples[j][n];
          }
        }
      }
    }
  }
}

extern "C" __global__ void upfirdn2d(Arguments a) {
  const INDEX thread = (INDEX)blockIdx.x * blockDim.x + threadIdx.x;
  if (thread >= (INDEX)a.threads) return;
  const INDEX lane = thread % a.lanes;
  const INDEX tile = thread / a.lanes;
  const int column = (int)(tile % a.wide) * COLUMNS;
  const int row = (int)(tile / a.wide % a.tall) * ROWS;
  const INDEX plane = tile / a.wide / a.tall;
  const int x0 = column / UPX * DOWNX + a.first_x;
  const int y0 = row / UPY * DOWNY + a.first_y;
  const INDEX first = ((plane * a.in_height + y0) * a.in_width + x0) * a.lanes + lane;

  C sums[ROWS][COLUMNS][VECTOR] = {};
  const bool inside = x0 >= 0 && x0 + IN_COLUMNS <= a.in_width && y0 >= 0 &&
      y0 + IN_ROWS <= a.in_height;
  if (inside) {
    filter<true>(a, y0, x0, first, sums);
  } else {
    filter<false>(a, y0, x0, first, sums);
  }

  UNROLL
  for (int r = 0; r < ROWS; r++) {
    UNROLL
    for (int c = 0; c < COLUMNS; c++) {
      if (row + r >= a.out_height || column + c >= a.out_width) continue;
      const INDEX pixel = (plane * a.out_height + (row + r)) * a.out_width + (column + c);
      write(a.y, pixel * a.lanes + lane, sums[r][c]);
    }
  }
}
