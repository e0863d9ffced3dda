"""Generators by name: the back-ends behind `vllm:MODEL`, `local:PATH` and their adapters."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from skill_plugin.checkpoints import LIVE, id_of_adapter
from skill_plugin.errors import ConfigurationError
from skill_plugin.generators.local import LocalGenerator
from skill_plugin.generators.vllm import VllmGenerator
from skill_plugin.models.adapter_files import adapter_sha256
from skill_plugin.models.named_models import resolved
from skill_plugin.models.starters import STARTER, starter_folder
from skill_plugin.protocols import Backend, Generator

if TYPE_CHECKING:
    from skill_plugin.checkpoints import Checkpoint
    from skill_plugin.settings import Settings


class GeneratorName(NamedTuple):
    """A generator's name in its parts, `BACKEND:MODEL@ADAPTER`; the adapter `live` is the checkpoint that is live."""

    backend: str
    model: str
    adapter: str | None = None

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Returns the parts of a name; None is the name of a chat model, which begins with no back-end in `BACKENDS`.

        Raises:
            ConfigurationError: no model is named, or an adapter without a name.
        """
        backend, _, rest = name.partition(":")
        if backend not in BACKENDS:
            return None
        model, at, adapter = rest.partition("@")
        if not model or (at and not adapter):
            raise ConfigurationError(
                f"the generator {name!r} names no model; use vllm:MODEL, vllm:MODEL@NAME or local:PATH"
            )
        return cls(backend, model, adapter or None)

    @property
    def fixed_adapter(self) -> str | None:
        """The adapter that is named; None is the base model, or whichever is live."""
        return None if self.adapter == LIVE else self.adapter

    def __str__(self) -> str:
        return f"{self.backend}:{self.model}" + (f"@{self.adapter}" if self.adapter else "")


class VllmBackend:
    """A vLLM server, which knows an adapter by its name.

    Raises:
        ConfigurationError: the settings have no URL of the server.
    """

    def __init__(self, name: GeneratorName, settings: "Settings") -> None:
        self._name, self._settings = name, settings
        self.url = server_url(name, settings)
        if settings.generator_dtype is not None:
            raise ConfigurationError(no_dtype(name, "start vLLM with --dtype"))

    def make(self, checkpoint: "Checkpoint | None") -> Generator:
        adapter, folder = (checkpoint.id, checkpoint.path) if checkpoint else (self._name.fixed_adapter, None)
        timeout, max_change = self._settings.model_timeout, self._settings.max_change
        given = self._settings.of_generator("max_tokens", "temperature", "top_p")
        return VllmGenerator(
            self.url, self._name.model, adapter, folder, timeout=timeout, max_change=max_change, **given
        )


class LocalBackend:
    """A model in this process, a folder or a short name of `skill-plugin models list`, whose adapter is a folder."""

    def __init__(self, name: GeneratorName, settings: "Settings") -> None:
        self._name, self._settings = name, settings

    def make(self, checkpoint: "Checkpoint | None") -> Generator:
        id_, folder = (checkpoint.id, checkpoint.path) if checkpoint else self._fixed()
        path = resolved(self._name.model, self._settings.home)
        given = self._settings.of_generator("max_tokens", "temperature", "top_p", "dtype")
        if "max_tokens" in given:
            given["max_new_tokens"] = given.pop("max_tokens")
        return LocalGenerator(path, folder, checkpoint=id_, max_change=self._settings.max_change, **given)

    def _fixed(self) -> tuple[str | None, str | Path | None]:
        """Returns the adapter that the name has: its name in the histories, and its folder."""
        if (adapter := self._name.fixed_adapter) != STARTER:
            return None, adapter
        folder = starter_folder(self._name.model)
        return id_of_adapter(adapter_sha256(folder)), folder


BACKENDS: dict[str, Callable[[GeneratorName, "Settings"], Backend]] = {"vllm": VllmBackend, "local": LocalBackend}
"""Back-ends by the first word of a generator's name. One of your own is one more entry."""


def no_dtype(name: object, instead: str) -> str:
    """Returns the error of a generator whose weights are loaded elsewhere."""
    return f"generator_dtype is for generators in this process (local:PATH), and {str(name)!r} is not one; {instead}"


def server_url(name: GeneratorName, settings: "Settings") -> str:
    """Returns the URL of a generator's server.

    Raises:
        ConfigurationError: the settings have none.
    """
    if (url := settings.generator_url or settings.base_url) is None:
        raise ConfigurationError(
            f"the generator {str(name)!r} needs its server's URL; set generator_url, such as http://localhost:8000/v1"
        )
    return url
