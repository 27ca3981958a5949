// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Simulation only: a memory that holds the hardware to what its ports can do.
#ifndef AXYNQ_COUNTED_MEMORY_HPP
#define AXYNQ_COUNTED_MEMORY_HPP

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "axynq/simulated_steps.hpp"

namespace axynq {

template <class ELEMENT, int BANKS, int DEPTH>
class counted_memory {
 public:
  // Memory holds anything at first: nothing may depend on it.
  explicit counted_memory(const char *name)
      : name_(name),
        steps_(&steps()),
        elements_(std::size_t(BANKS) * DEPTH),
        written_(elements_.size()),
        reads_(),
        writes_() {
    std::memset(static_cast<void *>(elements_.data()), 0xA5, elements_.size() * sizeof(ELEMENT));
  }

  // A step's reads of all banks, and its writes. A scheduler counts them whether they are used or
  // not.
  template <class ADDRESS>
  void read(const bool (&used)[BANKS], const ADDRESS (&address)[BANKS], ELEMENT (&value)[BANKS]) {
    take(reads_, "reads");
    for (int bank = 0; bank < BANKS; ++bank) {
      const std::size_t there = place(bank, int(address[bank]));
      value[bank] = elements_[there];
      if (used[bank] && written_[there] == steps_->run)
        fail(bank,
             "reads address " + std::to_string(int(address[bank])) + ", which the same loop wrote");
    }
  }

  template <class ADDRESS>
  void write(const bool (&enable)[BANKS], const ADDRESS (&address)[BANKS],
             const ELEMENT (&value)[BANKS]) {
    take(writes_, "writes");
    for (int bank = 0; bank < BANKS; ++bank) {
      if (!enable[bank]) continue;
      const std::size_t there = place(bank, int(address[bank]));
      elements_[there] = value[bank];
      written_[there] = steps_->run;
    }
  }

 private:
  // The same address of all banks lies side by side: that is how they are mostly accessed.
  std::size_t place(int bank, int address) const {
    if (address < 0 || address >= DEPTH) fail(bank, "has no address " + std::to_string(address));
    return std::size_t(address) * BANKS + std::size_t(bank);
  }

  void take(std::uint64_t &last, const char *what) const {
    if (last == steps_->step) fail(0, std::string(what) + " twice");
    last = steps_->step;
  }

  void fail(int bank, const std::string &what) const {
    throw std::logic_error("memory '" + std::string(name_) + "', bank " + std::to_string(bank) +
                           ", step " + std::to_string(steps_->step) + ": " + what);
  }

  const char *name_;
  const simulated_steps *steps_;
  std::vector<ELEMENT> elements_;
  std::vector<std::uint32_t> written_;
  std::uint64_t reads_, writes_;
};

template <class ELEMENT, int BANKS, int DEPTH, class ADDRESS>
inline void read_banks(counted_memory<ELEMENT, BANKS, DEPTH> &memory, const bool (&used)[BANKS],
                       const ADDRESS (&address)[BANKS], ELEMENT (&value)[BANKS]) {
  memory.read(used, address, value);
}

template <class ELEMENT, int BANKS, int DEPTH, class ADDRESS>
inline void write_banks(counted_memory<ELEMENT, BANKS, DEPTH> &memory, const bool (&enable)[BANKS],
                        const ADDRESS (&address)[BANKS], const ELEMENT (&value)[BANKS]) {
  memory.write(enable, address, value);
}

}  // namespace axynq

#endif
