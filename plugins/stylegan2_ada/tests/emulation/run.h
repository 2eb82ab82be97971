// How a kernel, NAME, that was compiled for a CPU is run: called after its source.
#include <cstddef>

extern "C" void run(unsigned int blocks, unsigned int threads, const void* arguments) {
  Arguments copy;
  std::memcpy(&copy, arguments, sizeof copy);
  blockDim = {threads, 1, 1};
  for (unsigned int block = 0; block < blocks; block++) {
    blockIdx = {block, 0, 0};
    for (unsigned int thread = 0; thread < threads; thread++) {
      threadIdx = {thread, 0, 0};
      NAME(copy);
    }
  }
}

extern "C" const std::size_t arguments_size = sizeof(Arguments);
