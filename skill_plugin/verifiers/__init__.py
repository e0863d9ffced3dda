"""Verifiers: each judges one answer, and says why.

A verifier is an object with `verify(task, answer) -> Verdict`, or a plain function of the same two arguments that
returns a float, a bool or a Verdict. The verifiers here have names and parameters, so that a logged task can be
verified again:

    verifiers.load({"name": "numeric", "params": {"tolerance": 0.01}})

`self_check(verifier, task)` gives a verifier its own gold answer, `task.reference`, and demands the full reward.
"""

from skill_plugin.verifiers.base import (
    FunctionVerifier,
    arun,
    as_verifier,
    fingerprint,
    gold_answer,
    run,
    self_check,
    spec,
)
from skill_plugin.verifiers.code import PythonTests
from skill_plugin.verifiers.judge import LLMJudge
from skill_plugin.verifiers.loading import VERIFIERS, load
from skill_plugin.verifiers.own import check_verifiers, otherwise, verifier_of
from skill_plugin.verifiers.schema import JSONSchema
from skill_plugin.verifiers.sql import SQLRows
from skill_plugin.verifiers.text import ExactMatch, NormalizedText, Numeric, Regex
from skill_plugin.verifiers.weighted import Weighted

exact_match = ExactMatch
normalized_text = NormalizedText
numeric = Numeric
regex = Regex
json_schema = JSONSchema
sql_rows = SQLRows
python_tests = PythonTests
llm_judge = LLMJudge
weighted = Weighted

for _factory in (ExactMatch, NormalizedText, Numeric, Regex, JSONSchema, SQLRows, PythonTests, LLMJudge, Weighted):
    VERIFIERS[_factory.name] = _factory

__all__ = [
    "VERIFIERS",
    "FunctionVerifier",
    "arun",
    "as_verifier",
    "check_verifiers",
    "exact_match",
    "fingerprint",
    "gold_answer",
    "json_schema",
    "llm_judge",
    "load",
    "normalized_text",
    "numeric",
    "otherwise",
    "python_tests",
    "regex",
    "run",
    "self_check",
    "spec",
    "sql_rows",
    "verifier_of",
    "weighted",
]
