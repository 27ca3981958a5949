// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Stand-in for the vendor's hls_stream.h, for analysis alone: a read or a write of a channel is a
// volatile access to its one place, so that none is merged with another or left out.
#ifndef AXYNQ_ANALYSIS_HLS_STREAM_H
#define AXYNQ_ANALYSIS_HLS_STREAM_H

namespace hls {

template <class T, int DEPTH = 0>
class stream {
 public:
  stream() {}
  explicit stream(const char *) {}

  T read() {
    const bits_t bits = value_;
    T value;
    __builtin_memcpy(static_cast<void *>(&value), &bits, sizeof(T));
    return value;
  }
  void read(T &value) { value = read(); }
  void write(const T &value) {
    bits_t bits = 0;
    __builtin_memcpy(&bits, static_cast<const void *>(&value), sizeof(T));
    value_ = bits;
  }
  stream &operator>>(T &value) {
    value = read();
    return *this;
  }
  stream &operator<<(const T &value) {
    write(value);
    return *this;
  }
  bool read_nb(T &value) {
    value = read();
    return waiting_;
  }
  bool write_nb(const T &value) {
    write(value);
    return waiting_;
  }
  bool empty() const { return waiting_; }
  bool full() const { return waiting_; }

 private:
  typedef unsigned _BitInt(8 * sizeof(T)) bits_t;

  stream(const stream &);
  stream &operator=(const stream &);

  volatile bits_t value_;
  volatile bool waiting_;
};

}  // namespace hls

#endif
