"""What a text is worth, and which tasks say so."""

import pytest

from skill_plugin.credit import CREDITS, Credit, siblings, text_reward
from skill_plugin.errors import ConfigurationError
from skill_plugin.records import Task


@pytest.mark.parametrize(
    ("credit", "own", "later", "used", "worth"),
    [
        ("skill-r1", [1.0, 0.0], [[0.0], [0.0]], 0, 0.5),
        ("evolving-rl", [1.0, 1.0], [[0.0], [1.0]], 0, 0.5),
        ("evolving-rl", [1.0], [[0.0]], 0, 1.0),  # one sibling is too few
        ("evolving-rl", [1.0], [[0.0], []], 0, 1.0),  # one without a verdict is none
        ("evolving-rl", [], [[1.0], [1.0]], 0, 1.0),
        ("sage", [1.0], [[1.0], [0.0]], 0, 0.75),
        ("sage", [1.0], [[1.0], [0.0]], 0.5, 1.25),
        ("sage", [0.0], [[1.0], [0.0]], 1, 0.25),  # no bonus for what does not solve its own task
        ("skill-r1", [], [[1.0], [1.0]], 0, None),
    ],
)
def test_the_reward_of_a_text(credit, own, later, used, worth):
    assert text_reward(own, later, CREDITS[credit], used=used) == worth


@pytest.mark.parametrize("wrong", [{"later_weight": 1.5}, {"later_weight": -0.1}, {"bonus": -1.0}])
def test_weights_that_cannot_be(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Credit(**wrong)


def test_a_credit_by_name():
    assert Credit.of("sage") == Credit(0.5, 0.5)
    with pytest.raises(ConfigurationError, match="'luck' is not a way to credit a text; use one of skill-r1"):
        Credit.of("luck")


def task(text, **options):
    return Task(text, **{"split": "train", "family": "sums", **options})


def test_siblings_are_train_tasks_of_the_family_that_are_alike_and_not_copies():
    own = task("own")
    others = [task(f"other {n}") for n in range(6)]
    cosines = {"other 0": 0.99, "other 1": 0.1}
    chosen = siblings(
        own,
        [own, *others, task("held out", split="heldout"), task("elsewhere", family="other")],
        lambda one: cosines.get(one.input, 0.6),
        3,
    )

    assert chosen == sorted(others[2:], key=lambda one: one.content_hash)[:3]


def test_in_a_chain_the_tasks_that_follow_judge():
    links = [task(f"link {n}", chain="march", position=n) for n in range(4)]

    assert siblings(links[1], [*reversed(links), task("beside")], lambda _: 0.5, 4) == links[2:]
    assert siblings(links[3], links, lambda _: 0.5, 4) == []
