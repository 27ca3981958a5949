"""Networks in real numbers, and how they become int8 networks."""
