// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// A region's arguments: those that are not stable make the processes start together, and each
// scalar of them crosses to each process that uses it through a FIFO.
#include <hls_stream.h>

#include "axynq/pragmas.hpp"

struct shape_t {
  int words, offset, scale;
};

static void load(const shape_t &shape, const int *source, hls::stream<int> &words) {
  AXYNQ_NO_INLINE
LOAD:
  for (int i = 0; i < shape.words; ++i) {
    AXYNQ_PIPELINE
    words.write(source[shape.offset + i]);
  }
}

static void scale(const shape_t &shape, hls::stream<int> &words, hls::stream<int> &scaled) {
  AXYNQ_NO_INLINE
SCALE:
  for (int i = 0; i < shape.words; ++i) {
    AXYNQ_PIPELINE
    scaled.write(words.read() * shape.scale);
  }
}

static void store(const shape_t &shape, hls::stream<int> &scaled, int *destination) {
  AXYNQ_NO_INLINE
STORE:
  for (int i = 0; i < shape.words; ++i) {
    AXYNQ_PIPELINE
    destination[i] = scaled.read();
  }
}

static void region(const shape_t &shape, const int *source, int *destination) {
  AXYNQ_DATAFLOW
#if defined(CLEAN)
  AXYNQ_PRAGMA(HLS STABLE variable=shape)
  AXYNQ_PRAGMA(HLS STABLE variable=source)
  AXYNQ_PRAGMA(HLS STABLE variable=destination)
#endif
  hls::stream<int> words;
  hls::stream<int> scaled;
  load(shape, source, words);
  scale(shape, words, scaled);
  store(shape, scaled, destination);
}

void top(const int *source, int *destination, int words, int offset) {
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=source)
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=destination)
  shape_t shape;
  shape.words = words;
  shape.offset = offset;
  shape.scale = 3;
PHASES:
  for (int phase = 0; phase < 4; ++phase) {
    shape.offset += words;
    region(shape, source, destination);
  }
}
