import json
import logging
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from matplotlib.image import imread

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.files.curves import PANELS, draw
from skill_plugin.training.files.nights import NightPoint, draw_nights

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
    assert imread(out).shape[:2] == (1210, 1760)
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


GATE = {"promote": True, "kind": "paired", "reason": "6 repaired > 1", "before": 0.4, "after": 0.6, "gain": 0.2}


@pytest.mark.parametrize(
    "gate",
    [
        GATE | {"low": 0.1, "high": 0.3},
        GATE | {"promote": False, "kind": "off-policy", "before": -0.1, "low": 0.3, "high": 0.1, "reason": "$x " * 200},
        {"kind": "none", "promote": False, "reason": "there were no tasks"},
    ],
)
def test_the_gates_decision_is_in_the_picture(tmp_path, gate):
    draw(metrics(tmp_path, 5), tmp_path / "before.png", title="tr_1, begun 2026-11-30")
    assert draw(metrics(tmp_path, 5), tmp_path / "after.png", title="tr_1, begun 2026-11-30", gate=gate)

    assert (tmp_path / "before.png").read_bytes() != (tmp_path / "after.png").read_bytes()


@pytest.mark.parametrize("count", [0, 1, 5])
def test_all_nights_are_one_picture(tmp_path, count):
    nights = [
        NightPoint(datetime(2026, 11, day, tzinfo=UTC), day % 2 == 0, 0.1 * day, kind, 0.4, 0.4 + day / 20, -0.1, 0.3)
        for day, kind in enumerate(["paired", "paired", "off-policy", None, "paired"][:count], 1)
    ]

    assert draw_nights(nights, tmp_path / "nights.png", title="default")
    assert (tmp_path / "nights.png").read_bytes().startswith(MARK)
