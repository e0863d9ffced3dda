"""Runs, generations, nights, the map and the health, on the page."""

import json
from datetime import UTC, datetime

import pytest

from fakes import MACHINE, skill_text
from skill_plugin import Revision, Rollout, Task


def test_a_run_says_which_skill_it_used_and_why_and_with_what_result(page, store, used):
    store.record_outcome("with-3", reward=0.0, feedback="the customer <b>complained</b>", source="user")
    text = page.text("/runs/with-3")

    assert "add 3 and 1" in text
    assert 'href="/skills/adding@1"' in text
    assert "the customer &lt;b&gt;complained&lt;/b&gt;" in text
    assert "&lt;skill-" in text  # the block of the prompt
    assert "(cosine)" in text
    assert "was withheld, to measure whether it helps" in page.text("/runs/without-3")


def test_a_run_is_found_by_the_beginning_of_its_id_and_its_skill_in_two_clicks(page, store, used):
    listed = page.text("/runs?id=with-")
    assert listed.count('href="/runs/with-') == 8
    assert 'href="/skills/adding"' in listed
    assert page.get("/runs?id=with-3", follow_redirects=False).headers["location"] == "/runs/with-3"
    store.runs.record(Task("odd"), [Rollout(generation=0, answer="!", reward=1.0)], run_id="../inbox?a#b")
    assert "odd" in page.text("/runs?id=..%2Finbox%3Fa%23b")
    assert 'href="/runs/..%2Finbox%3Fa%23b"' in page.text("/runs")
    assert "No run has an id that begins with" in page.text("/runs?id=%25")
    assert "there is no run &#39;nobody&#39;" in page.text("/runs/nobody", code=404)


def test_generations_of_a_family_and_of_a_task(page, store, skill):
    task = Task("add 1 and 1", family="sums")
    for generation, reward in enumerate([0.0, 1.0]):
        rollout = Rollout(generation=generation, answer="", skill=skill.ref, reward=reward, passed=reward == 1)
        store.runs.record(task, [rollout], run_id=f"g{generation}")
    written = [Revision(completion=MACHINE, text=MACHINE), Revision(completion="?", error="it is not a skill")]
    store.runs.stage(task, written, run_id="g1", group_id="g1:1", generation=1, parent=skill.ref)
    store.refuse("adding@2", reason="no gain")
    text = page.text("/generations?family=sums")

    assert "Mean reward by generation of sums" in text
    assert "refused" in text
    assert "no gain" in text
    assert "it is not a skill" in text
    assert "adding</bdi> version 2" in page.text("/runs/g1")
    assert page.text(f"/generations.csv?family=sums&task={task.id}").splitlines()[1:] == [
        "0,skill,1,1,0.0,0",
        "1,skill,1,1,1.0,1",
    ]
    assert "is not a task of the family" in page.text("/generations?family=sums&task=%3Cb%3E", code=400)


def test_a_night_shows_what_it_learned_from_and_what_the_gate_said(page, store, home, skill):
    store.runs.training.begin("tr_1", {"seed": 1}, data_to=datetime.now(UTC))
    (home / "training" / "tr_1").mkdir(parents=True)
    steps = [{"step": step, "loss": 1 / step, "reward": 0.5, "kl": None} for step in (1, 2)]
    (home / "training" / "tr_1" / "metrics.jsonl").write_text("".join(f"{json.dumps(step)}\n" for step in steps))
    ended = {
        "reason": "no gain <i>at all</i>",
        "learned_from": {"groups": 3, "refused": {"too old": 2}, "reward_mean": 0.5},
        "gate": {
            "kind": "paired",
            "gain": 0.1,
            "low": -0.1,
            "high": 0.3,
            "reason": "not sure",
            "before": 0.4,
            "after": 0.5,
        },
        "ended_at": "2026-11-30T03:00:00+00:00",
    }
    store.runs.training.save("tr_1", ended, outcome="kept")
    text = page.text("/nights?night=tr_1")

    assert "no gain &lt;i&gt;at all&lt;/i&gt;" in text
    assert "too old" in text
    assert "Loss, by step" in text
    assert "+0.100" in text
    assert "version 1 was added, and went live" in text
    assert page.text("/nights.csv?night=tr_1").splitlines()[0] == "step,kl,loss,reward"
    assert "there is no night" in page.text("/nights?night=../../etc", code=404)


def test_progress_of_any_shape_is_no_error(page, store):
    store.runs.training.begin("tr_1", {})
    store.runs.training.save("tr_1", {"learned_from": [1], "gate": "x", "reason": {"a": 1}}, outcome="failed: x")

    page.text("/nights")


def test_while_a_job_runs_the_page_follows_it(page, store, skill):
    store.runs.training.begin("tr_1", {})
    assert "every 5s" not in page.text("/nights")
    with store.runs.alone("retrain"):
        assert "retrain runs" in page.text("/parts/now")
        assert 'hx-trigger="every 5s"' in page.text("/nights")


def test_the_map_shows_copies_and_gaps(page, store, skill):
    store.add_text(skill_text("adding-2", "How to add numbers"))
    store.add_text(skill_text("painting", "How to paint a wall"))
    store.runs.record(
        Task("sing <b>", family="songs"), [Rollout(generation=0, answer="", reward=0.0, passed=False)], run_id="gap"
    )
    text = page.text("/map")

    assert "cosine 1.000" in text
    assert "sing &lt;b&gt;" in text
    assert page.text("/map.csv").count("\n") == 4
    page.text("/map?colour=family")
    assert "use utility or family" in page.text("/map?colour=%3C", code=400)


def test_health_and_what_doctor_says(page, skill):
    assert "/parts/health" in page.text("/health")
    assert "All is well" in page.text("/parts/health")
    assert "quick_check ok" in page.text("/parts/doctor")


def test_a_page_that_does_not_exist_and_one_that_breaks_are_one_line(page, store, skill):
    assert "there is no such page" in page.text("/nowhere", code=404)
    assert page.post("/").status_code == 405
    store.close()
    assert page.get("/").status_code in (200, 500, 503)


@pytest.mark.both_backends
def test_every_page_reads_from_either_database(open_page, store, used):
    client = open_page()
    for path in (
        "/?q=add", "/?family=sums", "/skills/adding", "/runs", "/runs?id=with-", "/runs/with-1", "/inbox", "/generations", "/nights",
        "/map", "/map?colour=family", "/parts/health",
    ):  # fmt: skip
        client.text(path)
