"""Revisions from the checkpoint that is live at the moment when one is asked for."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from skill_plugin.checkpoints import Checkpoint
from skill_plugin.errors import SkillPluginError
from skill_plugin.protocols import Generator
from skill_plugin.records import Generation, Revision, Task

logger = logging.getLogger(__name__)


class LiveGenerator:
    """Follows promotions and rollbacks: an agent that has run for weeks writes with this morning's checkpoint.

    The registry is asked before every prompt, so all candidates of one prompt are one checkpoint's. If it cannot be
    asked, or the live checkpoint cannot be used, a warning is logged and the one before stays in use: its texts are
    logged under its own name, and so are right to learn from.

    Args:
        model: The base model, as histories call it.
        live_checkpoint: Asks the registry, such as `store.checkpoints.live`; None is the base model alone.
        make: Makes the generator of a checkpoint. Two exist while one replaces the other.

    Raises:
        ConfigurationError: the files of the checkpoint that is live now have changed, or `make` cannot use them.
    """

    def __init__(
        self,
        model: str,
        live_checkpoint: Callable[[], Checkpoint | None],
        make: Callable[[Checkpoint | None], Generator],
    ) -> None:
        self.model = model
        self._live_checkpoint, self._make = live_checkpoint, make
        self._turn = threading.Lock()  # without it two threads would make two generators
        self._use(live_checkpoint())

    @property
    def in_process(self) -> bool:
        """Whether the generator runs in this process; see `Trials`."""
        return bool(getattr(self.generator, "in_process", False))

    def propose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        return self.current().propose(task, history, n=n)

    async def apropose(self, task: Task, history: Sequence[Generation], *, n: int = 1) -> list[Revision]:
        writer = await asyncio.to_thread(self.current)
        apropose = getattr(writer, "apropose", None)
        if apropose is None:
            return await asyncio.to_thread(writer.propose, task, history, n=n)
        return await apropose(task, history, n=n)  # type: ignore[no-any-return] # the twin of propose

    def current(self) -> Generator:
        """Returns the generator of the live checkpoint, made anew if that has changed."""
        with self._turn:
            try:
                found = self._live_checkpoint()
                if (found and found.id) != self.checkpoint:
                    before = self.checkpoint
                    self._use(found)
                    logger.info("%s writes now, in place of %s", self.checkpoint or self.model, before or self.model)
            except SkillPluginError as exc:
                logger.warning("what is live now cannot be used, %s writes on: %s", self.checkpoint or self.model, exc)
            return self.generator

    def _use(self, found: Checkpoint | None) -> None:
        if found is not None:
            found.verify()
            if Path(found.base_model).name != Path(self.model).name:
                logger.warning(
                    "%s is live and was trained on %r, but is loaded onto %r; see that these are one model",
                    found.id,
                    found.base_model,
                    self.model,
                )
        self.generator = self._make(found)
        self.checkpoint = found and found.id
