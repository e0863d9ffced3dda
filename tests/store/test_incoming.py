"""Skills as others wrote them: names that are not ours, and files that their texts speak of."""

import pytest

from fakes import skill_text
from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.skills.skill_md import legal_name, parse, renamed


def lay(root, folder, text, **files):
    place = root / folder
    place.mkdir(parents=True)
    place.joinpath("SKILL.md").write_text(text, encoding="utf-8")
    for name, content in files.items():
        place.joinpath(name).write_text(content)
    return root


def test_the_name_in_the_front_matter_counts_and_the_folder_is_noted(store, tmp_path):
    lay(tmp_path, "parts", skill_text("acme-parts"))
    report = store.import_skills(tmp_path)

    assert report.added == ["acme-parts"]
    assert report.notes == {
        f"{tmp_path}/parts/SKILL.md": "it is named 'acme-parts', its folder 'parts'; its own name counts"
    }
    assert store.get("acme-parts").text == skill_text("acme-parts")


@pytest.mark.parametrize("line", ["", "name:\n", 'name: ""\n', "name: null\n"])
def test_a_skill_without_a_name_is_called_after_its_folder(store, tmp_path, line):
    text = f"\ufeff<!-- licence -->\n---\n{line}description: Count the stock\nlicense: MIT\n---\n1. Count.\n"
    lay(tmp_path, "stock-take", text)
    report = store.import_skills(tmp_path)

    assert report.added == ["stock-take"]
    assert "after its folder" in next(iter(report.notes.values()))
    kept = store.get("stock-take").text
    assert kept.replace("name: stock-take\n", line, 1) == text or kept == text.replace('name: ""', "name: stock-take")
    assert store.import_skills(tmp_path).already_there == ["stock-take"]


def test_a_loose_file_without_a_name_is_refused(store, tmp_path):
    (tmp_path / "x.md").write_text("---\ndescription: Count\n---\n1. Count.\n")

    with pytest.raises(InvalidSkillError, match="a skill needs a name, and the front matter has only description:"):
        store.import_skills(tmp_path / "x.md")


@pytest.mark.parametrize(
    ("name", "folder", "made"),
    [
        ("acme::react-parts", "x", "acme-react-parts"),
        ("React Parts (v2)", "x", "react-parts-v2"),
        ("under_score", "x", "under-score"),
        ("Größe-messen", "x", "grosse-messen"),
        ("ﬁle-café", "x", "file-cafe"),
        ("возврат-денег", "refunds", "refunds"),
        ("退款", "Refunds 退款", "refunds"),
        ("возврат-денег", "возврат-денег", "skill-97802135"),
        ("a" * 63 + "-bc", "x", "a" * 63),
    ],
)
def test_a_name_that_the_format_does_not_allow_can_be_adapted(store, tmp_path, name, folder, made):
    lay(tmp_path / "in", folder, f"---\n# kept\nname: '{name}'  # also kept\ndescription: D\nx: [1]\n---\n\nBody\n")
    with pytest.raises(
        InvalidSkillError, match=rf"breaks the SKILL.md rules.*'{made}': names='adapt', or --names adapt"
    ):
        store.import_skills(tmp_path / "in")
    report = store.import_skills(tmp_path / "in", names="adapt")

    assert report.added == [made]
    assert next(iter(report.notes.values())) == f"its name {name!r} is {made!r} here"
    assert store.get(made).text == f"---\n# kept\nname: {made}  # also kept\ndescription: D\nx: [1]\n---\n\nBody\n"
    assert store.import_skills(tmp_path / "in", names="adapt").already_there == [made]


def test_two_names_that_would_become_one_are_not_versions_of_each_other(store, tmp_path):
    lay(tmp_path, "a", skill_text("acme::parts"))
    lay(tmp_path, "b", skill_text("acme/parts", body="Else."))
    report = store.import_skills(tmp_path, names="adapt", skip_invalid=True)

    assert report.added == ["acme-parts"]
    [reason] = report.refused.values()
    assert reason == (
        "its name 'acme/parts' would be 'acme-parts' here, and so would 'acme::parts' in "
        f"'{tmp_path}/a/SKILL.md'; rename one of them"
    )


def test_another_word_than_keep_or_adapt_is_one_line(store, tmp_path):
    lay(tmp_path, "a", skill_text())

    with pytest.raises(ConfigurationError, match="names is 'guess'; use 'keep' or 'adapt'"):
        store.import_skills(tmp_path, names="guess")


@pytest.mark.parametrize(
    "text",
    [
        skill_text("other").replace("\n", "\r\n"),
        "---\n{name: 'b ad', description: How to add}\n---\nname: in the body\n",
        "---\nname: >\n  two\n  lines\ndescription: D\n---\nBody\n",
        '---\n"name" : "Bad Name"\ndescription: D\n---\nBody\n',
        "---\ndescription: D\n---\n---\nname: not this one\n---\n",
    ],
)
def test_any_text_can_be_given_a_name_and_keeps_the_rest(text):
    made = renamed(text, "adding")

    assert parse(made).name == "adding"
    assert parse(made).body == parse(text if "name: other" in text else made).body
    assert text.count("name") == made.count("name") or "description: D\n---\n---" in text


def test_a_legal_name_is_its_own_and_what_has_no_letters_has_none():
    assert legal_name("refund-duplicates") == "refund-duplicates"
    assert legal_name("::") == legal_name("возврат") == ""


def test_files_left_out_and_those_that_a_text_points_to_are_named(store, tmp_path):
    body = (
        "Run `./scripts/wipe.sh --yes` and {baseDir}/scripts/gone.py, read [the guide](guide.md#top) and [more](more.md). "
        "Not src/scripts/build.sh, https://x.io/assets/a.png, scripts/*.py or scripts/wipe.sh.bak-1."
    )
    lay(
        tmp_path / "in",
        "wiping",
        skill_text("wiping", body=body),
        **{"guide.md": "", "._guide.md": "", ".DS_Store": ""},
    )
    for name in ("scripts/wipe.sh", ".git/config", "scripts/__pycache__/x.pyc"):
        (tmp_path / "in" / "wiping" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / "wiping" / name).write_text("")
    lay(tmp_path / "in", "adding", skill_text())
    report = store.import_skills(tmp_path / "in")

    assert store.get("wiping").files == ("guide.md", "scripts/wipe.sh")
    assert report.left_out == {"wiping": [".DS_Store", "._guide.md"]}
    assert report.missing == {"wiping": ["scripts/gone.py", "more.md"]}
    assert report.left_out_files == 2


def test_what_is_not_read_is_in_the_report_and_refuses_nothing(store, tmp_path):
    lay(tmp_path, "adding", skill_text())
    lay(tmp_path, ".hidden/sorting", skill_text("sorting"))
    report = store.import_skills(tmp_path)

    assert report.added == ["adding"]
    assert report.not_read == {
        f"{tmp_path}/.hidden/sorting/SKILL.md": "it lies in a hidden folder; import its own folder"
    }
