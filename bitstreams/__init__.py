"""Boards, build scripts, test vectors and built overlays: data for the builders, no Python."""
