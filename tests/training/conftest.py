"""A store with histories to learn from."""

import pytest

from exported import COOL
from lineages import learned, lineage, written


@pytest.fixture
def histories(store, skill):
    """The lineages of `learned`, and one more with a malformed text and a revision at another temperature."""
    learned(store)
    bad = written(11, text=None, error="no front matter", completion_token_ids=(5,), logprobs=(-1,))
    lineage(store, 9, [written(10), bad, written(12, sampling=COOL)], [(1.0, 0.5), (0.0, 0.5)], baseline=(0.25,))
    return store
