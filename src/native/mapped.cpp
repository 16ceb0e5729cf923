// Files that are mapped into memory: where one is cut short by another program, or its disk fails, reading what is not there
// raises SIGBUS, which ends a program. Here the page becomes one of zeros, and the map remembers that it is not whole: whoever
// reads asks afterwards.

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

namespace {

// A node is never freed, only used again, so that the handler can walk the list at any time.
struct Range {
  std::atomic<uintptr_t> begin{0}, end{0}; // nothing lies below an end of 0
  std::atomic<bool> broken{false};
  std::atomic<bool> taken{false};
  Range *next = nullptr;
};

std::atomic<Range *> ranges{nullptr};
std::mutex changes;
struct sigaction before;
uintptr_t page = 4096;

void on_bus_error(int signal, siginfo_t *info, void *context) {
  const int error = errno;
  const uintptr_t at = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Range *range = ranges.load(std::memory_order_acquire); range != nullptr; range = range->next) {
    // The end is 0 while the begin changes, so that no begin is read with another range's end.
    const uintptr_t begin = range->begin.load(std::memory_order_acquire);
    const uintptr_t end = range->end.load(std::memory_order_acquire);
    if (at < begin || at >= end || range->begin.load(std::memory_order_acquire) != begin) continue;
    range->broken.store(true, std::memory_order_release);
    void *place = reinterpret_cast<void *>(at / page * page);
    if (mmap(place, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
      errno = error;
      return;
    }
    break;
  }
  errno = error;
  // None of ours: what would have been done without this.
  if ((before.sa_flags & SA_SIGINFO) != 0) return before.sa_sigaction(signal, info, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(signal);
  struct sigaction plain = {};
  plain.sa_handler = SIG_DFL;
  sigaction(SIGBUS, &plain, nullptr);
}

bool install() {
  page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, &before) == 0;
}

} // namespace

extern "C" {

// From here on the `len` bytes at `begin`, which are a map of a file, are guarded. A handle, or null where that can't be.
void *mb_guard(const unsigned char *begin, size_t len) {
  static const bool installed = install();
  if (!installed) return nullptr;
  const std::lock_guard<std::mutex> lock(changes);
  Range *range = ranges.load(std::memory_order_relaxed);
  while (range != nullptr && range->taken.load(std::memory_order_relaxed)) range = range->next;
  if (range == nullptr) {
    range = new (std::nothrow) Range;
    if (range == nullptr) return nullptr;
    range->next = ranges.load(std::memory_order_relaxed);
    ranges.store(range, std::memory_order_release);
  }
  const uintptr_t from = reinterpret_cast<uintptr_t>(begin);
  range->taken.store(true, std::memory_order_relaxed);
  range->broken.store(false, std::memory_order_relaxed);
  range->begin.store(from, std::memory_order_release);
  range->end.store((from + len + page - 1) / page * page, std::memory_order_release);
  return range;
}

// Whether something of it could not be read.
bool mb_guard_broken(const void *handle) {
  return static_cast<const Range *>(handle)->broken.load(std::memory_order_acquire);
}

// The range is guarded no more: before its map goes.
void mb_unguard(void *handle) {
  const std::lock_guard<std::mutex> lock(changes);
  Range *range = static_cast<Range *>(handle);
  range->end.store(0, std::memory_order_release);
  range->taken.store(false, std::memory_order_relaxed);
}
}
