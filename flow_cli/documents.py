"""The JSON documents that `--json` writes, by kind: what each is. The reference page says what is in them."""

from __future__ import annotations

DOCUMENTS: dict[str, str] = {
    "task": "One task: submitted, followed to its end, or shown in detail.",
    "task-list": "Tasks, newest first, or those that a command ended.",
    "plan": "What `flow submit --dry-run` would place, and what it would not, and why.",
    "instance-list": "Tasks as `flow instance list` numbers them.",
    "volume": "One volume, just made.",
    "volume-list": "Volumes, oldest first, or those that were deleted.",
    "offer-list": "What instances would cost for a fixed time, cheapest whole first.",
    "reservation": "One reservation, just made, extended or paused.",
    "reservation-list": "Reservations, newest first.",
    "price-list": "What is on offer, cheapest GPU first.",
    "price-history": "What one market cost, and the bids of one's own in it, oldest first.",
    "backtest": "What a bid policy would have won, lost and cost, each number with its 95 % interval.",
    "log": "One piece of a node's log; as many documents as there are pieces, a line each.",
    "ssh": "How a command ended on each node; follows the `log` documents of what it wrote.",
    "ssh-config": "Nodes as ssh knows them: the names, and the settings for each.",
    "setup": "What a provider was told, where each answer came from, and whether it works.",
    "doctor": "What `flow doctor` checked, what it found, and what to do.",
    "stray-list": "Live bids that this machine's journal doesn't know, or those adopted or withdrawn.",
    "project-list": "Projects, or the one that was chosen.",
    "quota-list": "What the project may hold, and how much it does.",
    "ssh-key": "One SSH key, just added; never its private half.",
    "ssh-key-list": "SSH keys that the provider knows, or those that were deleted.",
    "settings": "Settings with where each value comes from, or the one that was set.",
    "provider-list": "Providers, what roles each plays, and what is wrong with those that can't be loaded.",
    "completion": "A shell's completion script.",
    "schema": "The command line itself.",
    "version": "Which version this is.",
    "error": "What went wrong: kind, message, hint, problems by field, exit code.",
}
