"""A verifier of structured answers: JSON that follows a JSON Schema."""

from dataclasses import dataclass
from typing import Any, ClassVar

from skill_plugin.errors import ConfigurationError, SandboxError
from skill_plugin.records import Task, Verdict
from skill_plugin.sandbox import SandboxLimits, SandboxPool
from skill_plugin.verifiers.fences import json_in

_MAX_FEEDBACK = 1000
_LIMITS = SandboxLimits(seconds=5)

# In a process of its own: a pattern or uniqueItems can take hours over an answer made for it. No registry is given, so a schema cannot
# make us fetch anything.
_checks = SandboxPool("""
import jsonschema

def check(schema, value):
    validator = jsonschema.validators.validator_for(schema)(schema)
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    return "" if error is None else f"at {error.json_path}: {error.message}"[:2000]
""")


@dataclass(frozen=True)
class JSONSchema:
    """The answer is JSON and valid under `schema` (draft 2020-12 unless it names another).

    The check has five seconds and a process of its own.
    """

    schema: dict[str, Any]
    name: ClassVar[str] = "json_schema"

    def __post_init__(self) -> None:
        import jsonschema  # noqa: PLC0415 - only this verifier needs it

        try:
            jsonschema.validators.validator_for(self.schema).check_schema(self.schema)
        except jsonschema.SchemaError as exc:
            raise ConfigurationError(f"{self.schema!r} is not a JSON Schema: {exc.message}; correct it") from exc

    @property
    def params(self) -> dict[str, Any]:
        return {"schema": self.schema}

    def verify(self, task: Task, answer: str) -> Verdict:  # noqa: ARG002 - the schema says what is right
        try:
            value = json_in(answer)
        except (ValueError, RecursionError) as exc:
            return Verdict(0, feedback=f"the answer is not JSON: {exc}")
        try:
            with _checks.lend(_LIMITS) as box:
                says = box.call("check", self.schema, value)
        except SandboxError as exc:
            says = f"the answer cannot be checked: {exc}"
        return Verdict(not says, feedback=says[:_MAX_FEEDBACK])
