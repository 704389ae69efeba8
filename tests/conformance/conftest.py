"""Puts the guide's little project on the path, as its author's `pip install` would."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tiny"))
