"""The library on the page: searched as the agent searches it, and as a table with filters."""

from fakes import skill_text
from skill_plugin import Rollout, Task

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\" ' {{ 7*7 }} \u202eevil"


def test_a_library_without_skills_says_what_to_do(page):
    assert "skill-plugin skills add" in page.text("/")
    for path in ("/inbox", "/runs", "/generations", "/nights", "/map", "/health", "/parts/now", "/?q=anything"):
        page.text(path)
    assert "the library has no skills" in page.text("/?q=anything")


def test_the_table_says_whether_each_skill_helps(page, used):
    text = page.text("/")

    assert ">adding<" in text
    assert "+1.00" in text
    assert "sums" in text
    assert 'class="badge live"' in text


def test_a_search_says_why_a_skill_was_picked_and_what_came_close(page, store, used):
    store.add_text(skill_text("painting", "How to paint a wall"))
    text = page.text("/?q=How+to+add+numbers")

    assert "The agent would be shown" in text
    assert "(cosine)" in text
    assert "utility 1.00 over 8 uses" in text


def test_filters_live_in_the_address(page, used):
    for query, there in [
        ("status=live", True),
        ("status=retired", False),
        ("family=sums", True),
        ("family=others", False),
        ("author=human&tier=tested", True),
        ("author=import", False),
        ("pinned=yes", False),
        ("text=FINGERS", True),
        ("text=%25", False),
        ("order=name&down=1", True),
        ("order=created_at&down=0&page=2", False),
    ]:
        assert (">adding<" in page.text(f"/?{query}")) is there, query


def test_a_filter_that_cannot_be_is_one_line(page):
    for query, line in [
        ("order=password", "cannot order by &#39;password&#39;; use one of name"),
        ("page=0", "page is &#39;0&#39;; give a whole number from 1"),
        ("page=99999999999999999999", "give a whole number from 1"),
        ("page=٣", "give a whole number from 1"),
        ("down=yes", "use 1 for the highest first, or 0"),
        ("pinned=perhaps", "use yes or no"),
        ("status=%3Cb%3E", "is not a status"),
        ("author=%3Cscript%3E", "is not an author"),
        ("tier=gold", "tier"),
    ]:
        text = page.text(f"/?{query}", code=400)
        assert line in text
        assert "<script>" not in text


def test_pages_lead_to_each_other_and_keep_the_filters(page, store):
    for number in range(27):
        store.add_text(skill_text(f"skill-{number:02}", f"number {number}"))
    first, second = page.text("/?order=name&text=number"), page.text("/?order=name&text=number&page=2")

    assert "1 to 25 of 27" in first
    assert "/?text=number&amp;order=name&amp;page=2" in first
    assert "26 to 27 of 27" in second
    assert ">skill-26<" in second
    assert page.text("/skills.csv").count("\n") == 28


def test_texts_of_others_are_shown_as_text(page, store):
    for number, text in enumerate([HOSTILE, "مرحبا بكم في المكتبة", "שלום עולם"]):
        kept = text.replace('"', "").replace("\u202e", "")  # the scanner and YAML refuse these; an answer may hold them
        store.add_text(skill_text(f"guest-{number}", f'"{kept}"', body=kept))
        task = Task(text, family=text)
        store.runs.record(
            task, [Rollout(generation=0, answer=text, feedback=text, error=text)], run_id=f"guest-{number}"
        )
        paths = (
            "/",
            f"/skills/guest-{number}",
            f"/?q={text}",
            f"/?text={text}",
            "/map",
            "/runs",
            f"/runs/guest-{number}",
            "/generations",
        )
        for path in paths:
            shown = page.text(path)
            assert "<script>alert" not in shown
            assert "<img src=x" not in shown
            assert "{{ 49" not in shown
        assert 'dir="auto"' in page.text(f"/skills/guest-{number}")
    assert ">U+202E</span>" in page.text("/runs/guest-0")
