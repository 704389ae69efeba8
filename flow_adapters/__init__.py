"""The edges that aren't clouds: files, clocks, secrets, the shell, and the wiring of them all."""
