import pytest

from skill_plugin import Task, verifiers
from skill_plugin.errors import InvalidTaskError
from skill_plugin.task_files import check_references, read_tasks, write_tasks


def test_tasks_are_read_back_as_they_were_written(tmp_path):
    spec = {"name": "numeric", "params": {"tolerance": 0.1, "relative": 1e-9}}
    tasks = [Task("1 + 1?", reference=2, verifier=spec, split="heldout"), Task("x", family="other")]
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
    ],
)
def test_a_broken_line_is_named(tmp_path, line, says):
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"task": "fine"}}\n{line}\n')

    with pytest.raises(InvalidTaskError, match=says) as caught:
        read_tasks(path)
    assert "\n" not in str(caught.value)


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
