"""The command line: commands that parse, ask one service, and show what came of it."""
