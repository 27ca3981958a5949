// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// Every HLS pragma stands behind a macro here.
//
// Vitis HLS sees them all, and any compiler under AXYNQ_HLS_PRAGMAS. g++ and other HLS compilers
// see none: for them the sources are plain sequential C++14. Under AXYNQ_ANALYSIS a pragma is a
// call that passes its text, so that it reaches what reads the compiled code (host/synthesis).
#ifndef AXYNQ_PRAGMAS_HPP
#define AXYNQ_PRAGMAS_HPP

#if (defined(__SYNTHESIS__) || defined(AXYNQ_HLS_PRAGMAS)) && !defined(__BAMBU__)
#define AXYNQ_PRAGMA(text) _Pragma(#text)
#elif defined(AXYNQ_ANALYSIS)
extern "C" void axynq_pragma(const char *text);
#define AXYNQ_PRAGMA(text) ::axynq_pragma(#text);
#else
#define AXYNQ_PRAGMA(text)
#endif

// Whether processes may run at the same time, with channels between them.
#if (defined(__SYNTHESIS__) || defined(AXYNQ_ANALYSIS)) && !defined(__BAMBU__)
#define AXYNQ_DATAFLOW_COMPILER 1
#else
#define AXYNQ_DATAFLOW_COMPILER 0
#endif

// Loops have names where a tool reports on them.
#if AXYNQ_DATAFLOW_COMPILER
#define AXYNQ_LOOP(name) \
  name:
#else
#define AXYNQ_LOOP(name)
#endif

// What logic computes when nobody needs it costs time in simulation only.
#if defined(AXYNQ_SIMULATION)
#define AXYNQ_IF_NEEDED(condition) if (condition)
#else
#define AXYNQ_IF_NEEDED(condition)
#endif

#if defined(AXYNQ_SIMULATION)
#include "axynq/simulated_steps.hpp"
#else
#define AXYNQ_RUN_BEGINS
#define AXYNQ_STEP_BEGINS
#endif

// Interfaces of the top function. A burst has 16 beats, the most that AXI3 ports take.
#define AXYNQ_MEMORY_PORT(name) \
  AXYNQ_PRAGMA(HLS INTERFACE mode=m_axi port=name offset=slave bundle=name max_read_burst_length=16 max_write_burst_length=16 num_read_outstanding=4 num_write_outstanding=4 latency=32)
#define AXYNQ_REGISTER(name) AXYNQ_PRAGMA(HLS INTERFACE mode=s_axilite port=name)

// Inside loops. An iteration of a pipelined loop is a step: memories answer once in each.
#define AXYNQ_PIPELINE AXYNQ_PRAGMA(HLS PIPELINE II=1) AXYNQ_STEP_BEGINS
#define AXYNQ_UNROLL AXYNQ_PRAGMA(HLS UNROLL)

// No iteration of the loop reads what an earlier one wrote. The simulation checks it.
#define AXYNQ_INDEPENDENT(array) AXYNQ_PRAGMA(HLS DEPENDENCE variable=array type=inter false)

// Inside functions.
#define AXYNQ_INLINE AXYNQ_PRAGMA(HLS INLINE)
#define AXYNQ_NO_INLINE AXYNQ_PRAGMA(HLS INLINE off)
#define AXYNQ_DATAFLOW AXYNQ_PRAGMA(HLS DATAFLOW)

// An argument of a dataflow region that changes only between its calls.
#define AXYNQ_STABLE(name) AXYNQ_PRAGMA(HLS STABLE variable=name)

// Arrays in registers.
#define AXYNQ_REGISTERS(array) AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=array type=complete dim=0)

// Memories (banked.hpp): each bank a memory of its own with a port to read and a port to write.
#define AXYNQ_BLOCK_RAM(memory) \
  AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=memory type=complete dim=1)                  \
  AXYNQ_PRAGMA(HLS BIND_STORAGE variable=memory type=ram_s2p impl=bram)
#define AXYNQ_LUT_RAM(memory) \
  AXYNQ_PRAGMA(HLS ARRAY_PARTITION variable=memory type=complete dim=1)                \
  AXYNQ_PRAGMA(HLS BIND_STORAGE variable=memory type=ram_s2p impl=lutram)

// Channels (channel.hpp): words that may wait in one. Shift registers of LUTs: a block RAM, which
// they would become otherwise, would be nearly empty.
#define AXYNQ_CHANNEL_DEPTH(channel, words) \
  AXYNQ_PRAGMA(HLS STREAM variable=channel depth=words)                              \
  AXYNQ_PRAGMA(HLS BIND_STORAGE variable=channel type=fifo impl=srl)

#endif
