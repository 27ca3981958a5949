// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// C interface to the accelerator, compiled by g++: what the software board calls.
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "../src/accelerator.hpp"
#include "axynq/bank.hpp"

namespace axynq {
static thread_local std::uint64_t counts[COUNTERS];
std::uint64_t *counters() { return counts; }

static thread_local simulated_steps where;
simulated_steps &steps() { return where; }
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
              const axynq_buffer *destination, std::uint32_t images, volatile std::uint32_t *status,
              volatile std::uint32_t *progress, std::uint64_t *counts, char *message,
              int message_bytes) {
  std::memset(axynq::counts, 0, sizeof(axynq::counts));
  axynq::where.step = 0;
  axynq::where.run = 0;
  int result = 0;
  try {
    accelerator(axynq::read_port_t("commands", program->memory, &program->bytes, program->address),
                axynq::read_port_t("source", source->memory, &source->bytes, source->address),
                axynq::write_argument_t("destination", destination->memory, &destination->bytes,
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

// What the hardware computes for a code, not the simulation's tables: the design itself, or the
// cell that all designs are settings of.
template <class BANK>
struct direct;

template <class... DESIGNS>
struct direct<bank<DESIGNS...>> {
  static const int CODES = sizeof...(DESIGNS);

  static product_t product(activation_t a, weight_t w, int code) {
    return select<0, DESIGNS...>(a, w, code);
  }

 private:
  template <int CODE, class DESIGN>
  static product_t select(activation_t a, weight_t w, int) {
    return DESIGN::product(a, w);
  }

  template <int CODE, class DESIGN, class NEXT, class... OTHERS>
  static product_t select(activation_t a, weight_t w, int code) {
    return code == CODE ? DESIGN::product(a, w) : select<CODE + 1, NEXT, OTHERS...>(a, w, code);
  }
};

template <class... DESIGNS>
struct direct<configurable_bank<DESIGNS...>> {
  static const int CODES = sizeof...(DESIGNS);

  static product_t product(activation_t a, weight_t w, int code) {
    return configurable_roup<DESIGNS...>::product(a, w, code);
  }
};

// Each half of a pair for itself; whatever the other multiplies.
template <>
struct direct<dsp_pair> {
  static const int CODES = 1;

  static product_t first(activation_t a, weight_t w) {
    return exact_pair::first_of(exact_pair::products(a, w, weight_t(a * 3 + w * 7)));
  }

  static product_t second(activation_t a, weight_t w) {
    return exact_pair::second_of(exact_pair::products(a, weight_t(a * 3 + w * 7), w));
  }
};

template <int LANE, class BANK>
struct direct_lane : direct<BANK> {};

template <int LANE>
struct direct_lane<LANE, dsp_pair> : direct<dsp_pair> {
  static product_t product(activation_t a, weight_t w, int) {
    return LANE % 2 == 0 ? first(a, w) : second(a, w);
  }
};

template <int LANE>
static int direct_products(int lane, int code, std::int32_t *products) {
  typedef direct_lane<LANE, typename lane_bank<LANE>::type> bank_t;
  if (lane != LANE) return direct_products<LANE - 1>(lane, code, products);
  if (code < 0 || code >= bank_t::CODES) return 1;
  for (int a = -255; a <= 255; ++a)
    for (int w = -128; w <= 127; ++w)
      *products++ = int(bank_t::product(activation_t(a), weight_t(w), code));
  return 0;
}

template <>
int direct_products<-1>(int, int, std::int32_t *) {
  return 1;
}

}  // namespace axynq

int axynq_products(int lane, int code, std::int32_t *products) {
  return axynq::direct_products<axynq::FILTERS - 1>(lane, code, products);
}
