"""LUT-level circuits of the multipliers, and what is measured on them."""
