"""Networks that ship with axynq; see README.md for their model cards."""
