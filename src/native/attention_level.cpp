// Which instructions the kernels for attention use: decided once, at run time.

#include "attention.h"
#include "guard.h"

#include <ATen/Version.h>
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace megabyte {
namespace {

constexpr const char *NAMES[] = {"none", "avx2", "avx512", "avx512_bf16"};

Level hardware() {
#if MB_X86
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Level::NONE;
  const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (!wide) return Level::AVX2;
  return __builtin_cpu_supports("avx512bf16") ? Level::AVX512_BF16 : Level::AVX512;
#else
  return Level::NONE;
#endif
}

// What libtorch was told, or found.
Level of_libtorch() {
  const std::string name = at::get_cpu_capability();
  return name == "AVX512" ? Level::AVX512_BF16 : name == "AVX2" ? Level::AVX2 : Level::NONE;
}

// What oneDNN was told, whose products the kernel in blocks takes; as there, an unknown name is none.
Level of_onednn() {
  const char *told = std::getenv("ONEDNN_MAX_CPU_ISA");
  if (told == nullptr) told = std::getenv("DNNL_MAX_CPU_ISA");
  std::string name = told == nullptr ? "" : told;
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  if (name == "sse41" || name == "avx") return Level::NONE;
  if (name == "avx2" || name == "avx2_vnni" || name == "avx2_vnni_2") return Level::AVX2;
  if (name == "avx512_core" || name == "avx512_core_vnni") return Level::AVX512;
  return Level::AVX512_BF16;
}

Level named(const std::string &name) {
  const auto found = std::find(std::begin(NAMES), std::end(NAMES), name);
  if (found == std::end(NAMES)) {
    throw std::invalid_argument("MEGABYTE_CPU_LEVEL is `" + name + "`: expected none, avx2, avx512 or avx512_bf16");
  }
  return Level(found - std::begin(NAMES));
}

Level of_us() {
  const char *told = std::getenv("MEGABYTE_CPU_LEVEL");
  return told == nullptr || *told == 0 ? Level::AVX512_BF16 : named(told);
}

// The calling thread's limit, below the machine's.
thread_local Level limit = Level::AVX512_BF16;

Level machine() {
  static const Level found = std::min(std::min(hardware(), of_libtorch()), std::min(of_onednn(), of_us()));
  return found;
}

} // namespace

Level level() { return std::min(machine(), limit); }

} // namespace megabyte

extern "C" {

// The level in use, by its number.
char *mb_attention_level(int *level) {
  return megabyte::guarded([&] { *level = int(megabyte::level()); });
}

// From here on the calling thread uses no more than this level; gives the limit that was.
int mb_limit_attention(int level) {
  const int before = int(megabyte::limit);
  megabyte::limit = megabyte::Level(std::clamp(level, 0, int(megabyte::Level::AVX512_BF16)));
  return before;
}
}
