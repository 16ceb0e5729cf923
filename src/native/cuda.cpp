// What CUDA devices need beside what tch binds. No header of CUDA is needed: libtorch's own interfaces do not ask for one,
// and the driver and cuBLAS are asked through the libraries that libtorch has loaded.

#include "guard.h"

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/empty.h>
#include <dlfcn.h>
#include <stdexcept>
#include <string>

using megabyte::guarded;

namespace {

// A function of a library that is loaded, or of one that the system finds.
template <typename F> F *function(const char *library, const char *name) {
  void *found = dlsym(RTLD_DEFAULT, name);
  if (!found) {
    if (void *handle = dlopen(library, RTLD_LAZY)) found = dlsym(handle, name);
  }
  if (!found) throw std::runtime_error(std::string(library) + " has no function " + name);
  return reinterpret_cast<F *>(found);
}

void check(const char *name, int code) {
  if (code != 0) throw std::runtime_error(std::string(name) + " fails with code " + std::to_string(code));
}

// A library's version in a library's own three parts.
using Property = int(int part, int *value);

void cublas_version(int *version) {
  // The major number is part of the file's name; the function is there already where libtorch is linked.
  Property *property = function<Property>("libcublas.so.13", "cublasGetProperty");
  for (int part = 0; part < 3; part++) check("cublasGetProperty", property(part, &version[part]));
}

// Of cuda.h: CUdevice_attribute.
constexpr int MULTIPROCESSOR_COUNT = 16, CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76;

} // namespace

extern "C" {

// Whether attention on CUDA devices may be cuDNN's, for the whole program. libtorch 2.11 takes it before any other on
// devices from sm_90 on. Some of its kernels round the share that dropout drops to sixteenths, and each new shape costs
// tens of milliseconds.
char *mb_set_cudnn_attention(bool on) {
  return guarded([&] { at::globalContext().setSDPUseCuDNN(on); });
}

// The same, as it is set.
char *mb_cudnn_attention(bool *out) {
  return guarded([&] { *out = at::globalContext().userEnabledCuDNNSDP(); });
}

// A copy (rows, cols) of int16 numbers in pinned memory, from which a CUDA device reads while the host goes on. The
// allocator keeps the memory until such a read is over. The caller owns the result.
char *mb_pinned(const int16_t *numbers, int64_t rows, int64_t cols, at::Tensor **out) {
  return guarded([&] {
    auto options = at::TensorOptions().dtype(at::kShort).pinned_memory(true);
    at::Tensor pinned = at::empty({rows, cols}, options);
    std::memcpy(pinned.mutable_data_ptr(), numbers, pinned.nbytes());
    *out = new at::Tensor(std::move(pinned));
  });
}

// The name of a CUDA device, as a message, and its compute capability (major, minor) and number of multiprocessors.
char *mb_cuda_device(int index, char **name, int properties[3]) {
  return guarded([&] {
    const char *driver = "libcuda.so.1";
    check("cuInit", function<int(unsigned)>(driver, "cuInit")(0));
    int device = 0;
    check("cuDeviceGet", function<int(int *, int)>(driver, "cuDeviceGet")(&device, index));
    auto attribute = function<int(int *, int, int)>(driver, "cuDeviceGetAttribute");
    const int wanted[3] = {CAPABILITY_MAJOR, CAPABILITY_MINOR, MULTIPROCESSOR_COUNT};
    for (int i = 0; i < 3; i++) check("cuDeviceGetAttribute", attribute(&properties[i], wanted[i], device));
    char buffer[256] = {};
    check("cuDeviceGetName", function<int(char *, int, int)>(driver, "cuDeviceGetName")(buffer, 255, device));
    *name = megabyte::message(buffer);
  });
}

// The versions of cuDNN and cuBLAS that are loaded, each (major, minor, patch).
char *mb_cuda_libraries(int cudnn[3], int cublas[3]) {
  return guarded([&] {
    const long version = at::detail::getCUDAHooks().versionRuntimeCuDNN();
    // From version 9 on it is 10000 major + 100 minor + patch.
    cudnn[0] = static_cast<int>(version / 10000);
    cudnn[1] = static_cast<int>(version / 100 % 100);
    cudnn[2] = static_cast<int>(version % 100);
    cublas_version(cublas);
  });
}
}
