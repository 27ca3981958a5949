"""Files that hold networks: `.tflite` read and written, and what a file is that is none."""
