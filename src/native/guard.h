// How C++ answers Rust: no exception may cross, so every function of the shim that can throw runs inside `guarded`.

#pragma once

#include <cstdlib>
#include <cstring>
#include <exception>

namespace megabyte {

// The message where there is no memory for another one. It is never freed: see `forget`.
inline char out_of_memory[] = "out of memory";

// A copy that `forget` takes back. Never null: that would say that all went well.
inline char *message(const char *text) noexcept {
  char *copy = strdup(text);
  return copy ? copy : out_of_memory;
}

inline void forget(char *message) noexcept {
  if (message != out_of_memory) free(message);
}

// Null, or what went wrong.
template <typename F> char *guarded(F body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception &e) {
    return message(e.what());
  } catch (...) {
    return message("unknown C++ exception");
  }
}

} // namespace megabyte
