import pytest

from skill_plugin import Task, verifiers
from skill_plugin.errors import InvalidTaskError
from skill_plugin.tasks.files import check_references, read_tasks, write_tasks


def test_tasks_are_read_back_as_they_were_written(tmp_path):
    spec = {"name": "numeric", "params": {"tolerance": 0.1, "relative": 1e-9}}
    tasks = [
        Task("1 + 1?", reference=2, verifier=spec, split="heldout"),
        Task("x", family="other"),
        Task("first", chain="march", position=0),
        Task("then", chain="march", position=1),
    ]
    write_tasks(tmp_path / "t.jsonl", tasks)

    assert read_tasks(tmp_path / "t.jsonl") == tasks


def test_a_verifier_may_be_a_name_and_defaults_to_the_callers(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"task": "a", "verifier": "numeric", "id": 7, "metadata": {"x": 1}}\n\n{"task": "b"}\n')
    one, two = read_tasks(path, verifier={"name": "exact_match", "params": {}})

    assert one.verifier == verifiers.spec(verifiers.numeric())
    assert two.verifier == {"name": "exact_match", "params": {}}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "t.jsonl:2: no JSON"),
        ("[]", "t.jsonl:2: no 'task'"),
        ('{"question": "x"}', "t.jsonl:2: no 'task'"),
        ('{"task": ""}', "t.jsonl:2: a task needs a text"),
        ('{"task": "x", "refrence": 1}', "t.jsonl:2: unknown key 'refrence'"),
        ('{"task": "x", "verifier": "magic"}', "t.jsonl:2: no verifier is called 'magic'"),
        ('{"task": "x", "verifier": "os:system"}', "t.jsonl:2: no verifier is called 'os:system'"),
        ('{"task": "x", "verifier": 3}', "t.jsonl:2"),
        ('{"task": "x", "split": "test"}', "t.jsonl:2: a task's split"),
        ('{"task": "x", "chain": "m"}', "t.jsonl:2: a task of a chain needs both"),
        ('{"task": "x", "position": 0}', "t.jsonl:2: a task of a chain needs both"),
        ('{"task": "x", "chain": 7, "position": 0}', "t.jsonl:2: a task's chain must be a name"),
        ('{"task": "x", "chain": "m", "position": -1}', "t.jsonl:2: a task's position is a whole number from 0"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, says):
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"task": "fine"}}\n{line}\n')

    with pytest.raises(InvalidTaskError, match=says) as caught:
        read_tasks(path)
    assert "\n" not in str(caught.value)


IN_A_CHAIN = '{{"task": "{task}", "chain": "{chain}", "position": {position}, "family": "{family}"}}'


def chained(tmp_path, *places):
    path = tmp_path / "t.jsonl"
    keys = ("chain", "position", "family")
    lines = [
        IN_A_CHAIN.format(task=f"task {n}", **dict(zip(keys, place, strict=True))) for n, place in enumerate(places)
    ]
    path.write_text("\n".join(lines))
    return path


def test_the_tasks_of_a_chain_may_stand_anywhere_in_the_file(tmp_path):
    path = chained(tmp_path, ("march", 1, "close"), ("april", 0, "close"), ("march", 0, "close"), ("june", 0, "other"))
    assert [(task.chain, task.position) for task in read_tasks(path)] == [
        ("march", 1), ("april", 0), ("march", 0), ("june", 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("places", "says"),
    [
        ([("m", 0, "f"), ("m", 2, "f")], "t.jsonl:2: the chain 'm' has no task at position 1; number its tasks 0, 1"),
        ([("m", 1, "f"), ("m", 2, "f")], "t.jsonl:1: the chain 'm' has no task at position 0"),
        ([("m", 10**15, "f")], "t.jsonl:1: the chain 'm' has no task at position 0"),
        ([("m", 0, "f"), ("m", 0, "f")], "t.jsonl:2: the chain 'm' has its position 0 on line 1 too"),
        ([("m", 0, "f"), ("m", 1, "g")], "t.jsonl:2: the chain 'm' has a task of the family 'g' and one of 'f'"),
    ],
)
def test_a_chain_that_is_not_whole_is_named_with_its_line(tmp_path, places, says):
    with pytest.raises(InvalidTaskError, match=says):
        read_tasks(chained(tmp_path, *places))


def test_a_line_may_name_the_verifier_that_the_operator_gives(tmp_path):
    own = verifiers.as_verifier(lambda task, answer: True)
    path = tmp_path / "t.jsonl"
    write_tasks(path, [Task("a", verifier=verifiers.spec(own)), Task("b", verifier={"name": "numeric"})])

    assert [task.verifier for task in read_tasks(path, own=own)] == [
        verifiers.spec(own), verifiers.spec(verifiers.numeric()),
    ]  # fmt: skip
    with pytest.raises(InvalidTaskError, match="or name your own function with --verifier"):
        read_tasks(path)
    with pytest.raises(InvalidTaskError, match="no verifier is called"):
        read_tasks(path, own=verifiers.as_verifier(len))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InvalidTaskError, match="No such file"):
        read_tasks(tmp_path / "none.jsonl")
    tmp_path.joinpath("empty.jsonl").write_text("\n")
    with pytest.raises(InvalidTaskError, match="holds no task"):
        read_tasks(tmp_path / "empty.jsonl")
    tmp_path.joinpath("bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidTaskError, match="not UTF-8"):
        read_tasks(tmp_path / "bytes.jsonl")


def test_references_are_checked_before_a_model_is_paid():
    good = Task("a", reference=2, verifier={"name": "numeric", "params": {}})
    check_references([good, Task("no reference"), Task("b", reference="x")])

    with pytest.raises(InvalidTaskError, match="'bad'"):
        check_references([good, Task("bad", reference="two", verifier={"name": "numeric", "params": {}})])
    with pytest.raises(InvalidTaskError, match="'bad'"):
        check_references([Task("bad", reference="b")], verifiers.regex("a"))
