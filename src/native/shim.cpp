// What tch does not bind. Every function that can throw returns what it caught as a message, or null.
// Tensors travel as tch's opaque pointers, which are `at::Tensor *`; nothing here takes ownership of one.

#include "guard.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/histc.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <cmath>
#include <csignal>
#include <c10/core/CachingDeviceAllocator.h>
#include <omp.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>
#include <unistd.h>
#include <vector>

#ifdef __GLIBC__
#include <malloc.h>
#endif

// Of MKL, which is inside libtorch's library where it was built with it.
extern "C" int MKL_Set_Num_Threads_Local(int) __attribute__((weak));

using megabyte::guarded;

namespace {

std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t n) {
  std::vector<at::Tensor> out;
  out.reserve(n);
  for (size_t i = 0; i < n; i++) out.push_back(*tensors[i]);
  return out;
}

// Where tensors of CUDA devices come from; it answers only once CUDA has begun. The interface is the same for every
// kind of device, so that no header of CUDA is needed.
c10::DeviceAllocator *cuda_allocator() {
  at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
  return c10::getDeviceAllocator(c10::DeviceType::CUDA);
}

} // namespace

extern "C" {

// One AdamW step over a group of parameters (decoupled weight decay, arXiv 1711.05101). `steps` holds one float32
// scalar a parameter, already counting this step. Gradients are divided by `grad_scale` as they are read; where
// `found_inf` is 1 nothing changes. Both are scalars on the device, so the host waits for neither.
char *mb_fused_adamw(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *exp_avgs,
                     at::Tensor *const *exp_avg_sqs, at::Tensor *const *steps, size_t n, double lr, double beta1,
                     double beta2, double weight_decay, double eps, const at::Tensor *grad_scale,
                     const at::Tensor *found_inf) {
  return guarded([&] {
    at::_fused_adamw_(list(params, n), list(grads, n), list(exp_avgs, n), list(exp_avg_sqs, n),
                      /*max_exp_avg_sqs=*/{}, list(steps, n), lr, beta1, beta2, weight_decay, eps,
                      /*amsgrad=*/false, /*maximize=*/false, *grad_scale, *found_inf);
  });
}

// Moves each tensor towards its target, by `weight` of the way.
char *mb_lerp(at::Tensor *const *tensors, at::Tensor *const *targets, size_t n, double weight) {
  return guarded([&] { at::_foreach_lerp_(list(tensors, n), list(targets, n), weight); });
}

// The Euclidean norm of all the tensors together, a scalar written to `out`; the host does not wait for it.
char *mb_total_norm(at::Tensor *const *tensors, size_t n, at::Tensor *out) {
  return guarded([&] {
    auto norms = at::_foreach_norm(list(tensors, n), 2);
    out->copy_(at::linalg_vector_norm(at::stack(norms), 2));
  });
}

// Adds to `counts` (float64) how many elements of all the tensors lie in each of as many equal buckets between the
// least and the greatest, which are written to `low` and `high`, half a unit around where they are one. Where these are
// not finite, nothing is counted. Two numbers are waited for.
char *mb_histogram(at::Tensor *const *tensors, size_t n, double *low, double *high, at::Tensor *counts) {
  return guarded([&] {
    std::vector<at::Tensor> ends;
    for (size_t i = 0; i < n; i++) {
      auto [least, greatest] = at::aminmax(*tensors[i]);
      ends.push_back(at::stack({least, -greatest}));
    }
    auto range = at::stack(ends).amin(0).to(at::kCPU, at::kDouble);
    *low = range[0].item<double>(), *high = -range[1].item<double>();
    if (!std::isfinite(*low) || !std::isfinite(*high)) return;
    if (*low == *high) *low -= 0.5, *high += 0.5;
    // On CUDA threads add ones in any order, which libtorch refuses where bits have to repeat; sums of ones do.
    auto &context = at::globalContext();
    const bool strict = context.deterministicAlgorithms(), warns = context.deterministicAlgorithmsWarnOnly();
    struct Restore {
      at::Context &context;
      bool strict, warns;
      ~Restore() { context.setDeterministicAlgorithms(strict, warns); }
    } restore{context, strict, warns};
    context.setDeterministicAlgorithms(false, warns);
    for (size_t i = 0; i < n; i++) {
      // It counts in the tensor's type: float32 is exact up to 2^24.
      for (auto &part : tensors[i]->flatten().split(1 << 24))
        counts->add_(at::histc(part, counts->numel(), *low, *high));
    }
  });
}

// Forgets the gradients, so that the next backward pass stores instead of adding.
char *mb_clear_gradients(at::Tensor *const *params, size_t n) {
  return guarded([&] {
    for (size_t i = 0; i < n; i++) params[i]->mutable_grad() = at::Tensor();
  });
}

// Carries a gradient back from a tensor: tch's own backward starts from scalars alone.
char *mb_backward(const at::Tensor *tensor, const at::Tensor *gradient) {
  return guarded([&] { torch::autograd::backward({*tensor}, {*gradient}); });
}

// Keeps memory that was freed instead of giving it back to the system: the same tensors come and go in every step, and
// their pages would be cleared and mapped anew each time.
void mb_keep_freed_memory() noexcept {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

// A file that grows beyond the limit of its size is an error of the write then, and no signal that ends the program.
void mb_ignore_file_size_signal() noexcept {
#ifdef SIGXFSZ
  std::signal(SIGXFSZ, SIG_IGN);
#endif
}

// Bytes that were freed and are kept: what is allocated next may lie in them.
size_t mb_kept_memory() noexcept {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  return mallinfo2().fordblks;
#else
  return 0;
#endif
}

// Gives memory that is kept but not used back: to the system, and that of CUDA devices to these.
char *mb_release_kept_memory(bool cuda) {
  return guarded([&] {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    if (cuda) cuda_allocator()->emptyCache();
  });
}

// Bytes of a CUDA device: of live tensors, the most of these since the peak was reset, kept for tensors (these among
// them), free of all programs, and in all.
char *mb_cuda_memory(int device, int64_t out[5]) {
  return guarded([&] {
    auto index = static_cast<c10::DeviceIndex>(device);
    auto stats = cuda_allocator()->getDeviceStats(index);
    auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    auto [free, total] = cuda_allocator()->getMemoryInfo(index);
    out[0] = stats.allocated_bytes[all].current;
    out[1] = stats.allocated_bytes[all].peak;
    out[2] = stats.reserved_bytes[all].current;
    out[3] = static_cast<int64_t>(free);
    out[4] = static_cast<int64_t>(total);
  });
}

// From here on the peak is of what is live now.
char *mb_cuda_reset_peak(int device) {
  return guarded([&] { cuda_allocator()->resetPeakStats(static_cast<c10::DeviceIndex>(device)); });
}

// How exact products of float32 matrices are: "highest", "high" or "medium"; and convolutions on CUDA devices, which would
// have TF32 by themselves.
char *mb_set_float32_precision(const char *name) {
  return guarded([&] {
    at::globalContext().setFloat32MatmulPrecision(name);
    at::globalContext().setAllowTF32CuDNN(std::strcmp(name, "highest") != 0);
  });
}

// The same, as it is set: 0 is the highest.
char *mb_float32_precision(int *out) {
  return guarded([&] { *out = static_cast<int>(at::globalContext().float32MatmulPrecision()); });
}

// Whether convolutions of float32 on CUDA devices may be in TF32.
char *mb_convolutions_in_tf32(bool *out) {
  return guarded([&] { *out = at::globalContext().allowTF32CuDNN(at::Float32Op::CONV); });
}

// Whether operations whose results would differ from run to run are replaced, and fail where that can't be.
char *mb_set_deterministic(bool on) {
  return guarded([&] { at::globalContext().setDeterministicAlgorithms(on, /*warn_only=*/false); });
}

// The same, as it is set.
char *mb_deterministic(bool *out) {
  return guarded([&] { *out = at::globalContext().deterministicAlgorithms(); });
}

// Exchanges the numbers of threads that the calling thread's work is shared between: OpenMP's, which is that of
// libtorch's pool and of oneDNN, and MKL's, where 0 is that of the whole program. Other threads keep theirs.
char *mb_swap_threads(int *openmp, int *mkl) {
  return guarded([&] {
    // The first loop of a thread sets both to what the program has then: of libtorch's loops, and of those that are
    // compiled here, each with a flag of its own. So let these be over.
    at::get_num_threads();
    at::internal::lazy_init_num_threads();
    int before = omp_get_max_threads();
    omp_set_num_threads(*openmp);
    *openmp = before;
    if (MKL_Set_Num_Threads_Local) *mkl = MKL_Set_Num_Threads_Local(*mkl);
  });
}

// The instructions that libtorch uses of this CPU, by its name for them, as a message.
char *mb_cpu_capability(char **name) {
  return guarded([&] { *name = megabyte::message(at::get_cpu_capability().c_str()); });
}

// Ends the program at once: exit() would take down libraries that other threads are still in.
void mb_exit_now(int code) noexcept { _exit(code); }

// The version of libtorch.
void mb_libtorch_version(unsigned char *version) noexcept {
  version[0] = TORCH_VERSION_MAJOR;
  version[1] = TORCH_VERSION_MINOR;
  version[2] = TORCH_VERSION_PATCH;
}

// Gives back a message made here.
void mb_free(char *message) noexcept { megabyte::forget(message); }
}
