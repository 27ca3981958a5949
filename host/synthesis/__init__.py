"""What Vitis HLS will make of the sources, without Vitis HLS: how large, how fast."""
