"""Pure presenters: a domain value becomes something to draw, to print or to write as JSON."""
