"""Settings: a default yields to the settings file in the home folder, that to the environment, that to the caller.

The home folder itself comes from the caller or from `SKILL_PLUGIN_HOME`; the settings file cannot move it.
"""

import logging
import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from skill_plugin.errors import ConfigurationError
from skill_plugin.records import Tier
from skill_plugin.skills.tree_limits import MAX_FILES, MAX_TREE_BYTES, TreeLimits

ENV_PREFIX = "SKILL_PLUGIN_"
HOME_VARIABLE = f"{ENV_PREFIX}HOME"
DEFAULT_HOME = Path("~/.skill-plugin")
SETTINGS_FILE = "settings.toml"
_INTERNAL = ("CRASH_AT", "WATCH_PARENT", "TEST_POSTGRES")
"""Variables that are not settings: of our own processes to each other, and of the tests."""

_named: set[str] = set()
_log = logging.getLogger(__name__)

MODEL_TIMEOUT_S = 120.0
MODEL_RETRIES = 3


def home_folder(home: str | Path | None = None) -> Path:
    """Returns the home folder: the argument, else the environment, else `~/.skill-plugin`."""
    try:
        return Path(home or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).expanduser().absolute()
    except RuntimeError as exc:  # a user without an entry in the password file, as in many containers
        raise ConfigurationError(f"this user has no home folder; set {HOME_VARIABLE}, or pass --home FOLDER") from exc


class Settings(BaseSettings):
    """Settings of the command line. Every field is also an environment variable, `SKILL_PLUGIN_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    home: Path = DEFAULT_HOME
    """Holds the database, the index, the adapters and the settings file."""
    database: str | None = None
    """A SQL URL; by default SQLite in the home folder."""
    chroma: str | None = None
    """The index: a folder, or the URL of a Chroma server; by default a folder beside the database."""
    namespace: str = "default"
    """The partition to work in; nothing is ever read across it."""
    capacity: int = Field(default=5000, ge=0)
    """Live skills that a namespace may hold."""
    scanners: list[str] | None = None
    """What looks at every text before it is written: `built-in`, an installed scanner's name, `package.module:function`; by default
    `built-in` and all that are installed. An empty list looks at nothing."""
    min_tier: Tier = "unvetted"
    """The trust tier that a live skill needs to be shown: `unvetted` (all are), `tested`, `vetted` or `certified`."""
    max_skill_files: int = Field(default=MAX_FILES, ge=0)
    """Files that a skill may have beside its SKILL.md."""
    max_skill_bytes: int = Field(default=MAX_TREE_BYTES, ge=0)
    """Bytes that the files of a skill may have in all."""
    embedder: str = "minilm"
    """`minilm`, `minilm:FOLDER` or `hashing`."""
    model: str | None = None
    """The task LLM, such as `openai:gpt-5-mini`, or `local:smollm2-135m` in this process."""
    task_max_tokens: int | None = Field(default=None, ge=1)
    """The most tokens of one reply of the task LLM; by default the model's own limit."""
    task_temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """The temperature of the task LLM; by default the model's own."""
    generator: str | None = None
    """The model that writes skills: a chat model, `vllm:MODEL`, `vllm:MODEL@ADAPTER`, `local:PATH`, `local:smollm2-135m@starter`, or
    `vllm:MODEL@live` and `local:PATH@live` for the checkpoint that is live; by default the task LLM."""
    base_url: str | None = None
    """An OpenAI-compatible server to find the models at."""
    generator_max_tokens: int | None = Field(default=None, ge=1)
    """The most tokens of one text that the generator writes; by default 1024, or the limit of its provider."""
    generator_temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """The temperature of the generator; by default 1, or its provider's."""
    generator_top_p: float | None = Field(default=None, gt=0, le=1)
    """The nucleus of the generator; by default 1, or its provider's. What is written below 1 cannot be learned from."""
    generator_dtype: str | None = None
    """The data type of a local generator, such as `bfloat16`; by default the one that its model was saved in."""
    generator_url: str | None = None
    """The server to find the generator at; by default `base_url`."""
    base_model: str | None = None
    """The model that `retrain` trains if the generator is on a server: a folder, or a name on the Hugging Face Hub."""
    retrain: dict[str, Any] = Field(default_factory=dict)
    """Training settings by name, as of `retrain --set`."""
    max_change: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    """Share of a skill's body that a generator's edits may change; a whole new text is not limited."""
    model_timeout: float = Field(default=MODEL_TIMEOUT_S, gt=0, allow_inf_nan=False)
    """Seconds that a model's server may be silent before the call has failed."""
    model_retries: int = Field(default=MODEL_RETRIES, ge=0)
    """Number of times that a failed call of a model is tried again."""
    verifier: str | None = None
    """Judges answers to tasks that name no verifier: a verifier's name, or `package.module:function`."""
    max_generations: int = Field(default=3, ge=0)
    """Number of revisions that a task may cost."""
    function_runner: str = "sandbox"
    """What runs the functions of skills: `sandbox`, `unsafe-subprocess`, which contains nothing, or `package.module:object`."""
    read_only_tools: list[str] = Field(default_factory=list)
    """Tools of the agents that only read. Tested functions of live skills that call no other tool run without `skills allow`."""
    function_packages: list[str] = Field(default_factory=list)
    """Installed packages that the functions of skills may import, besides Python's library."""
    token: Annotated[SecretStr, Field(min_length=1)] | None = None
    """The token that callers of `skill-plugin serve --http` must send; never printed."""
    redact: bool | Literal["all"] = True
    """Put `[redacted:KIND]` in place of secrets in what is recorded; `all` also of e-mail addresses and telephone numbers."""
    redact_patterns: dict[str, str] = Field(default_factory=dict)
    """Regular expressions of your own to redact, by their kind."""
    retention_days: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Days after which the answers, feedback and errors of runs are emptied, when the store is opened; by default never."""
    debug: bool = False
    """Show a traceback for an unexpected error."""

    @classmethod
    def load(cls, *, home: str | Path | None = None, **overrides: Any) -> Self:
        """Returns the settings for a home folder. An override that is None was not given.

        Raises:
            ConfigurationError: the settings file, a variable or an override is wrong.
        """
        folder = home_folder(home)
        _name_misspelt(os.environ)
        given = {key: value for key, value in overrides.items() if value is not None}
        try:
            return cls(home=folder, **given)
        except SettingsError as exc:  # a variable of a list or a table that is not JSON
            name = str(exc).partition('"')[2].partition('"')[0]
            value = os.environ.get(variable := f"{ENV_PREFIX}{name.upper()}", "")
            raise ConfigurationError(
                f"{variable} is {value!r:.80}, which is not JSON; write a list like " + '["one", "two"]'
            ) from exc
        except ValidationError as exc:
            first = exc.errors()[0]
            name = ".".join(map(str, first["loc"]))
            value = "what it is" if name.startswith("token") else repr(first.get("input"))
            raise ConfigurationError(
                f"setting {name!r} cannot be {value}: {first['msg']}; look in "
                f"{folder / SETTINGS_FILE}, the environment ({ENV_PREFIX}{name.upper()}) and the command line"
            ) from exc

    def override(self, **given: Any) -> Self:
        """Returns the same settings with the values that the caller gives; None means not given."""
        return type(self).load(**{**self.model_dump(), **{k: v for k, v in given.items() if v is not None}})

    @property
    def tree_limits(self) -> TreeLimits:
        """How many files a skill may have, and how many bytes."""
        return TreeLimits(self.max_skill_files, self.max_skill_bytes)

    def of_generator(self, *names: str) -> dict[str, Any]:
        """Returns those of the settings `generator_NAME` that are set, by `NAME`."""
        return {name: value for name in names if (value := getattr(self, f"generator_{name}")) is not None}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings calls it by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _HomeFile(settings_cls, home_folder(init_settings()["home"]))


class _HomeFile(PydanticBaseSettingsSource):
    """`settings.toml` in the home folder, if there is one."""

    def __init__(self, settings_cls: type[BaseSettings], home: Path) -> None:
        super().__init__(settings_cls)
        self.path = home / SETTINGS_FILE

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        try:
            values = tomllib.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):  # a home that is a file fails where the store is opened
            return {}
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise ConfigurationError(f"the settings file {self.path} cannot be read: {exc}; correct it") from exc
        known = sorted(set(self.settings_cls.model_fields) - {"home"})
        if unknown := sorted(set(values) - set(known)):
            raise ConfigurationError(
                f"{self.path} sets {unknown[0]!r}, which is not a setting; known are {', '.join(known)}"
            )
        return values


def _name_misspelt(environment: Mapping[str, str]) -> None:
    """Warns, once, of variables with our prefix that set nothing; they may be meant for a later release, so it is not an error."""
    known = [name.upper() for name in Settings.model_fields]
    ours = {name: name.upper().removeprefix(ENV_PREFIX) for name in environment if name.upper().startswith(ENV_PREFIX)}
    wrong = {name: short for name, short in sorted(ours.items()) if short not in (*known, *_INTERNAL)}
    said = []
    for name in wrong.keys() - _named:
        near = get_close_matches(wrong[name], known, n=1)
        said.append(f"{name}, did you mean {ENV_PREFIX}{near[0]}?" if near else name)
    if said:
        _named.update(wrong)
        _log.warning("environment variables that are not settings: %s", "; ".join(sorted(said)))
