// The memory of the host: copies of tensors there, and the bytes of tensors on the CPU.

#include "guard.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <algorithm>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace {

// Bytes of the pinned buffer that copies from a device go through, whatever the size of the tensor.
constexpr int64_t BUFFER = 16 << 20;

// Exactly: libtorch's allocator tells the thread that takes or frees memory, as it tells its own profiler. What libraries
// below it take for themselves is not in it.
struct Counter : c10::MemoryReportingInfoBase {
  int64_t now = 0, peak = 0;

  void reportMemoryUsage(void *, int64_t size, size_t, size_t, c10::Device device) override {
    if (!device.is_cpu()) return;
    now += size;
    if (now > peak) peak = now;
  }
  void reportOutOfMemory(int64_t, size_t, size_t, c10::Device) override {}
  bool memoryProfilingEnabled() const override { return true; }
};

thread_local std::shared_ptr<Counter> counter;

} // namespace

using megabyte::guarded;

extern "C" {

// Copies a tensor's numbers, row by row, to `bytes` bytes of the host. From a device they come through a pinned buffer, which
// libtorch keeps for the next copy, so that neither the driver makes one for each nor pinned memory grows with tensors.
char *mb_copy_to_host(const at::Tensor *tensor, unsigned char *to, size_t bytes) {
  return guarded([&] {
    at::NoGradGuard guard;
    const at::Tensor flat = tensor->detach().contiguous().view({-1}).view(at::kByte);
    if (static_cast<size_t>(flat.numel()) != bytes) throw std::invalid_argument("a copy is as large as what it is of");
    if (flat.is_cpu()) {
      if (bytes > 0) std::memcpy(to, flat.const_data_ptr(), bytes);
      return;
    }
    const int64_t all = flat.numel(), size = std::min(all, BUFFER);
    const at::Tensor buffer = at::empty({size}, at::TensorOptions().dtype(at::kByte).pinned_memory(true));
    for (int64_t at = 0; at < all; at += size) {
      const int64_t part = std::min(size, all - at);
      // Waits until it is there.
      buffer.narrow(0, 0, part).copy_(flat.narrow(0, at, part));
      std::memcpy(to + at, buffer.const_data_ptr(), part);
    }
  });
}

// From here on the calling thread's tensors are counted.
char *mb_count_tensors() {
  return guarded([] {
    counter = std::make_shared<Counter>();
    c10::ThreadLocalDebugInfo::_push(c10::DebugInfoKind::PROFILER_STATE, counter);
  });
}

// The most bytes that there were at one time since the last call of this function, or since counting began.
void mb_counted_peak(int64_t *peak) {
  *peak = counter ? counter->peak : 0;
  if (counter) counter->peak = counter->now;
}

// Counts no longer.
char *mb_count_no_tensors() {
  return guarded([] {
    if (counter) c10::ThreadLocalDebugInfo::_pop(c10::DebugInfoKind::PROFILER_STATE);
    counter = nullptr;
  });
}
}
