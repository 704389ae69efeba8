"""The verbs: each method reads as calls to the domain and to ports."""
