"""Records in a notebook: small tables in which no text is markup."""

from fakes import skill_text
from skill_plugin.hits import SkillHits

HOSTILE = "<script>alert('x')</script> & <b>bold</b>"


def test_a_skill_its_hits_a_page_and_the_store_are_tables(store):
    skill = store.add_text(skill_text("adding", f"How to add {HOSTILE}", f"Add. {HOSTILE}"))
    hits = store.search("add numbers", min_score=0)
    shown = [one._repr_html_() for one in (skill, hits[0], hits, store.query(), store)]

    for html in shown:
        assert html.startswith("<table>")
        assert "<script>" not in html
        assert "<b>" not in html
    assert all("adding" in html for html in shown[:4])
    assert "&lt;script&gt;" in shown[0]
    assert "live skills" in shown[4]
    assert repr(store).startswith("SkillStore(")


def test_no_hits_say_why():
    assert "nothing &lt;here&gt;" in SkillHits(reason="nothing <here>")._repr_html_()


def test_a_store_that_cannot_answer_is_still_shown(store, skill):
    store.database.path = "/nowhere/skills.db"

    assert "was removed or replaced" in store._repr_html_()


def test_a_long_cell_is_cut_and_a_text_is_whole(store):
    skill = store.add_text(skill_text("long", "How to add " + "a" * 800, "b" * 3000))

    assert "a" * 301 not in store.query()._repr_html_()
    assert "b" * 3000 in skill._repr_html_()
