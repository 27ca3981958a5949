"""Fuzzing of everything that reads what users give: ``python -m tests.fuzz``."""
