// The bytes of tensors on the CPU, exactly: libtorch's allocator tells the thread that takes or frees memory, as it tells
// its own profiler. What libraries below it take for themselves is not in it.

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <cstring>
#include <exception>
#include <memory>

namespace {

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

extern "C" {

// From here on the calling thread's tensors are counted.
char *mb_count_tensors() {
  try {
    counter = std::make_shared<Counter>();
    c10::ThreadLocalDebugInfo::_push(c10::DebugInfoKind::PROFILER_STATE, counter);
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

// The most bytes that there were at one time since the last call of this function, or since counting began.
void mb_counted_peak(int64_t *peak) {
  *peak = counter ? counter->peak : 0;
  if (counter) counter->peak = counter->now;
}

// Counts no longer.
char *mb_count_no_tensors() {
  try {
    if (counter) c10::ThreadLocalDebugInfo::_pop(c10::DebugInfoKind::PROFILER_STATE);
    counter = nullptr;
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}
}
