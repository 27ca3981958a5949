"""Files that follow from an overlay's description."""
