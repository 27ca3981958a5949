"""What uses the emulator: sensitivity, search, tuning, error statistics, retraining."""
