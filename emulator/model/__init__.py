"""Networks: the typed graph, and reading and writing ``.tflite`` files."""
