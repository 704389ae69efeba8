"""One contract class a role: each sentence of a port's docstring, as a test."""

import pytest

# What an assertion compared is shown only for files that pytest was told of before they are imported.
pytest.register_assert_rewrite(
    "flow_providers.conformance.bed",
    *(
        f"{__name__}.{name}"
        for name in (
            "account",
            "bids",
            "calls",
            "catalog",
            "changes",
            "fleet",
            "logs",
            "offers",
            "reaching",
            "uploads",
            "usage",
            "volumes",
        )
    ),
)
