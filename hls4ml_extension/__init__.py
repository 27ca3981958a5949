"""Approximate multipliers in hls4ml designs: ``axynq.hls4ml``."""
