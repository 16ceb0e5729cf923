// Where the time of one thread goes, by libtorch's own hooks: each operation of the dispatcher and each node of autograd
// calls back at its begin and its end. Autograd computes on a CPU in the thread that asked for it, so that one stack
// sees the way there and the way back. Work that an operation shares with other threads is the time that it took.

#include "guard.h"

#include <ATen/record_function.h>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace {

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Sum {
  uint64_t calls = 0;
  int64_t nanoseconds = 0;
};

// What is open at the moment: an operation, or a span of the program itself.
struct Open {
  int span;
  int64_t begin;
  int64_t inside; // nanoseconds of what it called
};

constexpr int SPANS = 4; // 0 is outside of all spans

struct Recorder {
  bool on = false;
  at::CallbackHandle handle = at::INVALID_CALLBACK_HANDLE;
  std::vector<Open> open;
  std::map<std::string, Sum, std::less<>> sums[SPANS]; // spans themselves have no name

  void enter(int span) { open.push_back({span, now(), 0}); }

  void leave(const char *name) {
    const int64_t time = now();
    if (open.empty()) return; // it began before the recording did
    const Open last = open.back();
    open.pop_back();
    if (!open.empty()) open.back().inside += time - last.begin;
    auto &named = sums[last.span];
    auto at = named.find(std::string_view(name));
    if (at == named.end()) at = named.emplace(name, Sum{}).first;
    at->second.calls++;
    at->second.nanoseconds += time - last.begin - last.inside;
  }

  int span() const { return open.empty() ? 0 : open.back().span; }
};

thread_local Recorder recorder;

std::unique_ptr<at::ObserverContext> begins(const at::RecordFunction &) {
  recorder.enter(recorder.span());
  return nullptr;
}

void ends(const at::RecordFunction &function, at::ObserverContext *) { recorder.leave(function.name()); }

} // namespace

extern "C" {

// Records what the calling thread does from here on, or no longer, on top of what is recorded already. Between
// operations only.
char *mb_profile_record(bool on) {
  return megabyte::guarded([&] {
    if (on == recorder.on) return;
    if (on) {
      auto callback = at::RecordFunctionCallback(begins, ends);
      callback.scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION});
      recorder.handle = at::addThreadLocalCallback(callback);
    } else {
      at::removeCallback(recorder.handle);
      recorder.open.clear();
    }
    recorder.on = on;
  });
}

// Begins a span, from 1 to 3, where the calling thread is recorded; whether it is.
bool mb_profile_enter(int span) noexcept {
  try {
    if (recorder.on) recorder.enter(span);
    return recorder.on;
  } catch (...) {
    return false; // without memory for it there is no such span
  }
}

// Ends the span that was begun last.
void mb_profile_leave() noexcept {
  try {
    recorder.leave("");
  } catch (...) {
    // Without memory for a sum, its time is lost.
  }
}

// Hands over every sum of the calling thread, by span and name, and forgets them. Times are without what was called.
char *mb_profile_take(void (*row)(void *to, int span, const char *name, uint64_t calls, int64_t nanoseconds),
                      void *to) {
  return megabyte::guarded([&] {
    for (int span = 0; span < SPANS; span++) {
      for (const auto &[name, sum] : recorder.sums[span]) row(to, span, name.c_str(), sum.calls, sum.nanoseconds);
      recorder.sums[span].clear();
    }
  });
}
}
