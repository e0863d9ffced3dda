import json
import logging
import subprocess
import sys

import pytest
from matplotlib.image import imread

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.files.curves import PANELS, draw

MARK = b"\x89PNG\r\n\x1a\n"


def metrics(folder, count, **values):
    rows = ({"step": step} | {panel.metric: step / 10 for panel in PANELS} | values for step in range(1, count + 1))
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("count", [0, 1, 5, 300])
def test_a_run_of_any_length_is_one_readable_picture(tmp_path, count):
    out = tmp_path / "curves.png"

    assert draw(metrics(tmp_path, count), out, title="Run 7")
    assert out.read_bytes().startswith(MARK)
    assert imread(out).shape[:2] == (1210, 1210)
    assert sorted(one.name for one in tmp_path.iterdir() if one.suffix == ".tmp") == []


def test_gaps_values_that_are_missing_and_odd_ones_are_drawn_around(tmp_path):
    path = metrics(tmp_path, 40, loss=None, grad_norm=0.0, ratio=-1.0)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[10:15]:
        row["kl"] = None
    for row in rows:
        del row["clipped"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    assert draw(path, tmp_path / "curves.png", title="$no formula")


def test_the_curves_show_what_was_logged(tmp_path):
    draw(metrics(tmp_path, 40), tmp_path / "a.png", title="Run")
    draw(metrics(tmp_path, 40), tmp_path / "b.png", title="Run")
    draw(metrics(tmp_path, 40, kl=0.5), tmp_path / "c.png", title="Run")

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "c.png").read_bytes()


def test_no_metrics_are_told(tmp_path):
    with pytest.raises(ConfigurationError, match=r"there is no metrics\.jsonl in"):
        draw(tmp_path / "metrics.jsonl", tmp_path / "curves.png", title="Run")


def test_the_picture_needs_no_display_and_no_global_figure(tmp_path):
    path = metrics(tmp_path, 3)
    code = (
        "import sys; from pathlib import Path; from skill_plugin.training.files.curves import draw\n"
        f"draw(Path({str(path)!r}), Path({str(tmp_path / 'c.png')!r}), title='Run')\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "False"


def test_without_matplotlib_a_line_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with caplog.at_level(logging.INFO, "skill_plugin"):
        assert not draw(metrics(tmp_path, 3), tmp_path / "curves.png", title="Run")

    assert caplog.messages == [
        "matplotlib is not installed, so no curves were drawn; run: pip install 'skill-plugin[train]'"
    ]
    assert not (tmp_path / "curves.png").exists()
