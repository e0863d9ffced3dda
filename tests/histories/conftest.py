"""What a file of recorded runs tells."""

import pytest

from recorded import write
from skill_plugin.histories import Episode, Note, Refusal, read


@pytest.fixture
def told(tmp_path):
    """What a file of these rows tells: episodes, refusals as (reason, line), notes."""

    def run(rows, kind="auto", **options):
        found = list(read(kind, write(tmp_path / "log.jsonl", rows), **options))
        episodes = [one for one in found if isinstance(one, Episode)]
        refused = [(one.reason, one.where.partition(":")[2]) for one in found if isinstance(one, Refusal)]
        notes = [one.what for one in found if isinstance(one, Note)]
        return episodes, refused, notes + [note for one in episodes for note in one.notes]

    return run
