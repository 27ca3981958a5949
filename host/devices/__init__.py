"""Where a program can run: the software board, and a real one."""
