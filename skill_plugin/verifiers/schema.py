"""A verifier of structured answers: JSON that follows a JSON Schema."""

from dataclasses import dataclass
from typing import Any, ClassVar

from skill_plugin.errors import ConfigurationError
from skill_plugin.records import Task, Verdict
from skill_plugin.verifiers.fences import json_in


@dataclass(frozen=True)
class JSONSchema:
    """The answer is JSON and valid under `schema` (draft 2020-12 unless it names another)."""

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
        import jsonschema  # noqa: PLC0415

        try:
            value = json_in(answer)
        except (ValueError, RecursionError) as exc:
            return Verdict(0, feedback=f"the answer is not JSON: {exc}")
        # No registry is given, so a schema cannot make us fetch anything.
        validator = jsonschema.validators.validator_for(self.schema)(self.schema)
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
        if error is None:
            return Verdict(1)
        return Verdict(0, feedback=f"at {error.json_path}: {error.message}")
