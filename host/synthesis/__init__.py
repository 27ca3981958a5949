"""What a synthesis tool would make of the accelerator's sources: schedule and operators."""
