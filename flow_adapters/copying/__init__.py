"""Files on their way between this machine and nodes: one stream, whose two ends run here and there."""
