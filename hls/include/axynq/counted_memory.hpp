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
        reads_(BANKS),
        writes_(BANKS) {
    std::memset(static_cast<void *>(elements_.data()), 0xA5, elements_.size() * sizeof(ELEMENT));
  }

  ELEMENT read(int bank, bool used, int address) {
    take(reads_[std::size_t(bank)], bank, "reads");
    if (used && written_[place(bank, address)] == steps_->run)
      fail(bank, "reads address " + std::to_string(address) + ", which the same loop wrote");
    return elements_[place(bank, address)];
  }

  void write(int bank, int address, const ELEMENT &value) {
    take(writes_[std::size_t(bank)], bank, "writes");
    elements_[place(bank, address)] = value;
    written_[place(bank, address)] = steps_->run;
  }

  // A port that is taken in a step without being used.
  void idle_write(int bank) { take(writes_[std::size_t(bank)], bank, "writes"); }

 private:
  std::size_t place(int bank, int address) const {
    if (address < 0 || address >= DEPTH) fail(bank, "has no address " + std::to_string(address));
    return std::size_t(bank) * DEPTH + std::size_t(address);
  }

  // One access a step, whether its condition holds or not: a scheduler counts it either way.
  void take(std::uint64_t &last, int bank, const char *what) const {
    if (last == steps_->step) fail(bank, std::string(what) + " twice");
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
  std::vector<std::uint64_t> reads_, writes_;
};

template <class ELEMENT, int BANKS, int DEPTH, class ADDRESS>
inline void read_banks(counted_memory<ELEMENT, BANKS, DEPTH> &memory, const bool (&used)[BANKS],
                       const ADDRESS (&address)[BANKS], ELEMENT (&value)[BANKS]) {
  for (int bank = 0; bank < BANKS; ++bank)
    value[bank] = memory.read(bank, used[bank], int(address[bank]));
}

template <class ELEMENT, int BANKS, int DEPTH, class ADDRESS>
inline void write_banks(counted_memory<ELEMENT, BANKS, DEPTH> &memory, const bool (&enable)[BANKS],
                        const ADDRESS (&address)[BANKS], const ELEMENT (&value)[BANKS]) {
  for (int bank = 0; bank < BANKS; ++bank) {
    if (enable[bank])
      memory.write(bank, int(address[bank]), value[bank]);
    else
      memory.idle_write(bank);
  }
}

}  // namespace axynq

#endif
