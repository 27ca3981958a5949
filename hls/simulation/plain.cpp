// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// The accelerator as a device compiler sees it: ports are pointers, banks gate their operands and
// nothing of the simulation is compiled in. For tests only.
#include "../src/accelerator.hpp"

extern "C" std::uint32_t axynq_run_plain(const void *program, void *arena, std::uint32_t images) {
  volatile std::uint32_t status = ~0u, progress = 0;
  accelerator(static_cast<const axynq::beat_t *>(program),
              static_cast<const axynq::beat_t *>(arena), static_cast<axynq::beat_t *>(arena),
              images, &status, &progress);
  return status;
}
