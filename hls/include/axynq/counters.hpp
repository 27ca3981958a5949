// Simulation only: what the loops really did, for the cycle model to be held against.
#ifndef AXYNQ_COUNTERS_HPP
#define AXYNQ_COUNTERS_HPP

#include <cstdint>

namespace axynq {

enum counter_t {
  COUNT_PROGRAM_WORDS,     // words of header, descriptors, weights and constants read
  COUNT_LOAD_WORDS,        // words of feature maps read
  COUNT_STORE_WORDS,       // words of feature maps written
  COUNT_BURSTS,            // runs of consecutive words on any port
  COUNT_MULTIPLY_STEPS,    // iterations of the convolution loop
  COUNT_POOL_STEPS,        // iterations of the pooling loop
  COUNT_ADD_STEPS,         // iterations of the addition loop
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
