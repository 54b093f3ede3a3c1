// The kernels of a graphics card on a processor: blocks one after the other, each of one thread.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>

using std::max;
using std::min;

struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) ushort4 { unsigned short x, y, z, w; };
static struct { int x; } threadIdx, blockIdx;
static const struct { int x; } blockDim = {1};

static void __syncthreads() {}
static int __syncthreads_or(int value) { return value; }
static int __float_as_int(float value) {
    int bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
static int atomicMax(int *place, int value) {
    const int before = *place;
    *place = max(before, value);
    return before;
}
static int atomicAdd(int *place, int value) { return (*place += value) - value; }

#define __device__ static
#define __global__
#define __shared__
#define __launch_bounds__(threads, blocks)
float4 shared_memory[300000];

#ifdef SINGLE
typedef float real;
typedef float4 real4;
#include "block_forces.cu"
#include "many_glasses.cu"
extern "C" void on_all_dynamics(int blocks, const Glasses *glasses, const Potential *potential, int steps, double timestep,
                                double damp, const double *start, const double *stop, int first, int total,
                                double *rates, int *longest) {
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
        dynamics(glasses, potential, steps, timestep, damp, start, stop, first, total, rates, longest);
}
extern "C" void on_all_relaxation(int blocks, const Glasses *glasses, const Potential *potential, int steps, float tolerance,
                                  float *left, int *longest) {
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++)
        relaxation(glasses, potential, steps, tolerance, left, longest);
}
#else
typedef double real;
struct alignas(16) real4 { double x, y, z, w; };
#include "block_forces.cu"
#include "many_saddles.cu"
extern "C" void on_all_searches(int blocks, const Searches *tasks, const Settings *settings, const Potential *potential) {
    for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) searches(tasks, settings, potential);
}
#endif
