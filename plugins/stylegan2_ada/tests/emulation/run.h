// How a kernel, NAME, is run: follows its source.
extern "C" void run(unsigned int blocks, unsigned int threads, const void* arguments) {
  Arguments copy;
  __builtin_memcpy(&copy, arguments, sizeof copy);
  blockDim = {threads, 1, 1};
  for (unsigned int block = 0; block < blocks; block++) {
    blockIdx = {block, 0, 0};
    for (unsigned int thread = 0; thread < threads; thread++) {
      threadIdx = {thread, 0, 0};
      NAME(copy);
    }
  }
}
