"""Networks from other frameworks, and back into them."""
