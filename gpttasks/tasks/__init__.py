"""Tasks and data: what the examples are, and where they come from."""
