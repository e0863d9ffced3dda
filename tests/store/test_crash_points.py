"""A process that dies between any two effects leaves a store that is as before or as after, and goes on."""

import random
import re

import pytest

import crash_driver
import crash_oracle
from crash_oracle import Reference, examine

STEPS = 40
SEED = 2425
"""Of a run that comes by every crash point."""

SOURCES = (crash_oracle.ROOT / "store").rglob("*.py")
FOUND = sorted({name for path in SOURCES for name in re.findall(r'crashpoint\("([^"]+)"\)', path.read_text())})
POINTS = [name for name in FOUND if not name.startswith(("checkpoint.", "sync."))]
"""Those of a library; `test_checkpoints.py` has the registry's, `test_sync_faults.py` those of a sync."""


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """One run without a kill, with its state after each step, for all the kills of this module."""
    made = Reference(tmp_path_factory.mktemp("reference") / "home", SEED)
    for step in range(STEPS + 10):
        made.after(step)
    yield made
    made.close()


def go_on(home, reference, step):
    """The next steps find the store as if nothing had happened."""
    driver = crash_driver.Driver(home, reference.seed)
    said = [list(driver.step(number)) for number in range(step, min(step + 5, STEPS))]
    driver.close()
    assert crash_oracle.state(home) == reference.after(step + len(said))


def test_crash_points_are_found_in_the_source():
    assert {"add.middle", "prune.before", "index.after-forget", "reembed.before-swap"} <= set(POINTS)
    for path in (crash_oracle.ROOT / "store").rglob("*.py"):
        for call in re.findall(r"crashpoint\(([^)]*)\)", path.read_text()):
            assert call.startswith('"') or path.name == "crashpoints.py"


@pytest.mark.parametrize("point", [point for point in POINTS if not point.startswith("index.")])
def test_a_kill_at_each_point_of_a_write_loses_nothing(home, reference, point):
    killed = crash_oracle.run(home, SEED, last=STEPS, crash_at=point)
    assert killed.killed, f"{point} was not reached in {STEPS} steps: {killed.errors}"
    finding = examine(home, reference, 0, killed.acknowledged)

    assert finding.problems == []
    go_on(home, reference, finding.steps)


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("index.")])
def test_a_kill_at_each_point_of_the_index_is_repaired(home, reference, point):
    killed = crash_oracle.run(home, SEED, last=STEPS, chroma=True, crash_at=point)
    assert killed.killed, f"{point} was not reached: {killed.errors}"

    assert examine(home, reference, 0, killed.acknowledged, chroma=True).problems == []


def test_a_store_that_was_killed_again_and_again_ends_as_one_that_never_was(home, tmp_path):
    seed = random.randrange(10**6)
    reference = Reference(tmp_path / "reference", seed)
    steps = 0
    for _ in range(5):
        draw = random.Random(f"{seed} {steps}")
        at, delay = (
            draw.randint(1, 40),
            draw.uniform(0, 0.05),
        )  # somewhere inside the step after the last acknowledged one
        killed = crash_oracle.run(home, seed, first=steps, chroma=True, at_step=at, delay=delay)
        finding = examine(home, reference, steps, killed.acknowledged, chroma=True)
        assert (killed.killed, finding.problems) == (True, []), (
            f"seed {seed}, step {steps}, after {at}: {killed.errors}"
        )
        assert finding.steps >= steps + at
        steps = finding.steps
    reference.close()
