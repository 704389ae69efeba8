"""One file a command: parse, one service call, show."""
