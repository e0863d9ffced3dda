"""The reference: log-probabilities of the frozen base, or the logged ones, and a check that the logged ones are of the named models."""

import logging
import struct
import zlib
from array import array
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import fmean

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from skill_plugin.errors import ConfigurationError
from skill_plugin.training.data.groups import Candidate, Group, Groups
from skill_plugin.training.model.policy import Policy
from skill_plugin.training.plan import TrainPlan
from skill_plugin.training.step import Pass, evened

_HEAD = struct.Struct("<QQI")

_log = logging.getLogger(__name__)


class ReferenceCache:
    """Log-probabilities by a group's place, as float32.

    A file of records (place, number of tokens, checksum, values), only ever appended to. Bytes after the last whole
    record, left by a kill or a power cut, are cut off.

    Args:
        path: The file; its name should hold the base model's hash and all else that decides about the values.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[int, tuple[int, int]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        size = path.stat().st_size
        with path.open("r+b") as file:
            end = 0
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                place, count, checksum = _HEAD.unpack(head)
                values = file.read(4 * count) if 4 * count <= size else b""
                if checksum != _checksum(place, count, values):
                    break
                self._places[place] = (end + _HEAD.size, count)
                end = file.tell()
            file.truncate(end)

    def get(self, place: int) -> Sequence[float] | None:
        """Returns the values that were put there, shape [N]; None if nothing was put there."""
        if place not in self._places:
            return None
        offset, count = self._places[place]
        values = array("f")
        with self._path.open("rb") as file:
            file.seek(offset)
            values.frombytes(file.read(4 * count))
        return values

    def put(self, place: int, values: Sequence[float]) -> None:
        content = array("f", values).tobytes()
        with self._path.open("ab") as file:
            file.write(_HEAD.pack(place, len(values), _checksum(place, len(values), content)))
            self._places[place] = (file.tell(), len(values))
            file.write(content)


def _checksum(place: int, count: int, values: bytes) -> int:
    return zlib.crc32(values, (place + count + 1) & 0xFFFFFFFF)  # of zeros, which a power cut may leave, it is not 0


class References:
    """The reference's log-probabilities of a run's groups. Of the base: each group is computed once (the base is frozen and the data static).

    Args:
        cache: The cache that keeps them.
        policy: The model.
        groups: The run's groups.
        places: Places of the groups that can be computed.
        plan: Says how far logged log-probabilities may be off, and which adapter is trained further.
        accelerator: Knows the other processes.
    """

    def __init__(
        self,
        cache: ReferenceCache,
        policy: Policy,
        groups: Groups,
        places: Sequence[int],
        plan: TrainPlan,
        accelerator: Accelerator,
    ) -> None:
        self._cache, self._policy, self._accelerator = cache, policy, accelerator
        self._groups, self._places = groups, places
        self._wanted = plan.loss.kl_weight > 0
        self._is_logged = plan.reference == "behaviour"
        self._tolerance, self._samples = plan.train.logprob_tolerance, plan.train.logprob_samples
        self._parent, self._seed, self._base = plan.parent_checkpoint, plan.train.seed, plan.base_model

    def check_logprobs(self) -> None:
        """Recomputes the log-probabilities of some groups before the first step, while the adapter is still its parent.

        Raises:
            ConfigurationError: more than half of them differ from the logged ones.
        """
        places = list(self._places)
        Random(self._seed).shuffle(places)  # noqa: S311 - a sample
        wrong: dict[str, float] = {}
        checked = 0
        for place in places[: self._samples]:
            group = self._groups[place]
            differences = [
                self._difference(group, number)
                for number, candidate in enumerate(group.candidates)
                if candidate.checkpoint in (None, self._parent)
            ][:1]
            checked += len(differences)
            if differences and not differences[0] <= self._tolerance:
                wrong[group.id] = differences[0]
        if 2 * len(wrong) > checked:
            worst, difference = max(wrong.items(), key=lambda item: item[1])
            raise ConfigurationError(
                f"the logged log-probs of {len(wrong)} of {checked} sampled groups are not those of {self._base!r}: of group "
                f"{worst} they differ by {difference:.3f} nats a token on average, and {self._tolerance:g} is allowed; train the "
                "model, revision and tokenizer that wrote them"
            )

    def prepare(self, passes: Sequence[Pass], refused: dict[str, str]) -> None:
        """Computes the unknown values of a step's groups, and refuses groups whose log-probs are of another model.

        Known values are checked again: a run may have been killed after it computed a group and before it refused it.
        """
        if not self._wanted or self._is_logged:
            return
        # If an epoch ends within a step, a group may be in it twice.
        unknown = {
            (one.place, *one.numbers): one for one in passes if one.weight and self._cache.get(one.place) is None
        }
        found: defaultdict[int, list[float]] = defaultdict(list)
        for one in evened(list(unknown.values()), passes[0], self._accelerator):
            values_N = self._policy.base_logprobs(one.group, one.numbers)
            if one.weight:
                found[one.place] += values_N.tolist()
        for place, values in found.items():
            self._cache.put(place, values)
        mine = {}
        for place, group in {one.place: one.group for one in passes if one.weight}.items():
            if (why := self._foreign(group, self._cache.get(place) or ())) is not None:
                mine[group.id] = why
        for group_id, why in gather_object(list(mine.items())):
            if group_id not in refused and self._accelerator.is_main_process:
                _log.warning("the group %s is left out: %s", group_id, why)
            refused[group_id] = why

    def of(self, one: Pass) -> torch.Tensor | None:
        """Returns the reference's log-probabilities of a pass's tokens, shape [N]; None if the loss has no use for them."""
        if self._wanted and one.weight and self._is_logged:
            logged = [value for candidate in one.candidates for value in candidate.logprobs]
            return torch.tensor(logged, device=self._accelerator.device)
        values = self._cache.get(one.place) if self._wanted and one.weight else None
        if values is None:
            return None
        starts = [0]
        for candidate in one.group.candidates:
            starts.append(starts[-1] + len(candidate.completion_token_ids))
        wanted = [value for number in one.numbers for value in values[starts[number] : starts[number + 1]]]
        return torch.tensor(wanted, device=self._accelerator.device)

    def _difference(self, group: Group, number: int) -> float:
        """Returns nats a token between a candidate's logged log-probabilities and those that its model gives now."""
        candidate = group.candidates[number]
        with torch.no_grad():
            score = self._policy.logprobs if candidate.checkpoint is not None else self._policy.base_logprobs
            values = score(group, [number]).tolist()
        return _apart(candidate, values)

    def _foreign(self, group: Group, values: Sequence[float]) -> str | None:
        """Returns why a group is refused, or None. Texts that the base wrote can be compared at no cost."""
        at = 0
        for candidate in group.candidates:
            end = at + len(candidate.completion_token_ids)
            if candidate.checkpoint is None and not (off := _apart(candidate, values[at:end])) <= self._tolerance:
                return f"log-probs of another model: {off:.3f} nats a token off"
            at = end
        return None


def _apart(candidate: Candidate, values: Sequence[float]) -> float:
    pairs = zip(candidate.logprobs, values, strict=True)
    return fmean(abs(logged - computed) for logged, computed in pairs)
