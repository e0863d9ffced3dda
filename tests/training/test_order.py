import math
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from skill_plugin.training.data.order import Order, fitting_size, learning_rate, orders
from skill_plugin.training.data.survey import Survey
from skill_plugin.training.settings import TrainSettings

ORDERS = st.builds(
    Order, groups=st.integers(1, 40), epochs=st.integers(1, 5), size=st.integers(1, 12), seed=st.integers(0, 99)
)


@given(ORDERS)
def test_each_epoch_visits_each_group_once(order):
    visited = [place for number in range(order.steps) for place in order.step(number)]

    for epoch in range(order.epochs):
        assert sorted(visited[epoch * order.groups : (epoch + 1) * order.groups]) == list(range(order.groups))
    assert len(visited) == order.epochs * order.groups


@given(ORDERS, st.data())
def test_a_step_follows_from_its_number_alone(order, data):
    number = data.draw(st.integers(0, order.steps - 1))
    before = [order.step(one) for one in range(order.steps)]

    assert Order(order.groups, order.epochs, order.size, order.seed).step(number) == before[number]


@given(ORDERS)
def test_all_steps_but_the_last_have_their_size_and_none_is_empty(order):
    sizes = [len(order.step(number)) for number in range(order.steps)]

    assert set(sizes[:-1]) <= {min(order.size, order.groups)}
    assert 1 <= sizes[-1] <= order.size
    assert max(Counter(order.step(0)).values()) == 1


def test_epochs_and_seeds_have_orders_of_their_own():
    order = Order(20, 2, 20, 0)

    assert order.step(0) != order.step(1)
    assert order.step(0) != Order(20, 2, 20, 1).step(0)


def test_without_groups_there_are_no_steps():
    assert Order(0, 3, 8, 0).steps == 0


def test_the_rate_rises_over_the_warm_up_and_falls_as_a_cosine():
    settings = TrainSettings(learning_rate=1.0, warmup=0.2)

    rates = [learning_rate(step, 10, settings) for step in range(10)]

    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[3:] == pytest.approx([0.5 * (1 + math.cos(math.pi * done / 8)) for done in range(1, 8)])


@given(st.integers(1, 200), st.floats(0, 0.99))
@example(110, 0.953125)  # 3e-4 * 105 / 105 is more than 3e-4
def test_the_rate_is_never_0_nor_above_the_highest(steps, warmup):
    settings = TrainSettings(learning_rate=3e-4, warmup=warmup)

    rates = [learning_rate(step, steps, settings) for step in range(steps)]

    assert all(0 < rate <= 3e-4 for rate in rates)
    assert max(rates) == pytest.approx(3e-4)


@pytest.mark.parametrize(("groups", "size"), [(1, 1), (7, 1), (16, 2), (63, 7), (64, 8), (1000, 8)])
def test_a_night_of_few_groups_takes_small_steps(groups, size):
    assert fitting_size(groups) == size


def test_a_first_night_of_16_groups_takes_24_steps_and_what_is_given_counts():
    first = Survey(places=[*range(16)], accepted=[*range(40)])

    warm, order = orders(first, TrainSettings(sft_epochs=1))
    assert (warm.steps, order.steps) == (8, 24)
    assert [one.size for one in orders(first, TrainSettings(groups_per_step=4))] == [4, 4]
