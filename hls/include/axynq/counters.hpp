// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers
// Generated from host/counters.py. Do not edit: run `make generate`.
// Simulation only: what the loops really did, for the cycle model to be held against.
#ifndef AXYNQ_COUNTERS_HPP
#define AXYNQ_COUNTERS_HPP

#include <cstdint>

namespace axynq {

enum counter_t {
  COUNT_RECORD_WORDS,  // words of header and descriptors read
  COUNT_SET_WORDS,  // words of sets and of later passes' weights read
  COUNT_LOAD_WORDS,  // words of feature maps read
  COUNT_STORE_WORDS,  // words of feature maps written
  COUNT_LOAD_BURSTS,  // runs of consecutive words of feature maps read
  COUNT_STORE_BURSTS,  // runs of consecutive words of feature maps written
  COUNT_PROGRAM_BURSTS,  // runs of consecutive words of the program read
  COUNT_PHASES,  // phases run; the first only takes in the set of the second
  COUNT_RUNS,  // runs of the multiplication loop
  COUNT_STEPS,  // iterations of the multiplication loop
  COUNT_MULTIPLY_STEPS,  // iterations in which the lanes compute
  COUNT_MULTIPLICATIONS,  // products computed whose weight is not zero
  COUNTERS
};

}  // namespace axynq

#if defined(AXYNQ_SIMULATION)
namespace axynq {
std::uint64_t *counters();
}
#define AXYNQ_COUNT(counter, amount) (::axynq::counters()[::axynq::counter] += std::uint64_t(amount))
#else
#define AXYNQ_COUNT(counter, amount)
#endif

#endif
