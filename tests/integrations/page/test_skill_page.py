"""One skill on the page."""

import re

import pytest

from fakes import MACHINE, skill_text
from skill_plugin import Rollout, Task
from skill_plugin.budget import Prices
from skill_plugin.integrations.page import charts, diffs
from skill_plugin.integrations.page.texts import marked, money, visible


def test_it_says_whether_the_skill_helps_and_how_sure_that_is(page, used):
    text = page.text("/skills/adding")

    assert "It helps: +1.00 reward (95 % interval" in text
    assert "over 8 tasks done both ways" in text
    assert '<dd class="good">8</dd>' in text
    assert "add 3 and 1" in text
    assert "Utility of adding over 8 uses" in text


def test_versions_are_compared_side_by_side_and_drawn_as_a_tree(page, store, skill):
    store.revise_text("adding", MACHINE)
    store.promote("adding@2", reason="better")
    text = page.text("/skills/adding?from=1&to=2")

    assert "<del>your fingers.</del>" in text
    assert "<ins>a machine.</ins>" in text
    assert "Lineage of adding: 2 versions" in text
    assert "Go back to version 1" in text
    assert "better" in text


def test_what_does_not_exist_is_one_line(page, skill):
    for path, code, line in [
        ("/skills/addin", 404, "did you mean &#39;adding&#39;"),
        ("/skills/adding@7", 404, "has no version 7"),
        ("/skills/adding?before=x", 400, "before is &#39;x&#39;"),
        ("/skills/adding/secrets.csv", 404, "it has utility, lineage, families, tasks"),
        ("/skills/%3Cscript%3E", 404, "no skill &#39;&lt;script&gt;&#39;"),
    ]:
        assert line in page.text(path, code)


def test_the_data_of_every_chart_is_a_file(page, used):
    counted = ("utility", "lineage", "families", "tasks")
    lines = {what: page.text(f"/skills/adding/{what}.csv").count("\n") for what in counted}

    assert lines == {"utility": 9, "lineage": 2, "families": 2, "tasks": 9}
    text = page.text("/skills/adding")
    assert all(f"/{what}.csv" in text for what in counted)


def test_money_is_shown_where_prices_are_given(open_page, store, used):
    task = Task("add 0 and 1", family="sums", reference="1")
    dear = Rollout(
        generation=0, answer="?", arm="control", reward=0.0, withheld=used.ref, input_tokens=10, output_tokens=1_000_000
    )
    store.runs.record(task, [dear], run_id="dear")
    without, with_prices = open_page(), open_page(prices=Prices.parse("1/2"))

    assert "Dollars" not in without.text("/skills/adding")
    text = with_prices.text("/skills/adding")
    assert re.findall(r"<dd[^>]*>(\$[^<]*)</dd>", text) == ["$0.000020", "$0.22", "$1.78"]
    assert "Saved in 8 uses" in text


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "$0.00"), (0.00002, "$0.000020"), (0.25, "$0.25"), (1, "$1.00"), (1234.5, "$1,234.50")]
)
def test_dollars_have_their_cents_and_less_than_one_what_says_something(value, shown):
    assert money(value) == shown


def test_a_cell_that_a_spreadsheet_would_run_is_a_text(page, store, used):
    task = Task("=HYPERLINK(1)", family="sums")
    for arm in ("control", "skill"):
        ref = {"withheld": used.ref} if arm == "control" else {"skill": used.ref}
        rollout = Rollout(generation=0, answer="", arm=arm, reward=0.5, passed=False, **ref)
        store.runs.record(task, [rollout], run_id=f"sheet-{arm}")

    assert "'=HYPERLINK(1)" in page.text("/skills/adding/tasks.csv")


def test_a_text_of_100_kb_is_shown_and_compared(page, store, skill):
    task = Task("long " * 20_000)
    store.runs.record(task, [Rollout(generation=0, answer="x" * 100_000, skill=skill.ref, reward=1.0)], run_id="long")
    long = "\n".join(f"line {number} of a long text" for number in range(1900))
    store.revise_text("adding", skill_text(body=long))

    assert "cut here: 100,000 characters" in page.text("/runs/long")
    assert "line 1899" in page.text("/skills/adding?from=1&to=2")


def test_files_beside_the_text_are_shown_as_text(page, store):
    files = {"references/table.md": "<script>1</script>", "assets/mark.png": b"\x89PNG\x00"}
    store.add(name="filed", description="With files", body="Read the table.", files=files)
    text = page.text("/skills/filed")

    assert "2 files beside it" in text
    assert "references/table.md" in text
    assert "&lt;script&gt;1&lt;/script&gt;" in text
    assert "It is not a text." in text


def test_what_cannot_be_seen_is_named():
    assert visible("a\u202eb\x00<i>") == (
        'a<span class="unseen" title="a character that is not seen">U+202E</span>b'
        '<span class="unseen" title="a character that is not seen">U+0000</span>&lt;i&gt;'
    )
    assert visible("می‌خواهم") == "می‌خواهم"


def test_a_finding_is_marked_in_its_line():
    found = [{"line": 2, "kind": "injection", "rule": '"order"'}]

    assert marked("a\n<b>\nc", found) == 'a\n<mark title="injection: &#34;order&#34;">&lt;b&gt;</mark>\nc'


def test_equal_lines_far_from_a_difference_are_left_out():
    same = [f"line {number}" for number in range(20)]
    rows = diffs.side_by_side("\n".join([*same, "old"]), "\n".join([*same, "new", "more"]))

    assert [row.gap for row in rows if row.kind == "gap"] == [17]
    assert [(row.left_number, row.right_number) for row in rows if row.kind == "changed"] == [(21, 21), (None, 22)]


def test_a_lineage_of_a_thousand_versions_and_one_that_eats_its_tail_are_drawn():
    chain = [charts.TreeNode(one, one - 1 or None, "staged", "#", f"{one}") for one in range(1, 1001)]
    assert charts.tree("long", chain).count("<circle") == 1000
    assert charts.tree("loop", [charts.TreeNode(1, 2, "live", "#", ""), charts.TreeNode(2, 1, "live", "#", "")]) == ""


def test_a_chart_holds_no_markup_and_no_number_that_is_none():
    chart = charts.line_chart(
        "<b>", [charts.Series(name='"x"', points=[(0, float("nan")), (1, 2.0)])], charts.Axes(x="x", y="y")
    )

    assert "<b>" not in chart
    assert "nan" not in chart
    assert charts.line_chart("none", [], charts.Axes(x="x", y="y")) == ""
