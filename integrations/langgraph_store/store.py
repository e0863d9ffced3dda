"""SkillBaseStore: LangGraph's long-term memory, and the library of skills as files, in one persistent database."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    get_text_at_path,
    tokenize_path,
    validate_op_namespace,
)
from langgraph.store.base import Item as LangGraphItem

from skill_plugin.errors import ConfigurationError
from skill_plugin.integrations.langgraph_store.files import SkillFiles
from skill_plugin.integrations.langgraph_store.held import HeldItem, HeldItems, is_held
from skill_plugin.store import SkillStore
from skill_plugin.store.items.items import Change
from skill_plugin.store.items.reading import Item, Keep, Reading
from skill_plugin.store.vectors import Vector

DEFAULT_FIELDS = ("$",)
SKILLS = ("skills",)


class SkillBaseStore(BaseStore):
    """A LangGraph `BaseStore` over a `SkillStore`: for `compile(store=...)`, langmem and deepagents' `StoreBackend`.

    Items are kept in the SQL database of the `SkillStore`, in its namespace. The live skills can be read under `skills`,
    as the files that deepagents knows: `/refunds/SKILL.md` in `("skills",)`.

    Args:
        store: The store that keeps everything; it is not closed here.
        index: Whether items are also found by meaning, with the embedder of `store`: None means no, True by the whole
            value, `{"fields": ["text", "tags[*]"]}` by these parts of it, as in LangGraph's `IndexConfig`.
        ttl: LangGraph's `TTLConfig`. An expired item is never returned; it is deleted by the next write.
        skills: The labels under which the library is; None leaves it out.
        allow_write: Whether a put under `skills` stages a new skill or version. Off, it is refused. A staged one is not
            read back: it is live when the gate or a person has promoted it.
        scan: Whether the store's scanners look at each item that is put. What they hold is kept aside, as `held()`, and is neither
            got nor found until a person releases it; what they refuse is refused.

    Raises:
        ConfigurationError: an argument cannot work.
    """

    supports_ttl = True

    def __init__(
        self,
        store: SkillStore,
        *,
        index: Mapping[str, Any] | Literal[True] | None = None,
        ttl: TTLConfig | None = None,
        skills: Sequence[str] | None = SKILLS,
        allow_write: bool = False,
        scan: bool = True,
    ) -> None:
        if not isinstance(store, SkillStore):
            raise ConfigurationError(f"{store!r:.80} is not a SkillStore; open one with SkillStore.open(...)")
        self.store = store
        self.ttl_config = ttl
        self._paths = None if index is None else _tokenized(_fields(index))
        self._labels = None if skills is None else _checked(skills)
        self._files = SkillFiles(store, allow_write=allow_write)
        self._held = HeldItems(store)
        self._scan = scan

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Runs the operations and returns their results in order. Reads see the state before this batch's puts.

        Of several puts on one item the last wins. All puts on items are one transaction.

        Raises:
            InvalidNamespaceError: a label is not one.
            ConfigurationError: a value, a filter or a limit cannot work, or the put is on a skill and `allow_write` is off.
            InvalidSkillError: what is put under `skills` is not a valid SKILL.md, or the scanner refuses an item.
            EmbedderMismatchError: vectors are needed, and the namespace's are another embedder's.
        """
        asked = list(ops)
        for op in asked:
            validate_op_namespace(op)
            if not isinstance(op, GetOp | SearchOp | PutOp | ListNamespacesOp):
                raise ConfigurationError(f"{type(op).__name__} is not an operation of LangGraph's stores")
        puts = {(op.namespace, op.key): op for op in asked if isinstance(op, PutOp)}
        on_skills = [op for op in puts.values() if self._is_skills(op.namespace)]
        for op in puts.values():
            if is_held(op.namespace):
                raise ConfigurationError(
                    f"{op.namespace!r:.80} is where held items wait; put {op.key!r:.80} under other labels"
                )
        for op in on_skills:
            self._files.check(op.namespace, op.key, op.value, at=self._labels or ())
        results = self._read(asked)
        changes = [self._change(op) for op in puts.values() if not self._is_skills(op.namespace)]
        if self._scan:
            changes = [one for change in changes for one in self._held.sorted(change)]
        if changes:
            self.store.items.write(changes)
        for op in on_skills:
            self._files.stage(op.key, op.value or {})
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Runs `batch` in a thread: the database and the embedder would block the event loop."""
        return await asyncio.to_thread(self.batch, list(ops))

    def sweep_ttl(self) -> int:
        """Deletes what has expired; returns how many items. Every write does so too."""
        return self.store.items.sweep()

    def held(self) -> list[HeldItem]:
        """Returns the items that the scanner holds, the newest first, each with the reason."""
        return self._held.list()

    def release(self, namespace: tuple[str, ...], key: str) -> None:
        """Lets a held item in: a person has looked at it.

        Raises:
            ConfigurationError: no such item is held.
        """
        self._held.release(namespace, key)

    def _is_skills(self, labels: tuple[str, ...]) -> bool:
        return self._labels is not None and labels[: len(self._labels)] == self._labels

    def _read(self, ops: Sequence[Op]) -> list[Result]:
        results: list[Result] = [None] * len(ops)
        mine: list[tuple[int, GetOp | SearchOp | ListNamespacesOp]] = []
        for at, op in enumerate(ops):
            if isinstance(op, SearchOp | ListNamespacesOp):
                _check_page(op)
            if isinstance(op, GetOp) and self._is_skills(op.namespace):
                results[at] = self._files.get(op.namespace, op.key) if op.namespace == self._labels else None
            elif isinstance(op, SearchOp) and self._is_skills(op.namespace_prefix):
                results[at] = self._files.search(op, _filter(op.filter)) if op.namespace_prefix == self._labels else []
            elif isinstance(op, SearchOp) and is_held(op.namespace_prefix):
                results[at] = []
            elif not isinstance(op, PutOp) and not (isinstance(op, GetOp) and is_held(op.namespace)):
                mine.append((at, op))
        if mine:
            # The model works before the session begins, so that no connection waits for it.
            queries = {op.query for _, op in mine if isinstance(op, SearchOp) and op.query and op.query.strip()}
            vectors = {query: self.store.items.vector(query) for query in queries} if self._paths is not None else {}
            with self.store.items.reading(vectors=bool(vectors)) as reading:
                for at, op in mine:
                    results[at] = self._result(reading, op, vectors)
        return results

    def _result(
        self, reading: Reading, op: GetOp | SearchOp | ListNamespacesOp, vectors: Mapping[str, Vector]
    ) -> Result:
        if isinstance(op, GetOp):
            found = reading.get(op.namespace, op.key, refresh=op.refresh_ttl)
            return None if found is None else LangGraphItem(**_parts(found))
        if isinstance(op, SearchOp):
            items = reading.search(
                op.namespace_prefix,
                vector=vectors.get(op.query or ""),
                keep=_filter(op.filter),
                limit=op.limit,
                offset=op.offset,
                refresh=op.refresh_ttl,
            )
            return [SearchItem(**_parts(item), score=item.score) for item in items]
        labels = {found for found in reading.labels() if not self._is_skills(found) and not is_held(found)}
        if self._labels is not None and self._files.any():
            labels.add(self._labels)
        return _listed(op, labels)

    def _change(self, op: PutOp) -> Change:
        texts: list[str] = []
        if self._paths is not None and op.value is not None and op.index is not False:
            paths = self._paths if op.index is None else _tokenized(op.index)
            try:
                texts = [text for path in paths for text in get_text_at_path(op.value, path)]
            except (TypeError, ValueError, RecursionError) as exc:
                raise ConfigurationError(
                    f"the value of {op.key!r:.80} is not JSON: {exc}; make it of JSON types"
                ) from exc
        return Change(op.namespace, op.key, op.value, texts, op.ttl)


def _checked(skills: Sequence[str]) -> tuple[str, ...]:
    try:
        if isinstance(skills, str) or not skills:
            raise InvalidNamespaceError("it is not a tuple of labels")
        validate_op_namespace(SearchOp(tuple(skills)))
    except InvalidNamespaceError as exc:
        raise ConfigurationError(f"skills is {skills!r:.80}: {exc}; give labels such as ('skills',), or None") from exc
    return tuple(skills)


def _fields(index: Mapping[str, Any] | Literal[True]) -> Sequence[str]:
    if index is True:
        return DEFAULT_FIELDS
    if not isinstance(index, Mapping):
        raise ConfigurationError(f"index is {index!r:.80}; give None, True or {{'fields': [...]}}")
    if "embed" in index:
        raise ConfigurationError(
            "index has an 'embed', but one database has one embedder: give it to SkillStore.open(embedder=...) and leave "
            "'embed' out"
        )
    fields = index.get("fields") or DEFAULT_FIELDS
    if isinstance(fields, str) or not all(isinstance(path, str) for path in fields):
        raise ConfigurationError(f"the fields of the index are {fields!r:.80}; give paths such as ['text', 'tags[*]']")
    return list(fields)


def _tokenized(paths: Iterable[str]) -> list[str | list[str]]:
    return [path if path == "$" else tokenize_path(path) for path in paths]


def _parts(item: Item) -> dict[str, Any]:
    return {
        "namespace": item.labels,
        "key": item.key,
        "value": item.value,
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }


def _check_page(op: SearchOp | ListNamespacesOp) -> None:
    if op.limit < 0 or op.offset < 0:
        raise ConfigurationError(f"limit {op.limit!r:.80} and offset {op.offset!r:.80}: give numbers from 0")


def _listed(op: ListNamespacesOp, labels: Iterable[tuple[str, ...]]) -> list[tuple[str, ...]]:
    found = {name for name in labels if all(_matches(condition, name) for condition in op.match_conditions or ())}
    if op.max_depth is not None:
        found = {name[: op.max_depth] for name in found}
    return sorted(found)[op.offset : op.offset + op.limit]


def _matches(condition: MatchCondition, labels: tuple[str, ...]) -> bool:
    path = tuple(condition.path)
    if condition.match_type not in ("prefix", "suffix"):
        raise ConfigurationError(f"no match is called {condition.match_type!r:.80}; use 'prefix' or 'suffix'")
    part = labels[: len(path)] if condition.match_type == "prefix" else labels[max(0, len(labels) - len(path)) :]
    return len(part) == len(path) and all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, wanted: bool(value == wanted),
    "$ne": lambda value, wanted: bool(value != wanted),
    "$gt": lambda value, wanted: _number(value) > _number(wanted),
    "$gte": lambda value, wanted: _number(value) >= _number(wanted),
    "$lt": lambda value, wanted: _number(value) < _number(wanted),
    "$lte": lambda value, wanted: _number(value) <= _number(wanted),
}


def _filter(conditions: Mapping[str, Any] | None) -> Keep | None:
    """Returns a test that a value meets all conditions; None without any. Unknown operators raise here already."""
    if not conditions:
        return None
    for condition in conditions.values():
        _check_condition(condition)
    return lambda value: all(_meets(value.get(key), condition) for key, condition in conditions.items())


def _check_condition(condition: Any) -> None:
    if isinstance(condition, dict):
        operators = [key for key in condition if str(key).startswith("$")]
        wrong = [key for key in condition if key not in _COMPARISONS] if operators else []
        if wrong:
            raise ConfigurationError(f"no operator is called {wrong[0]!r:.80}; use one of {', '.join(_COMPARISONS)}")
        for part in () if operators else condition.values():
            _check_condition(part)


def _meets(value: Any, condition: Any) -> bool:
    """Compares as LangGraph's own stores do: by operators, else a part of a dictionary, a whole list, or equality."""
    if isinstance(condition, dict):
        if any(str(key).startswith("$") for key in condition):
            return all(_COMPARISONS[key](value, wanted) for key, wanted in condition.items())
        return isinstance(value, dict) and all(_meets(value.get(key), part) for key, part in condition.items())
    if isinstance(condition, list | tuple):
        return (
            isinstance(value, list)
            and len(value) == len(condition)
            and all(_meets(one, part) for one, part in zip(value, condition, strict=True))
        )
    return bool(value == condition)


def _number(value: Any) -> float:
    """Converts a value to a number, else NaN: an item without the key is then not found, which is not an error."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")
