// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Simulation only: memory ports that refuse to leave their buffers.
#ifndef AXYNQ_CHECKED_PORT_HPP
#define AXYNQ_CHECKED_PORT_HPP

#include <cstdint>
#include <stdexcept>
#include <string>

namespace axynq {

// Plain little-endian memory in beats. Its size may become 0 while the accelerator runs: that
// stops it.
template <class BEAT>
class checked_port {
 public:
  checked_port(const char *name, std::uint8_t *memory, const volatile std::uint64_t *bytes,
               std::uint64_t address)
      : name_(name), memory_(memory), bytes_(bytes), address_(address) {}

  BEAT operator[](std::uint64_t index) const {
    const std::uint8_t *place = at(index);
    BEAT beat = 0;
    for (int i = BYTES - 1; i >= 0; --i) beat = BEAT(beat << 8) | BEAT(place[i]);
    return beat;
  }

 protected:
  static const int BYTES = BEAT::width / 8;

  std::uint8_t *at(std::uint64_t index) const {
    const std::uint64_t offset = index * BYTES;
    if (offset + BYTES > *bytes_)
      throw std::out_of_range("port '" + std::string(name_) + "' accessed byte " +
                              std::to_string(offset) + " of a buffer of " +
                              std::to_string(*bytes_) + " bytes at address " +
                              std::to_string(address_));
    return memory_ + offset;
  }

  const char *name_;

 private:
  std::uint8_t *memory_;
  const volatile std::uint64_t *bytes_;
  std::uint64_t address_;
};

// Writes in bursts that are requested first and answered for in the end.
template <class BEAT>
class checked_bursts : public checked_port<BEAT> {
 public:
  checked_bursts(const char *name, std::uint8_t *memory, const volatile std::uint64_t *bytes,
                 std::uint64_t address)
      : checked_port<BEAT>(name, memory, bytes, address), next_(0), left_(0), unanswered_(0) {}

  void write_request(std::uint64_t first, std::uint64_t beats) {
    if (left_ != 0) fail("is asked for a burst before the last one is written");
    next_ = first;
    left_ = beats;
    ++unanswered_;
  }

  void write(const BEAT &beat) {
    if (left_ == 0) fail("is written without a request");
    std::uint8_t *place = this->at(next_);
    for (int i = 0; i < checked_port<BEAT>::BYTES; ++i)
      place[i] = std::uint8_t((beat >> (8 * i)).to_uint());
    ++next_;
    --left_;
  }

  void write_response() {
    if (unanswered_ == 0) fail("is asked for an answer to no burst");
    if (unanswered_ == 1 && left_ != 0) fail("is asked for an answer before all is written");
    --unanswered_;
  }

 private:
  void fail(const std::string &what) const {
    throw std::logic_error("port '" + std::string(this->name_) + "' " + what);
  }

  std::uint64_t next_, left_;
  std::uint64_t unanswered_;
};

}  // namespace axynq

#endif
