"""The command line where it is started: without a home folder, into an output that is not Unicode."""

import json
import os
import subprocess
import sys

import pytest

from skill_plugin.errors import ConfigurationError
from skill_plugin.settings import home_folder


def skill_plugin(*arguments, **environment):
    given = {name: value for name, value in os.environ.items() if not name.startswith("SKILL_PLUGIN_")}
    return subprocess.run(
        [sys.executable, "-m", "skill_plugin.integrations.cli", *arguments],
        env=given | environment, capture_output=True, timeout=120,
    )  # fmt: skip


def test_no_home_folder_is_one_line(monkeypatch):
    def unknown(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SKILL_PLUGIN_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.expanduser", unknown)
    with pytest.raises(ConfigurationError, match="no home folder; set SKILL_PLUGIN_HOME, or pass --home FOLDER"):
        home_folder()


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_any_output_takes_any_letter(tmp_path, encoding):
    options = {"SKILL_PLUGIN_HOME": str(tmp_path), "SKILL_PLUGIN_EMBEDDER": "hashing", "PYTHONIOENCODING": encoding}
    about = "Zahlung zur\u00fcckgeben \u9000\u6b3e"
    added = skill_plugin("skills", "add", "--name", "refund", "--description", about, "--body", "1.", **options)
    assert added.returncode == 0, added.stderr
    listed = skill_plugin("skills", "list", "--json", **options)
    shown = skill_plugin("skills", "show", "refund", **options)

    assert json.loads(listed.stdout.decode(encoding))[0]["description"] == about
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert "zur" in shown.stdout.decode(encoding)
