"""Numbers, scores, code and JSON in the forms in which they are written."""

import pytest

from fakes import ScriptedChat
from skill_plugin import Task, verifiers
from skill_plugin.errors import VerifierError
from skill_plugin.verifiers.adherence import chat_adherence
from skill_plugin.verifiers.numbers import last_number, last_score


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42), ("-42", -42), ("\u221242", -42), ("+4.5e3", 4500), (".5", 0.5), ("It is 1,234.", 1234),
        ("1,234.50", 1234.5), ("1.234,50 \u20ac", 1234.5), ("0,8", 0.8), ("1.234.567", 1234567), ("12,34", 12.34),
        ("1\u202f234,5", 1234.5), ("1'234", 1234), ("$1,200", 1200), ("1 million", 1e6), ("3 thousand", 3000),
        ("1/2", 0.5), ("3/4 of it", 0.75), ("50%", 50), ("50 per cent", 50), ("**42**", 42), ("\\boxed{42}", 42),
        ("42 (step 3)", 42), ("**Answer:** 42\n\nSources: [1], [2, 3]", 42), ("(see 3)", 3), ("[1]", None), ("none", None),
        ("version v2", None),
    ],
)  # fmt: skip
def test_the_last_number_of_a_text(text, value):
    found = last_number(text)

    assert (found[0] if found else None) == value


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        ("0.5", "50%", True), ("50", "50 %", True), ("50%", "0.5", True), ("0.5", "1/2", True), ("42", "41 of 42", True),
        ("1234.5", "Insgesamt 1.234,50 \u20ac", True), ("42", "42 (in step 7)", True), ("7", "42 (in step 7)", False),
        ("50", "0.5", False),
    ],
)  # fmt: skip
def test_numeric_reads_them(reference, answer, right):
    assert verifiers.run(verifiers.numeric(), Task("t", reference=reference), answer).passed is right


FORMS = [
    ("SCORE: 0.8", 0.8), ("**SCORE: 0.8**", 0.8), ("Score: 0.8", 0.8), ("SCORE: 8/10", 0.8), ("SCORE: 0.8.", 0.8),
    ("Good. SCORE: 0.8", 0.8), ("SCORE: 0,8", 0.8), ("SCORE: .8", 0.8), ("SCORE: 80%", 0.8), ("score is 80 per cent", 0.8),
    ("SCORE: 1 (fully right)", 1), ("SCORE: **1**", 1), ("- SCORE : `1.0`", 1), ("SCORE\uff1a1", 1), ("**Score:** 4 out of 5", 0.8),
    ("SCORE: 8", None), ("SCORE: -1", None), ("SCORE: 7/5", None), ("SCORE: 1-2", None), ("SCORE: high", None), ("SCORE: 0/0", None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "score"), FORMS)
def test_a_judge_may_write_its_score_as_people_do(line, score):
    assert last_score(f"It is right.\n{line}") == (score, "It is right.")
    judge = verifiers.llm_judge(ScriptedChat([f"<think>\nSCORE: 0\n</think>\nIt is right.\n{line}"]))
    if score is None:
        with pytest.raises(VerifierError, match="gave no line 'SCORE"):
            judge.verify(Task("t"), "a")
    else:
        verdict = judge.verify(Task("t"), "a")
        assert (verdict.reward, verdict.feedback) == (score, "It is right.")


def test_the_last_score_counts_and_adherence_is_read_alike():
    assert last_score("SCORE: 0.2\nno:\nSCORE: 1") == (1, "SCORE: 0.2\nno:")
    assert last_score("nothing") == (None, "nothing")
    assert chat_adherence(ScriptedChat(["**Followed: 90%**"]))(Task("t"), "a", "s") == 0.9


SCHEMA = {"type": "object", "required": ["a"]}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ('{"a": 1}', True), ('Here you go:\n{"a": 1}', True), ('<think>{"b": 1}</think>{"a": 1}', True),
        ('```json\n{"a": 1}\n```\nThat is all.', True), ('{"b": 1}, or rather {"a": {"c": [1]}}', True), ("a = 1", False), ("[1]", False),
    ],
)  # fmt: skip
def test_json_may_stand_in_a_text(answer, right):
    assert verifiers.run(verifiers.json_schema(SCHEMA), Task("t"), answer).passed is right


def test_code_may_be_followed_by_an_example():
    answer = "```python\ndef f(x): return x * x\n```\nExample:\n```\n>>> f(2)\n4\n```"

    assert verifiers.run(verifiers.python_tests(["assert f(2) == 4"]), Task("t"), answer).passed


def test_punctuation_of_every_script_is_left_out():
    assert verifiers.run(verifiers.normalized_text(), Task("t", reference="\u662f\u7684"), "\u662f\u7684\u3002").passed
    assert verifiers.run(verifiers.normalized_text(), Task("t", reference="yes"), "\u201cYes\u201d").passed
