"""The stand-in for a board: the real pynq in front, the accelerator's C simulation behind."""
