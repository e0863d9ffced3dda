"""Reading recorded runs: files of any shape, and runs that nobody judged."""

import json

from recorded import sql, tau, write
from skill_plugin.histories import Episode, Refusal, read


def test_objects_over_many_lines_one_after_the_other(tmp_path):
    path = tmp_path / "many.log"
    whole = "\n".join(json.dumps(tau(trial, 1), indent=4) for trial in range(3))
    path.write_text(whole, encoding="utf-8")
    assert [one.where for one in read("auto", path)] == ["many.log:1", "many.log:2", "many.log:3"]

    path.write_text(f"{whole[:-20]}", encoding="utf-8")
    assert [type(one) for one in read("auto", path)] == [Episode, Episode, Refusal]


def test_runs_without_a_reward_are_read_where_that_is_wanted(tmp_path):
    rows = [{**row, "reward": None} for row in (tau(0, 1), sql(0, 1), {"query": "1 + 1?", "output": "2"})]
    for row in rows:
        path = write(tmp_path / "log.jsonl", [row])
        assert [one.reason for one in read("auto", path)] == ["no reward"]
        [episode] = read("auto", path, judged=False)
        [attempt] = episode.rollouts
        assert (attempt.rollout.reward, attempt.rollout.passed, episode.notes) == (None, None, ())
    path = write(tmp_path / "log.jsonl", [tau(0, 7)])
    assert [one.reason for one in read("auto", path, judged=False)] == ["reward is not a number from 0 to 1"]
