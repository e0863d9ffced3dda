"""SKILL.md files in folders and archives: what is found, and what is written."""

import io
import tarfile
import zipfile

import pytest

from fakes import skill_text
from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills.folders import read_skills, write_skills
from skill_plugin.skills.trees import TreeFile

TEXTS = {"adding": skill_text(), "sorting": skill_text("sorting", "How to sort", "Quickly: é 漢字 🙂.")}


def lay_out(root, texts=TEXTS):
    root.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        folder = root / name
        folder.mkdir()
        folder.joinpath("SKILL.md").write_bytes(text.encode())
        folder.joinpath("run.py").write_text("print()")
    root.joinpath("README.md").write_text("# Skills")
    return root


def pack(path, root):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(root.rglob("*")):
                archive.write(file, file.relative_to(root.parent))
    else:
        with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
            archive.add(root, root.name)
    return path


def found(place):
    return {skill.folder: skill.text for skill in read_skills(place).skills}


@pytest.mark.parametrize("name", ["folder", "a.zip", "a.tar", "a.tar.gz", "a.tgz"])
def test_folders_and_archives_hold_the_same(tmp_path, name):
    root = lay_out(tmp_path / "skills")
    place = root if name == "folder" else pack(tmp_path / name, root)

    assert found(place) == TEXTS
    assert read_skills(place).left_out == 1
    assert [[(file.path, file.data) for file in skill.files] for skill in read_skills(place).skills] == [
        [("run.py", b"print()")]
    ] * 2
    assert all(skill.error is None for skill in read_skills(place).skills)


def test_one_folder_and_one_file_are_enough(tmp_path):
    root = lay_out(tmp_path / "skills")
    loose = tmp_path / "loose.md"
    loose.write_text(skill_text())

    assert found(root / "adding") == {"adding": skill_text()}
    assert found(root / "adding" / "SKILL.md") == {"adding": skill_text()}
    assert found(loose) == {"": skill_text()}
    assert found(str(root / "adding")) == {"adding": skill_text()}


def test_the_home_folder_may_be_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    lay_out(tmp_path / "skills")

    assert found("~/skills/adding") == {"adding": skill_text()}


def test_a_skill_at_the_top_of_an_archive_is_named_by_the_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "adding.zip", "w") as archive:
        archive.writestr("SKILL.md", skill_text())
    with tarfile.open(tmp_path / "adding.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("./SKILL.md")
        member.size = len(skill_text())
        archive.addfile(member, io.BytesIO(skill_text().encode()))

    assert found(tmp_path / "adding.zip") == found(tmp_path / "adding.tar.gz") == {"adding": skill_text()}


def test_hidden_folders_are_left_out_and_small_letters_are_not(tmp_path):
    lay_out(tmp_path / "skills")
    lay_out(tmp_path / "skills" / ".git")
    tmp_path.joinpath("skills", "skill.md").write_text(skill_text())

    assert found(tmp_path / "skills") == {**TEXTS, "skills": skill_text()}


@pytest.mark.parametrize("make", [lambda place: None, lambda place: place.mkdir(), lambda place: lay_out(place, {})])
def test_a_place_without_skills_says_so_in_one_line(tmp_path, make):
    make(tmp_path / "x")

    with pytest.raises(InvalidSkillError, match=r"no SKILL\.md in|cannot be read") as caught:
        read_skills(tmp_path / "x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_what_is_written_is_read_back_to_the_letter(tmp_path, name):
    texts = {**TEXTS, "windows": skill_text("windows").replace("\n", "\r\n")}
    write_skills(tmp_path / name, texts)

    assert found(tmp_path / name) == texts


def test_the_same_skills_make_the_same_archive(tmp_path):
    for name in ("one.zip", "two.zip"):
        write_skills(tmp_path / name, dict(reversed(TEXTS.items())) if name == "two.zip" else TEXTS)

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_nothing_that_is_there_is_overwritten(tmp_path):
    write_skills(tmp_path / "out", {"sorting": "mine"})
    write_skills(tmp_path / "out.zip", {"sorting": "mine"})
    before = (tmp_path / "out.zip").read_bytes()

    for place in ("out", "out.zip"):
        with pytest.raises(
            InvalidSkillError, match=r"cannot be written.* of that name exists|cannot be written: File exists"
        ):
            write_skills(tmp_path / place, TEXTS)
    assert found(tmp_path / "out") == {"sorting": "mine"}
    assert (tmp_path / "out.zip").read_bytes() == before
    write_skills(tmp_path / "out", {"adding": "new"})
    assert found(tmp_path / "out") == {"adding": "new", "sorting": "mine"}


def test_nothing_is_written_through_a_link_that_leads_out(tmp_path):
    tmp_path.joinpath("outside").mkdir()
    tmp_path.joinpath("out").mkdir()
    tmp_path.joinpath("out", "sorting").symlink_to(tmp_path / "outside")
    with pytest.raises(InvalidSkillError, match="a link that leads out of the folder has that name"):
        write_skills(tmp_path / "out", TEXTS, replace=True)

    assert list(tmp_path.joinpath("outside").iterdir()) == []


def test_a_link_in_one_skill_leaves_all_as_they_were(tmp_path):
    trees = {"sorting": (TreeFile("notes.md", b"new"),)}
    out = tmp_path / "out"
    for name in TEXTS:
        (out / name).mkdir(parents=True)
        (out / name / "SKILL.md").write_text("old")
    (out / "sorting" / "notes.md").symlink_to(tmp_path / "elsewhere.md")

    with pytest.raises(InvalidSkillError, match="a link has that name"):
        write_skills(out, TEXTS, replace=True, trees=trees)
    assert [path.read_text() for path in sorted(out.glob("*/SKILL.md"))] == ["old", "old"]


@pytest.mark.parametrize("place", ["file/out", "file/out.zip", "nowhere/out.zip"])
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, place):
    tmp_path.joinpath("file").write_text("")

    with pytest.raises(InvalidSkillError, match="cannot be written") as caught:
        write_skills(tmp_path / place, TEXTS)
    assert "\n" not in str(caught.value)


def test_an_archive_that_could_not_be_finished_does_not_have_its_name(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_skills(tmp_path / "skills.zip", {"a": "whole", "b": "\ud800"})

    assert not (tmp_path / "skills.zip").exists()
    write_skills(tmp_path / "skills.zip", {"a": "whole"})
    assert [path.name for path in tmp_path.iterdir()] == ["skills.zip"]
