// Simulation only: a memory port that refuses to leave its buffer.
#ifndef AXYNQ_CHECKED_PORT_HPP
#define AXYNQ_CHECKED_PORT_HPP

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

namespace axynq {

template <class WORD>
class checked_port {
 public:
  // A reference that reads and writes whole words of plain little-endian memory.
  class reference {
   public:
    explicit reference(std::uint8_t *place) : place_(place) {}
    operator WORD() const {
      WORD word = 0;
      for (int i = BYTES - 1; i >= 0; --i) word = (word << 8) | WORD(place_[i]);
      return word;
    }
    reference &operator=(const WORD &word) {
      for (int i = 0; i < BYTES; ++i) place_[i] = std::uint8_t((word >> (8 * i)).to_uint());
      return *this;
    }

   private:
    std::uint8_t *place_;
  };

  // The size may become 0 while the accelerator runs: that stops it.
  checked_port(const char *name, std::uint8_t *memory, const volatile std::uint64_t *bytes,
               std::uint64_t address)
      : name_(name), memory_(memory), bytes_(bytes), address_(address) {}

  reference operator[](std::int64_t index) const {
    const std::int64_t offset = index * BYTES;
    if (offset < 0 || std::uint64_t(offset) + BYTES > *bytes_)
      throw std::out_of_range("port '" + std::string(name_) + "' accessed byte " +
                              std::to_string(offset) + " of a buffer of " +
                              std::to_string(*bytes_) + " bytes at address " +
                              std::to_string(address_));
    return reference(memory_ + offset);
  }

 private:
  static const int BYTES = WORD::width / 8;

  const char *name_;
  std::uint8_t *memory_;
  const volatile std::uint64_t *bytes_;
  std::uint64_t address_;
};

}  // namespace axynq

#endif
