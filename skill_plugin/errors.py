"""Every error this library raises on purpose.

    SkillPluginError
    ├── ConfigurationError (ValueError)      a setting, a model string or an argument that cannot work
    ├── MissingExtraError (ImportError)      a feature whose optional packages are not installed
    ├── InvalidSkillError (ValueError)       a SKILL.md text that breaks the format's rules
    ├── InvalidTaskError (ValueError)        a task, or a line of a tasks file, that cannot be used
    ├── InvalidHistoryError (ValueError)     a file of recorded runs, or a row of one, that cannot be taken in
    ├── ModelError (RuntimeError)            a model whose reply is empty or unreadable
    ├── VerifierError (RuntimeError)         a verifier that crashed, hung or returned no verdict
    ├── SandboxError (RuntimeError)          code in a sandbox that raised, or passed a limit
    ├── GeneratorError (RuntimeError)        a generator that crashed or returned no revision
    ├── TrainingError (RuntimeError)         a trainer that died
    └── StoreError
        ├── StoreUnavailableError (OSError)  a home, database or index that cannot be opened or written
        │   └── NoStoreError                 a place where no store was made yet
        ├── SchemaTooNewError                a database written by a newer release
        ├── NamespaceError (ValueError)      a missing, malformed or unknown namespace
        ├── SkillNotFoundError (LookupError) no such skill or version in this namespace
        ├── RunNotFoundError (LookupError)   no such run in this namespace
        ├── CheckpointNotFoundError (LookupError)  no such checkpoint in this namespace
        ├── DuplicateSkillError (ValueError) a name that is taken
        ├── CapacityError                    a namespace that is full of protected skills
        ├── BusyError                        a job that another process is doing
        ├── AlreadyDecidedError              a decision that somebody else has taken meanwhile
        └── EmbedderMismatchError (ValueError)  an embedder that differs from the index's

A message says what was wrong, shows the value, and ends with what to do next. Each class is also the standard
error it replaces, so that `except LookupError` works. To add one: put it here, in the tree above, and raise it
with a message of that form; the command line prints it as one line.
"""

from skill_plugin.url_passwords import masked

LONGEST = 1000


class SkillPluginError(Exception):
    """Base of all errors of this library.

    A message is one line; a long value loses its middle, not the advice after it, and a URL its password.
    """

    def __init__(self, message: object = "") -> None:
        line = masked(" ".join(str(message).splitlines()))
        half = LONGEST // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}")


class ConfigurationError(SkillPluginError, ValueError):
    """A setting, a model string or an argument cannot work."""


class MissingExtraError(SkillPluginError, ImportError):
    """A feature needs packages that are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs packages that are not installed; run: pip install 'skill-plugin[{extra}]'")


class InvalidSkillError(SkillPluginError, ValueError):
    """A SKILL.md text breaks the rules of the format."""


class InvalidTaskError(SkillPluginError, ValueError):
    """A task cannot be used as it is."""


class InvalidHistoryError(SkillPluginError, ValueError):
    """A file of recorded runs cannot be read, or a row of one cannot be taken in; of a row it says the reason alone."""


class ModelError(SkillPluginError, RuntimeError):
    """A model's reply is empty or unreadable, or a judge's or a generator's was cut off. A failed call, never a reward of 0."""


class VerifierError(SkillPluginError, RuntimeError):
    """A verifier crashed, hung, or returned something that is not a verdict. Never a reward of 0."""


class SandboxError(SkillPluginError, RuntimeError):
    """Code in a sandbox raised, gave what is not plain data, or passed a limit."""


class GeneratorError(SkillPluginError, RuntimeError):
    """A generator crashed or returned no revision. A malformed text is a `Revision` with an `error` instead."""


class TrainingError(SkillPluginError, RuntimeError):
    """A trainer's process died; what it had saved remains."""


class StoreError(SkillPluginError):
    """Base of the store's errors."""


class StoreUnavailableError(StoreError, OSError):
    """The home folder, the database or the index cannot be opened or written."""


class NoStoreError(StoreUnavailableError):
    """No store was made at this place yet."""


class SchemaTooNewError(StoreError):
    """The database was written by a newer release."""


class NamespaceError(StoreError, ValueError):
    """A namespace is missing, malformed or unknown."""


class SkillNotFoundError(StoreError, LookupError):
    """No such skill or version in this namespace."""


class RunNotFoundError(StoreError, LookupError):
    """No such run in this namespace."""


class CheckpointNotFoundError(StoreError, LookupError):
    """No such checkpoint in this namespace."""


class DuplicateSkillError(StoreError, ValueError):
    """The name is taken in this namespace."""


class CapacityError(StoreError):
    """The namespace is full, and everything in it is protected."""


class BusyError(StoreError):
    """Another process is doing this job on the same namespace."""


class AlreadyDecidedError(StoreError):
    """Somebody has decided on the skill since it was looked at."""


class EmbedderMismatchError(StoreError, ValueError):
    """The embedder differs from the one the namespace's vectors were made with."""
