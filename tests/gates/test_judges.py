"""Which held-out tasks judge a decision."""

from collections import Counter

from skill_plugin.gates.judges import draw_judges
from skill_plugin.records import Task


def tasks(family: str, count: int) -> list[Task]:
    return [Task(f"{family} {number}", family=family, split="heldout") for number in range(count)]


def test_a_decision_draws_the_same_judges_whatever_the_order_of_the_tasks() -> None:
    all_ = tasks("orders", 20)
    assert draw_judges(all_, 8, {}, "sk_a@2") == draw_judges(all_[::-1], 8, {}, "sk_a@2")
    assert draw_judges(all_, 8, {}, "sk_a@2") != draw_judges(all_, 8, {}, "sk_a@3")


def test_nobody_is_drawn_twice_and_all_are_where_there_are_few() -> None:
    all_ = tasks("orders", 5)
    assert {task.id for task in draw_judges([*all_, all_[0]], 8, {}, "s")} == {task.id for task in all_}
    assert len(draw_judges(all_, 3, {}, "s")) == 3
    assert draw_judges(all_, 0, {}, "s") == draw_judges([], 3, {}, "s") == []


def test_a_task_is_drawn_as_often_as_its_weight_says() -> None:
    new, old = tasks("orders", 2)
    counted = Counter(draw_judges([new, old], 1, {old.content_hash: 3}, str(draw))[0].input for draw in range(4000))
    assert abs(counted[old.input] / 4000 - 0.2) < 0.03  # 1/4 to 1


def test_all_are_covered_after_a_few_decisions() -> None:
    all_, covered, decisions = tasks("orders", 20), Counter[str](), 0
    while len(covered) < len(all_):
        covered.update(task.content_hash for task in draw_judges(all_, 8, covered, f"decision {decisions}"))
        decisions += 1
    assert decisions <= 8  # 5 in the mean of 500 seeds, 7 in 95 of 100


def test_families_take_turns_and_one_with_many_tasks_has_no_more_of_them() -> None:
    drawn = draw_judges([*tasks("orders", 30), *tasks("boxes", 3), *tasks("dates", 3)], 7, {}, "ckpt_a")
    assert Counter(task.family for task in drawn[:6]) == {"orders": 2, "boxes": 2, "dates": 2}
    assert len({task.family for task in drawn[:3]}) == 3


def test_where_not_all_families_have_a_turn_it_goes_to_those_that_had_fewer() -> None:
    orders, boxes = tasks("orders", 4), tasks("boxes", 4)
    covered = {task.content_hash: 9 for task in orders}
    first = Counter(draw_judges([*orders, *boxes], 1, covered, str(seed))[0].family for seed in range(2000))
    assert abs(first["orders"] / 2000 - 1 / 11) < 0.03
