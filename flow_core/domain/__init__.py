"""Nouns and rules: frozen values and pure functions; nothing here touches the world."""
