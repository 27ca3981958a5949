"""HLS C++ of the accelerator: data for the builders, no Python."""
