from pathlib import Path

import pytest

from skill_plugin.errors import NamespaceError
from skill_plugin.store.location import check_namespace, places


def test_a_folder_a_file_and_a_url(home):
    assert places("/x/store") == ("sqlite:////x/store/skills.db", Path("/x/store/chroma"))
    assert places("/x/a.db") == ("sqlite:////x/a.db", Path("/x/a.db-chroma"))
    assert places("sqlite:////x/a.db") == ("sqlite:////x/a.db", Path("/x/a.db-chroma"))
    assert places("postgresql+psycopg://h/d") == ("postgresql+psycopg://h/d", home / "chroma")
    assert places(None) == (f"sqlite:///{home}/skills.db", home / "chroma")


@pytest.mark.parametrize("namespace", ["default", "team a", "Ünïcode", "a/b", "x" * 200])
def test_good_namespaces(namespace):
    assert check_namespace(namespace) == namespace


@pytest.mark.parametrize("namespace", [None, "", " ", 3, "a\n", " a", "x" * 201, "a\x00b"])
def test_a_missing_or_malformed_namespace_is_an_error_not_all(namespace):
    with pytest.raises(NamespaceError):
        check_namespace(namespace)
