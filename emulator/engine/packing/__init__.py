"""A layer's recipe in the order the native kernel reads it.

A depthwise layer is a convolution for each input channel, so a network has thousands: all of a
layer are packed together, in whole-array steps.
"""
