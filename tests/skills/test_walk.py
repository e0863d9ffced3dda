"""Where skills lie: links, hidden folders, deep ones and unreadable ones, in a folder and in archives alike."""

import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from fakes import skill_text
from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills import skill_files
from skill_plugin.skills.folders import look_into, read_skills

PLACES = ["folder", "tree.zip", "tree.tar.gz"]


def skill(root, place, name=None):
    folder = root / place
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("SKILL.md").write_text(skill_text(name or Path(place).name, body=f"It lies in {place}."))
    return folder


@pytest.fixture
def tree(tmp_path):
    made = tmp_path / "tree"
    made.mkdir()
    return made


@pytest.fixture(params=PLACES)
def place(request, tmp_path, tree):
    """Returns the finished tree: as a folder, or packed with its links as links."""

    def pack():
        path = tmp_path / request.param
        if request.param == "folder":
            return tree
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                for file in sorted(tree.rglob("*")):
                    name = str(file.relative_to(tree))
                    if file.is_symlink():
                        info = zipfile.ZipInfo(name)
                        info.external_attr = (stat.S_IFLNK | 0o777) << 16
                        archive.writestr(info, str(file.readlink()))
                    elif file.is_file():
                        archive.write(file, name)
        else:
            with tarfile.open(path, "w:gz") as archive:
                archive.add(tree, ".")
        return path

    return pack


def told(found, tree=None):
    """The folders of the skills that were read, and the short paths of those that were not."""
    unread = sorted(where.split(":")[-1].removeprefix(f"{tree}/") for where in found.not_read)
    return sorted(one.folder for one in found.skills if one.error is None), unread


def test_hidden_folders_of_skills_are_read_and_others_are_named(tree, place):
    for name in (
        ".claude/skills/a", ".agents/skills/group/b", "skills/.curated/c", "skills/.system/d", "e", ".kiro/deep/er/skills/f",
        ".hidden/g", "node_modules/pack/skills/h", ".git/skills/i", ".venv/lib/skills/j", "src/.hidden/k",
    ):  # fmt: skip
        skill(tree, name)
    found = read_skills(place())

    assert told(found, tree) == (
        ["a", "b", "c", "d", "e", "f"],
        [f"{name}/SKILL.md" for name in (".git/skills/i", ".hidden/g", ".venv/lib/skills/j", "node_modules/pack/skills/h", "src/.hidden/k")],
    )  # fmt: skip
    assert {reason.split(";")[0] for reason in found.not_read.values()} == {
        "it lies in a hidden folder",
        "it lies in .git, which is not read",
        "it lies in .venv, which is not read",
        "it lies in node_modules, which is not read",
    }


def test_a_visible_skill_comes_before_its_copies_in_hidden_folders(tree, place):
    skill(tree, ".agents/skills/a")
    skill(tree, "skills/a")

    assert ["It lies in skills/a." in one.text for one in read_skills(place()).skills] == [True, False]


def test_links_are_followed_as_far_as_they_stay(tree, place):
    skill(tree, "src/real")
    skill(tree, ".store/kept")
    (tree / "skills").mkdir()
    (tree / "skills" / "real").symlink_to("../src/real")  # read where it lies
    (tree / "skills" / "kept").symlink_to("../.store/kept")
    (tree / "docs").mkdir()
    (tree / "docs" / "guide.md").write_text(skill_text("guide"))
    (tree / "guide").mkdir()
    (tree / "guide" / "SKILL.md").symlink_to("../docs/guide.md")
    (tree / "twice").mkdir()
    (tree / "twice" / "SKILL.md").symlink_to("../src/real/SKILL.md")
    (tree / "CLAUDE.md").symlink_to("docs/guide.md")
    (tree / "round").symlink_to(".")
    found = read_skills(place())

    assert told(found, tree) == (["guide", "kept", "real"], [])
    assert sorted({one.text for one in found.skills}) == sorted(one.text for one in found.skills)


def test_links_that_lead_out_or_nowhere_are_named(tree, place, tmp_path):
    outside = skill(tmp_path, "outside/secret")
    skill(tree, "skills/mine")
    (tree / "skills" / "secret").symlink_to(outside)
    (tree / "skills" / "gone").symlink_to("../nowhere")
    (tree / "direct").mkdir()
    (tree / "direct" / "SKILL.md").symlink_to(outside / "SKILL.md")
    found = read_skills(place())

    folders, unread = told(found, tree)
    assert folders == ["mine"]
    assert unread[-1] == "skills/secret"
    [broken] = [one for one in found.skills if one.error is not None]
    assert broken.folder == "direct"
    assert "link that leads out of" in broken.error
    assert not any("It lies in outside" in one.text for one in found.skills)
    if place() == tree:
        assert unread == ["skills/gone", "skills/secret"]
        assert str(outside) in found.not_read[str(tree / "skills" / "secret")]


def test_a_link_to_a_text_that_is_not_there_is_a_refused_skill(tree, place):
    skill(tree, "good")
    (tree / "bad").mkdir()
    (tree / "bad" / "SKILL.md").symlink_to("nothing.md")
    [bad] = [one for one in read_skills(place()).skills if one.error is not None]

    assert bad.folder == "bad"
    assert bad.error.startswith("it is a link to ")


def test_a_linked_folder_of_skills_outside_is_named_and_another_is_not(tree, tmp_path):
    skill(tmp_path, "shared/one")
    (tmp_path / "pictures").mkdir()
    skill(tree, "mine")
    (tree / "all").symlink_to(tmp_path / "shared")
    (tree / "pictures").symlink_to(tmp_path / "pictures")

    assert told(read_skills(tree), tree) == (["mine"], ["all"])


def test_a_place_with_nothing_but_links_says_where_they_lead(tree, tmp_path):
    outside = skill(tmp_path, "outside/one")
    (tree / "one").symlink_to(outside)
    with pytest.raises(InvalidSkillError) as caught:
        read_skills(tree)

    assert str(caught.value) == (
        f"there is no SKILL.md in '{tree}'; {tree}/one: it is a link that leads out of '{tree}'; import '{outside}' itself"
    )


def test_a_deep_folder_without_a_skill_costs_nothing_and_one_with_it_is_named(tree, place):
    skill(tree, "a")
    deep = tree / "b" / "references" / "/".join("123456789")
    deep.mkdir(parents=True)
    (deep / "x.txt").write_text("")
    assert told(read_skills(place())) == (["a"], [])
    skill(deep, "10")
    found = read_skills(place())

    assert found.skills[0].error is None
    assert [reason.split(";")[0] for reason in found.not_read.values()] == ["it is nested deeper than 10 folders"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named_and_stops_nothing(tree):
    skill(tree, "good")
    skill(tree, "locked").chmod(0)
    (skill(tree, "shut") / "SKILL.md").chmod(0)
    try:
        found = read_skills(tree)
    finally:
        (tree / "locked").chmod(0o700)

    assert told(found, tree) == (["good"], ["locked"])
    assert [one.error for one in found.skills if one.error] == [
        "it cannot be read: Permission denied; allow reading it"
    ]


def test_files_beside_a_skill_belong_to_the_nearest_one(tree, place):
    for name in ("outer/a.py", "outer/scripts/b.py", "outer/inner/c.py", "README.md"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("")
    skill(tree, "outer")
    skill(tree, "outer/inner")
    found = read_skills(place())

    assert {one.folder: [file.path for file in one.files] for one in found.skills} == {
        "outer": ["a.py", "scripts/b.py"],
        "inner": ["c.py"],
    }
    assert found.left_out == 1


def test_a_file_of_a_skill_that_is_too_deep_is_named(tree, place):
    deep = skill(tree, "a") / "references" / "/".join("123456789")
    deep.mkdir(parents=True)
    (deep / "x.txt").write_text("")
    [one] = read_skills(place()).skills

    assert (
        one.error
        == "the file name 'references/1/2/3/4/5/6/7/8/9/x.txt' is longer than 200 bytes or 8 folders; shorten it"
    )


def test_a_huge_folder_that_is_not_read_does_not_stop_the_rest(tree, monkeypatch):
    monkeypatch.setattr(skill_files, "MAX_MEMBERS", 20)
    for number in range(100):
        (tree / "node_modules" / str(number)).mkdir(parents=True)
        (tree / "node_modules" / str(number) / "index.js").touch()
    skill(tree, "mine")
    found = look_into(tree)

    assert told(found)[0] == ["mine"]
    [reason] = found.not_read.values()
    assert "too many files in folders that are not read" in reason


def test_names_that_are_no_text_are_shown_escaped(tree):
    folder = os.fsencode(tree) + b"/bad\xff\x1b[2J"
    os.mkdir(folder)  # noqa: PTH102 - a name of bytes
    Path(os.fsdecode(folder), "SKILL.md").write_text(skill_text("fine"))
    [one] = read_skills(tree).skills

    assert one.where == f"{tree}/bad\\xff\\x1b[2J/SKILL.md"
