"""Lineages of one family: few at first, more while tasks pass, one writer at a time, and a look at what went live."""

import asyncio

from skill_plugin.graphs.evolution.families import Family
from skill_plugin.records import Task

TASKS = [Task(f"task {n}", split="train") for n in range(4)]
JUDGE = Task("judge", split="heldout")


def family(judges=(JUDGE,), at_once=1, most=4):
    return Family(TASKS, judges, at_once=at_once, most=most, places=asyncio.Semaphore(most))


async def beginning(one, count):
    """How many of so many lineages are under way after a while, and what ends them."""
    end, under_way = asyncio.Event(), []

    async def lineage():
        async with one.begun():
            under_way.append(1)
            await end.wait()

    tasks = [asyncio.create_task(lineage()) for _ in range(count)]
    await settle()
    return under_way, end, tasks


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_lineage_begins_and_more_while_tasks_pass():
    one = family()
    under_way, end, tasks = await beginning(one, 4)
    assert len(under_way) == 1
    await one.widen()
    await settle()
    assert len(under_way) == 2
    end.set()
    await asyncio.gather(*tasks)
    assert len(under_way) == 4


async def test_where_nothing_can_go_live_nobody_waits():
    under_way, end, tasks = await beginning(family(judges=()), 4)

    assert len(under_way) == 4
    end.set()
    await asyncio.gather(*tasks)


async def test_a_failing_task_lets_only_a_few_begin_again():
    one = family()
    await one.widen()
    one.narrow()
    under_way, end, tasks = await beginning(one, 3)

    assert len(under_way) == 1
    end.set()
    await asyncio.gather(*tasks)


async def test_who_waits_for_a_turn_looks_again_when_something_goes_live():
    one, told = family(), []

    async def waiting():
        async with one.begun(), one.turn(one.live) as mine:
            told.append(mine)

    async with one.turn(0) as mine:
        assert mine
        waits = asyncio.create_task(waiting())
        await settle()
        assert told == []
        await one.went_live("sk_1@2")
        await waits
    assert (told, one.newest) == ([False], "sk_1@2")


async def test_the_turn_goes_to_the_next_when_nothing_went_live():
    one, told = family(), []

    async def waiting():
        async with one.begun(), one.turn(one.live) as mine:
            told.append(mine)

    async with one.turn(0):
        waits = asyncio.create_task(waiting())
        await settle()
    await waits
    assert told == [True]


def test_the_tasks_after_one_come_round():
    assert family().after(TASKS[2]) == [TASKS[3], TASKS[0], TASKS[1]]
