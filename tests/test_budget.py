"""What a job may spend."""

import pytest

from skill_plugin.budget import Budget, Prices, Spending, Usage
from skill_plugin.errors import ConfigurationError


def test_without_limits_nothing_is_over():
    spending = Spending(Budget())
    spending.task.add(calls=10**9, input_tokens=10**12)

    assert spending.over(10**6) is None
    assert spending.dollars is None


def test_calls_of_both_models_count_and_so_does_what_an_earlier_start_spent():
    spending = Spending(Budget(calls=10), task=Usage(5), generator=Usage(3))

    assert spending.over(2) is None
    assert spending.over(3) == "8 of 10 calls are spent"


def test_dollars_by_the_prices_of_each_model():
    prices = Prices(1, 10)
    spending = Spending(Budget(dollars=3, prices=prices, generator_prices=Prices(0, 1)))
    spending.task.add(input_tokens=1_000_000, output_tokens=100_000)
    assert spending.dollars == 2
    assert spending.over() is None
    spending.generator.add(input_tokens=5, output_tokens=1_000_000)

    assert spending.over() == "3.00 of 3.00 dollars are spent"


def test_minutes_by_the_clock():
    now = [100.0]
    spending = Spending(Budget(minutes=2), clock=lambda: now[0])
    assert spending.over() is None
    now[0] += 120

    assert spending.over() == "2 minutes are over"


@pytest.mark.parametrize("price", [-1, float("inf"), float("nan")])
def test_prices_that_are_none(price):
    with pytest.raises(ConfigurationError, match="give a number from 0"):
        Prices(price, 1)


def test_a_limit_of_ones_own_is_asked_before_each_call():
    asked = []
    spending = Spending(Budget(calls=5, stop=lambda calls: asked.append(calls) or ("enough" if calls > 1 else None)))

    assert (spending.over(), spending.over(2), spending.over(9)) == (None, "enough", "0 of 5 calls are spent")
    assert asked == [1, 2]
