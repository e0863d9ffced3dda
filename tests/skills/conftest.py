"""The message that refuses a place with skills."""

import pytest

from skill_plugin.errors import InvalidSkillError


@pytest.fixture
def refused(store, tmp_path):
    """Imports a place that must be refused, beside a folder that must stay as it is; the message."""

    def run(place, **options):
        before = sorted(path for path in tmp_path.rglob("*") if "home" not in path.parts)
        with pytest.raises(InvalidSkillError) as caught:
            store.import_skills(place, **options)
        assert store.list() == []
        assert sorted(path for path in tmp_path.rglob("*") if "home" not in path.parts) == before
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600
        return str(caught.value)

    return run
