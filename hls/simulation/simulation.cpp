// C interface to the accelerator, compiled by g++: what the software board calls.
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "../src/accelerator.hpp"

namespace axynq {
static thread_local std::uint64_t counts[COUNTERS];
std::uint64_t *counters() { return counts; }
}  // namespace axynq

extern "C" {

// Memory behind one port: the accelerator may touch nothing else through it.
struct axynq_buffer {
  std::uint8_t *memory;
  std::uint64_t bytes;
  std::uint64_t address;
};

int axynq_counters() { return axynq::COUNTERS; }

std::uint32_t axynq_overlay_id() { return axynq::OVERLAY_ID; }

// Returns 0, or 1 with a message where the accelerator left a buffer.
int axynq_run(const axynq_buffer *program, const axynq_buffer *source,
              const axynq_buffer *destination, std::uint32_t images,
              volatile std::uint32_t *status, volatile std::uint32_t *progress,
              std::uint64_t *counts, char *message, int message_bytes) {
  std::memset(axynq::counts, 0, sizeof(axynq::counts));
  int result = 0;
  try {
    accelerator(
        axynq::read_port_t("program", program->memory, program->bytes, program->address),
        axynq::read_port_t("source", source->memory, source->bytes, source->address),
        axynq::write_port_t("destination", destination->memory, destination->bytes,
                            destination->address),
        images, status, progress);
  } catch (const std::exception &error) {
    std::snprintf(message, std::size_t(message_bytes), "%s", error.what());
    result = 1;
  }
  std::memcpy(counts, axynq::counts, sizeof(axynq::counts));
  return result;
}

// All products of the design with a code in the bank of a lane: int32 [511][256].
// Returns 0, or 1 where the lane has no such design.
int axynq_products(int lane, int code, std::int32_t *products);

}  // extern "C"

namespace axynq {

template <int LANE>
struct direct_products {
  template <int CODE>
  static bool fill(int, std::int32_t *, bank<> *) {
    return false;
  }

  template <int CODE, class DESIGN, class... OTHERS>
  static bool fill(int code, std::int32_t *products, bank<DESIGN, OTHERS...> *) {
    if (code != CODE)
      return fill<CODE + 1>(code, products, static_cast<bank<OTHERS...> *>(nullptr));
    for (int a = -255; a <= 255; ++a)
      for (int w = -128; w <= 127; ++w)
        *products++ = int(DESIGN::product(activation_t(a), weight_t(w)));
    return true;
  }

  static bool of_lane(int lane, int code, std::int32_t *products) {
    if (lane == LANE)
      return fill<1>(code, products, static_cast<typename lane_bank<LANE>::type *>(nullptr));
    return direct_products<LANE - 1>::of_lane(lane, code, products);
  }
};

template <>
struct direct_products<-1> {
  static bool of_lane(int, int, std::int32_t *) { return false; }
};

}  // namespace axynq

extern "C" int axynq_products(int lane, int code, std::int32_t *products) {
  return axynq::direct_products<axynq::FILTERS - 1>::of_lane(lane, code, products) ? 0 : 1;
}
