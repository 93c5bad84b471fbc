"""Every part of a signature is explained, and a column's signature is that of most of its values."""

from __future__ import annotations

import pytest

from bench import registry
from bench.metrics import signatures


@pytest.mark.parametrize("name", sorted(registry.metrics()))
def test_every_part_of_every_listed_signature_has_its_words(name: str) -> None:
    listed = registry.load_metric(name).signatures
    assert listed
    for signature in listed:
        found = set(signatures.parts(signature)) - {""}
        assert found <= set(signatures.LEGEND)
        assert set(signatures.legend([signature])) == found


def test_the_signature_of_a_column_is_that_of_most_of_its_values() -> None:
    """How intervals were made is no part of it; of equals it is the first."""
    assert signatures.prevailing(["a|N:1", "a|N:2", "a|N:2"]) == "a|N:2"
    assert signatures.prevailing(["a|N:1", "a|N:2", "a|N:3", "a|N:3"]) == "a|N:3"
    assert signatures.prevailing(["a|N:2", "a|N:1"]) == "a|N:2"
