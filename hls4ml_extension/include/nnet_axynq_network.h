// SPDX-License-Identifier: Apache-2.0
// Copyright The axynq maintainers

// What int8 networks need beside hls4ml's own layers: requantisation, sums, pooling, tables.
//
// Values are centred, q - zero point, in -255..255: hls4ml pads with zeros, which is right for them.
// The arithmetic is that of axynq's numeric contract. Each operation is a struct that computes a
// single value; three functions apply them, to arrays (io_parallel) and to streams (io_stream).
//
// Configurations have the operation and its constants, `zero_point` of the output, and the smallest
// and the largest int8 value that it may take, `low` and `high`.
#ifndef NNET_AXYNQ_NETWORK_H_
#define NNET_AXYNQ_NETWORK_H_

#include "axynq_requantise.h"
#include "hls_stream.h"
#include "nnet_common.h"

namespace nnet_axynq {

typedef ap_int<9> centred_t;

template <typename CONFIG_T> centred_t centred_output(ap_int<32> value) {
    #pragma HLS INLINE
    return axynq::quantised(value, CONFIG_T::zero_point, CONFIG_T::low, CONFIG_T::high) - CONFIG_T::zero_point;
}

// *************************************************
//       Operations
// *************************************************

// An accumulator, by the factor of its filter. Constants: multipliers, shifts, for each filter.
struct Requantise {
    template <typename CONFIG_T> static centred_t value(ap_int<32> x, unsigned filter) {
        #pragma HLS INLINE
        return centred_output<CONFIG_T>(axynq::rescale(x, CONFIG_T::multipliers[filter], CONFIG_T::shifts[filter]));
    }
};

// A function of single values. Constants: table, 256 centred results; input_zero_point.
struct Lookup {
    template <typename CONFIG_T> static centred_t value(centred_t x, unsigned) {
        #pragma HLS INLINE
        return CONFIG_T::table[int(x) + CONFIG_T::input_zero_point + 128];
    }
};

// Constants: the factors of both operands and of their sum.
struct Sum {
    template <typename CONFIG_T> static centred_t value(centred_t first, centred_t second) {
        #pragma HLS INLINE
        const ap_int<32> sum = axynq::rescale(ap_int<32>(first) << 20, CONFIG_T::first_multiplier, CONFIG_T::first_shift) +
                               axynq::rescale(ap_int<32>(second) << 20, CONFIG_T::second_multiplier, CONFIG_T::second_shift);
        return centred_output<CONFIG_T>(axynq::rescale(sum, CONFIG_T::multiplier, CONFIG_T::shift));
    }
};

struct MaximumOfWindow {
    static int start() { return -256; }
    static ap_int<32> joined(ap_int<32> largest, centred_t x) { return x > largest ? ap_int<32>(x) : largest; }
    template <typename CONFIG_T> static centred_t finished(ap_int<32> largest, int) {
        #pragma HLS INLINE
        return centred_output<CONFIG_T>(largest);
    }
};

// Rounds halves of the uncentred value away from zero.
struct AverageOfWindow {
    static int start() { return 0; }
    static ap_int<32> joined(ap_int<32> total, centred_t x) { return total + x; }
    template <typename CONFIG_T> static centred_t finished(ap_int<32> centred, int positions) {
        #pragma HLS INLINE
        const int total = int(centred) + positions * CONFIG_T::zero_point;
        const unsigned magnitude = total < 0 ? -total : total, count = positions;
        const int average = (magnitude + count / 2) / count;
        return centred_output<CONFIG_T>((total < 0 ? -average : average) - CONFIG_T::zero_point);
    }
};

// Constants: the factor, which divides by the number of positions.
struct MeanOfWindow {
    static int start() { return 0; }
    static ap_int<32> joined(ap_int<32> total, centred_t x) { return total + x; }
    template <typename CONFIG_T> static centred_t finished(ap_int<32> total, int) {
        #pragma HLS INLINE
        return centred_output<CONFIG_T>(axynq::rescale(total, CONFIG_T::multiplier, CONFIG_T::shift));
    }
};

// *************************************************
//       Values by themselves: Requantise, Lookup
// *************************************************

template <class data_T, class res_T, typename CONFIG_T>
void each_value(data_T data[CONFIG_T::n_pixels * CONFIG_T::n_chan], res_T res[CONFIG_T::n_pixels * CONFIG_T::n_chan]) {
Pixels:
    for (unsigned pixel = 0; pixel < CONFIG_T::n_pixels; pixel++) {
        #pragma HLS PIPELINE II=CONFIG_T::reuse_factor rewind
    Channels:
        for (unsigned channel = 0; channel < CONFIG_T::n_chan; channel++) {
            #pragma HLS UNROLL
            const unsigned place = pixel * CONFIG_T::n_chan + channel;
            res[place] = CONFIG_T::operation::template value<CONFIG_T>(data[place], channel);
        }
    }
}

template <class data_T, class res_T, typename CONFIG_T>
void each_value(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    static_assert(data_T::size == CONFIG_T::n_chan, "a word is a pixel");
Pixels:
    for (unsigned pixel = 0; pixel < CONFIG_T::n_pixels; pixel++) {
        #pragma HLS PIPELINE II=CONFIG_T::reuse_factor rewind
        const data_T in = data.read();
        res_T out;
        PRAGMA_DATA_PACK(out)
    Channels:
        for (unsigned channel = 0; channel < CONFIG_T::n_chan; channel++) {
            #pragma HLS UNROLL
            out[channel] = CONFIG_T::operation::template value<CONFIG_T>(in[channel], channel);
        }
        res.write(out);
    }
}

// *************************************************
//       Values in pairs: Sum
// *************************************************

template <class first_T, class second_T, class res_T, typename CONFIG_T>
void each_pair(first_T first[CONFIG_T::n_pixels * CONFIG_T::n_chan], second_T second[CONFIG_T::n_pixels * CONFIG_T::n_chan],
               res_T res[CONFIG_T::n_pixels * CONFIG_T::n_chan]) {
Pixels:
    for (unsigned pixel = 0; pixel < CONFIG_T::n_pixels; pixel++) {
        #pragma HLS PIPELINE II=CONFIG_T::reuse_factor rewind
    Channels:
        for (unsigned channel = 0; channel < CONFIG_T::n_chan; channel++) {
            #pragma HLS UNROLL
            const unsigned place = pixel * CONFIG_T::n_chan + channel;
            res[place] = CONFIG_T::operation::template value<CONFIG_T>(first[place], second[place]);
        }
    }
}

template <class first_T, class second_T, class res_T, typename CONFIG_T>
void each_pair(hls::stream<first_T> &first, hls::stream<second_T> &second, hls::stream<res_T> &res) {
    static_assert(first_T::size == CONFIG_T::n_chan && second_T::size == CONFIG_T::n_chan, "a word is a pixel");
Pixels:
    for (unsigned pixel = 0; pixel < CONFIG_T::n_pixels; pixel++) {
        #pragma HLS PIPELINE II=CONFIG_T::reuse_factor rewind
        const first_T a = first.read();
        const second_T b = second.read();
        res_T out;
        PRAGMA_DATA_PACK(out)
    Channels:
        for (unsigned channel = 0; channel < CONFIG_T::n_chan; channel++) {
            #pragma HLS UNROLL
            out[channel] = CONFIG_T::operation::template value<CONFIG_T>(a[channel], b[channel]);
        }
        res.write(out);
    }
}

// *************************************************
//       Windows: MaximumOfWindow, AverageOfWindow, MeanOfWindow
// *************************************************

// Where windows lie along one axis. Positions outside the map belong to none.
template <int SIZE, int WINDOW, int STRIDE, int PADDING> struct Axis {
    static int start(int window) { return window * STRIDE - PADDING; }
    static int first(int window) { return start(window) < 0 ? 0 : start(window); }
    static int last(int window) { return start(window) + WINDOW > SIZE ? SIZE - 1 : start(window) + WINDOW - 1; }
    static int positions(int window) { return last(window) - first(window) + 1; }
    // The last window that begins at a position or before it, and how many before may still go on.
    static int latest(int position) { return (position + PADDING) / STRIDE; }
    static const int open = (WINDOW + STRIDE - 1) / STRIDE;
};

template <typename CONFIG_T>
struct Rows : Axis<CONFIG_T::in_height, CONFIG_T::window_height, CONFIG_T::stride_height, CONFIG_T::pad_top> {};
template <typename CONFIG_T>
struct Columns : Axis<CONFIG_T::in_width, CONFIG_T::window_width, CONFIG_T::stride_width, CONFIG_T::pad_left> {};

// Constant where no window leaves the map, so that nothing is divided by a variable.
template <typename CONFIG_T> int positions(int row, int column) {
    #pragma HLS INLINE
    return CONFIG_T::leaves_map ? Rows<CONFIG_T>::positions(row) * Columns<CONFIG_T>::positions(column)
                                : CONFIG_T::window_height * CONFIG_T::window_width;
}

template <class data_T, class res_T, typename CONFIG_T>
void each_window(data_T data[CONFIG_T::in_height * CONFIG_T::in_width * CONFIG_T::n_chan],
                 res_T res[CONFIG_T::out_height * CONFIG_T::out_width * CONFIG_T::n_chan]) {
    typedef typename CONFIG_T::operation operation;
OutRows:
    for (int row = 0; row < CONFIG_T::out_height; row++) {
    OutColumns:
        for (int column = 0; column < CONFIG_T::out_width; column++) {
            #pragma HLS PIPELINE II=CONFIG_T::reuse_factor
        Channels:
            for (unsigned channel = 0; channel < CONFIG_T::n_chan; channel++) {
                #pragma HLS UNROLL
                ap_int<32> joined = operation::start();
            WindowRows:
                for (int i = 0; i < CONFIG_T::window_height; i++) {
                    #pragma HLS UNROLL
                WindowColumns:
                    for (int j = 0; j < CONFIG_T::window_width; j++) {
                        #pragma HLS UNROLL
                        const int y = Rows<CONFIG_T>::start(row) + i, x = Columns<CONFIG_T>::start(column) + j;
                        if (y >= 0 && y < CONFIG_T::in_height && x >= 0 && x < CONFIG_T::in_width) {
                            joined = operation::joined(joined, data[(y * CONFIG_T::in_width + x) * CONFIG_T::n_chan + channel]);
                        }
                    }
                }
                res[(row * CONFIG_T::out_width + column) * CONFIG_T::n_chan + channel] =
                    operation::template finished<CONFIG_T>(joined, positions<CONFIG_T>(row, column));
            }
        }
    }
}

// Pixels come row by row and are joined to all windows they lie in. When a row has come, the rows of
// windows that end in it are sent.
template <class data_T, class res_T, typename CONFIG_T>
void each_window(hls::stream<data_T> &data, hls::stream<res_T> &res) {
    static_assert(data_T::size == CONFIG_T::n_chan, "a word is a pixel");
    typedef typename CONFIG_T::operation operation;
    typedef nnet_axynq::Rows<CONFIG_T> rows;
    typedef nnet_axynq::Columns<CONFIG_T> columns;
    ap_int<32> joined[rows::open * CONFIG_T::out_width][CONFIG_T::n_chan];
    #pragma HLS ARRAY_PARTITION variable=joined complete dim=2

    int next = 0; // the row of windows that is sent next
InRows:
    for (int y = 0; y < CONFIG_T::in_height; y++) {
    InColumns:
        for (int x = 0; x < CONFIG_T::in_width; x++) {
            #pragma HLS PIPELINE II=CONFIG_T::reuse_factor
            const data_T in = data.read();
        OpenRows:
            for (int i = 0; i < rows::open; i++) {
                #pragma HLS UNROLL
            OpenColumns:
                for (int j = 0; j < columns::open; j++) {
                    #pragma HLS UNROLL
                    const int row = rows::latest(y) - i, column = columns::latest(x) - j;
                    const bool inside = row >= 0 && row < CONFIG_T::out_height && y <= rows::last(row) && column >= 0 &&
                                        column < CONFIG_T::out_width && x <= columns::last(column);
                    if (inside) {
                        const bool first = y == rows::first(row) && x == columns::first(column);
                        const int place = row % rows::open * CONFIG_T::out_width + column;
                    Channels:
                        for (unsigned channel = 0; channel < CONFIG_T::n_chan; channel++) {
                            #pragma HLS UNROLL
                            const ap_int<32> before = first ? ap_int<32>(operation::start()) : joined[place][channel];
                            joined[place][channel] = operation::joined(before, in[channel]);
                        }
                    }
                }
            }
        }
    EndingRows:
        for (int i = 0; i < rows::open; i++) {
            if (next < CONFIG_T::out_height && y == rows::last(next)) {
            OutColumns:
                for (int column = 0; column < CONFIG_T::out_width; column++) {
                    #pragma HLS PIPELINE II=CONFIG_T::reuse_factor
                    const int place = next % rows::open * CONFIG_T::out_width + column;
                    res_T out;
                    PRAGMA_DATA_PACK(out)
                OutChannels:
                    for (unsigned channel = 0; channel < CONFIG_T::n_chan; channel++) {
                        #pragma HLS UNROLL
                        out[channel] = operation::template finished<CONFIG_T>(joined[place][channel],
                                                                              positions<CONFIG_T>(next, column));
                    }
                    res.write(out);
                }
                next++;
            }
        }
    }
}

} // namespace nnet_axynq

#endif
