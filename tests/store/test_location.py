from pathlib import Path

from skill_plugin.store.sql.location import places


def test_a_folder_a_file_and_a_url(home):
    assert places("/x/store") == ("sqlite:////x/store/skills.db", Path("/x/store/chroma"))
    assert places("/x/a.db") == ("sqlite:////x/a.db", Path("/x/a.db-chroma"))
    assert places("sqlite:////x/a.db") == ("sqlite:////x/a.db", Path("/x/a.db-chroma"))
    assert places("postgresql+psycopg://h/d") == ("postgresql+psycopg://h/d", home / "chroma")
    assert places(None) == (f"sqlite:///{home}/skills.db", home / "chroma")
