"""Plain files that run on nodes; nothing imports them."""
