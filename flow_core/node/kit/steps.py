"""What every step of the kit shares."""

from __future__ import annotations


class StepFailed(Exception):
    """A step that can't be done: which, and why, in words for the user."""
