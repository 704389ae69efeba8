"""What the core needs from the world: one protocol a file; the docstrings are the contracts."""
