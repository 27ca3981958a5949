"""What a board needs to run programs, with numpy, pydantic and pynq alone."""
