// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Simulation only: where the pipelined loops are, so that memories can count their accesses.
#ifndef AXYNQ_SIMULATED_STEPS_HPP
#define AXYNQ_SIMULATED_STEPS_HPP

#include <cstdint>

namespace axynq {

struct simulated_steps {
  std::uint64_t step;  // iterations of pipelined loops so far
  std::uint32_t run;   // pipelined loops begun so far
};

simulated_steps &steps();

}  // namespace axynq

#define AXYNQ_RUN_BEGINS ++::axynq::steps().run;
#define AXYNQ_STEP_BEGINS ++::axynq::steps().step;

#endif
