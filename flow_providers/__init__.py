"""The clouds: one folder each, strangers to each other."""
