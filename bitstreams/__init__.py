"""Boards, build flow and built overlays: data for the builders, no Python."""
