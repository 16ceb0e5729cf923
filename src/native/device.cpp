// What a CUDA device is. Its headers are not needed: libcudart is a part of the process where libtorch is built with CUDA.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

extern "C" {

// The compute capability of a CUDA device, such as 9 and 0. Throws nothing: it calls C alone.
char *mb_cuda_capability(int device, int *major, int *minor) {
  using Attribute = int (*)(int *value, int attribute, int device);
  auto attribute = reinterpret_cast<Attribute>(dlsym(RTLD_DEFAULT, "cudaDeviceGetAttribute"));
  if (!attribute) return strdup("this libtorch has no CUDA runtime (cudaDeviceGetAttribute)");
  // cudaDevAttrComputeCapabilityMajor and cudaDevAttrComputeCapabilityMinor.
  int failed = attribute(major, 75, device);
  if (!failed) failed = attribute(minor, 76, device);
  if (!failed) return nullptr;
  char message[96];
  snprintf(message, sizeof message, "cudaDeviceGetAttribute of device %d ended with error %d", device, failed);
  return strdup(message);
}
}
