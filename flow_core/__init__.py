"""The decisions: what is asked for, what follows from it, and what the world must offer for that."""
