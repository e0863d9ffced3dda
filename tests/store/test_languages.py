"""Tasks and skills that are not in English: what finds them, and that an unrelated question gets none."""

import json
from pathlib import Path

import pytest

from skill_plugin.store.search.languages import language_group
from skill_plugin.store.search.lexical import terms
from skill_plugin.store.search.unrelated import UNRELATED

TEXTS = json.loads((Path(__file__).parents[2] / "benchmarks" / "languages.json").read_text(encoding="utf-8"))


@pytest.fixture
def library(open_store, minilm, request):
    store = open_store(embedder=minilm)
    for number, description in enumerate(TEXTS[request.param]["skills"]):
        store.add(name=f"skill-{number}", description=description, body="1. Do it.")
    return store


def found(store, tasks, **options):
    return [hits[0].name if (hits := store.search(task, k=1, **options)) else None for task in tasks]


@pytest.mark.parametrize(
    ("library", "language", "at_least"),
    [("en", "en", 10), ("de", "de", 4), ("zh", "zh", 4), ("ja", "ja", 4), ("ru", "ru", 6), ("ar", "ar", 8)],
    indirect=["library"],
)
def test_of_forty_unrelated_questions_two_at_most_get_a_skill(library, language, at_least):
    texts = TEXTS[language]

    assert sum(name is not None for name in found(library, texts["unrelated"])) <= 2
    right = [f"skill-{number}" for number in range(12)]
    assert sum(name == wanted for name, wanted in zip(found(library, texts["asked"]), right, strict=True)) >= at_least


@pytest.mark.parametrize("language", [name for name in TEXTS if name != "en"])
@pytest.mark.parametrize("library", ["en"], indirect=True)
def test_nor_in_a_library_that_is_in_english(library, language):
    assert sum(name is not None for name in found(library, TEXTS[language]["unrelated"])) <= 2


@pytest.mark.parametrize("library", ["zh"], indirect=True)
def test_who_asks_for_no_floor_has_none_in_any_language(library):
    assert all(found(library, TEXTS["zh"]["unrelated"][:3], min_score=-1))


@pytest.mark.parametrize("library", ["ru"], indirect=True)
def test_the_reason_names_the_floor_that_was_measured(library):
    reason = library.search("Какая завтра погода?").reason

    floor = float(reason.rpartition(" ")[2])
    assert "under the floor of" in reason
    assert 0.4 < floor < 0.9


@pytest.mark.parametrize("library", ["de"], indirect=True)
def test_doctor_says_what_the_default_model_cannot_do(library):
    detail = next(check.detail for check in library.check() if check.name == "embedder")

    assert "it learned English, and 11 of 12 live skills are in another language" in detail


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("add 2 and 2", None),
        ("refund a duplicate charge", None),
        ("", None),
        ("SELECT sum(amount) FROM payments WHERE year = 2024", None),
        ("Traceback (most recent call last): KeyError: 'übung' in the file", None),
        ("Translate the word 退款 for the customer", None),
        ("Rechnung für den Kunden", "latin"),
        ("Was hilft gegen Fieber?", "latin"),
        ("¿Dónde está la factura?", "latin"),
        ("Jak zwrócić pieniądze?", "latin"),
        ("退还重复扣款", "han"),
        ("二重の代金を返金する", "kana"),
        ("カレンダー", "kana"),
        ("환불을 처리해 주세요", "hangul"),
        ("Вернуть деньги", "cyrillic"),
        ("إرجاع المبلغ", "arabic"),
        ("राशि लौटाएँ", "devanagari"),
        ("Επιστροφή χρημάτων", "other"),
    ],
)
def test_the_language_of_a_text_is_told_by_its_script_and_small_words(text, group):
    assert language_group(text) == group


@pytest.mark.parametrize("group", UNRELATED)
def test_every_group_has_questions_of_its_own(group):
    assert {language_group(question) for question in UNRELATED[group]} <= {group, None}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("退还扣款", ["退还", "还扣", "扣款"]),
        ("用API退款", ["用", "退款", "api"]),
        ("パスワードを", ["パス", "スワ", "ワー", "ード", "ドを"]),
        ("お願いします", ["お願", "願い"]),
        ("Сбросить пароли сотрудников", terms("сбросить пароль сотрудника")),
        ("Wer hat die Rechnung?", ["rechnung"]),
    ],
)
def test_words_of_other_scripts_are_pairs_or_stems(text, words):
    assert sorted(terms(text)) == sorted(words)
