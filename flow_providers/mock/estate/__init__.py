"""What a cloud keeps besides its market: people, keys, scripts, clusters, reservations, and what happened to whom."""
