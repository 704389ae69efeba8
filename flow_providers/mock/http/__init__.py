"""The pretend cloud's second door: Mithril's REST API, without a socket or behind a server."""
