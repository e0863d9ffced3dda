"""The files of a skill: what may be one, and what reading folders and archives makes of the rest."""

import io
import os
import tarfile
import zipfile

import pytest

from fakes import skill_text
from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills.folders import read_skills, write_skills
from skill_plugin.skills.references import missing_files
from skill_plugin.skills.tree_limits import TreeLimits
from skill_plugin.skills.trees import changed_tree, make_tree, tree_sha256

FILES = {
    "scripts/totals.py": b"def total(): ...\r\n",
    "references/guide.md": "# Führer\n".encode(),
    "references/empty.txt": b"",
    "assets/data.bin": b"\x00\xff\x00",
    "logo.png": b"\x89PNG\r\n\x1a\n\x00",
}


def lay(root, files, *, name="adding", text=None):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SKILL.md").write_bytes((text or skill_text(name)).encode())
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def zipped(place, files, text=None):
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("adding/SKILL.md", text or skill_text())
        for path, data in files:
            archive.writestr(path, data)
    return place


def test_what_may_be_executed_is_part_of_a_tree(tmp_path):
    folder = lay(tmp_path, {"run.sh": b"echo"})
    before = make_tree(read_skills(folder).skills[0].files)
    (folder / "run.sh").chmod(0o755)
    after = make_tree(read_skills(folder).skills[0].files)

    assert tree_sha256("text", before) != tree_sha256("text", after)


@pytest.mark.parametrize("path", ["CON.txt", "scripts/nul", "lpt1.md/a.md"])
def test_a_device_of_windows_is_no_file(path):
    with pytest.raises(InvalidSkillError, match="is a device on Windows"):
        make_tree({path: b""})


def test_a_path_that_an_archive_holds_twice_is_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        place = zipped(tmp_path / "a.zip", [("adding/a.md", b"1"), ("adding/a.md", b"2")])
    with pytest.raises(InvalidSkillError, match=r"holds 'adding/a\.md' twice"):
        read_skills(place)


def error_of(place, limits=None):
    [skill] = read_skills(place, limits or TreeLimits()).skills
    assert skill.files is None
    assert "\n" not in skill.error
    return skill.error


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_what_is_written_is_read_back_to_the_byte(tmp_path, name):
    tree = make_tree(FILES)
    write_skills(tmp_path / name, {"adding": skill_text(), "bare": skill_text("bare")}, trees={"adding": tree})
    adding, bare = sorted(read_skills(tmp_path / name).skills, key=lambda skill: skill.folder)

    assert (adding.files, bare.files) == (tree, ())
    assert {file.path: file.data for file in adding.files} == FILES


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_what_may_be_executed_still_may(tmp_path, name):
    folder = lay(tmp_path / "in", {"run.sh": b"#!/bin/sh\n", "notes.md": b""})
    (folder / "run.sh").chmod(0o755)
    [skill] = read_skills(folder).skills
    write_skills(tmp_path / name, {"adding": skill_text()}, trees={"adding": skill.files})
    [again] = read_skills(tmp_path / name).skills

    assert [(file.path, file.is_executable) for file in again.files] == [("notes.md", False), ("run.sh", True)]


def test_a_tarball_has_the_same_files(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(lay(tmp_path / "in", FILES), "pack/adding")

    assert [skill.files for skill in read_skills(tmp_path / "a.tar.gz").skills] == [make_tree(FILES)]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../evil.py", "leads out of the skill's folder"),
        ("scripts/../../evil.py", "leads out of the skill's folder"),
        ("/etc/passwd", "leads out of the skill's folder"),
        ("C:/evil.py", "leads out of the skill's folder"),
        ("\\\\host\\evil", "leads out of the skill's folder"),
        ("scripts\\evil.py", "holds '\\\\'"),
        ("scripts//a.py", "a part that is empty"),
        ("./a.py", "a part that is empty"),
        ("a.py ", "a part that is empty or cannot be seen"),
        ("a\n.py", "a part that is empty or cannot be seen"),
        ("a\u202e.py", "a part that is empty or cannot be seen"),
        ("bad\udcff.py", "is not UTF-8"),
        ("x" * 201, "longer than 200 bytes"),
        ("/".join("abcdefghi"), "or 8 folders"),
        ("sub/SKILL.md", "is a skill's text"),
        ("Skill.md", "differs from SKILL.md in case only"),
        (".git/config", "imports leave out"),
        ("scripts/.DS_Store", "imports leave out"),
        ("", "needs a path"),
    ],
)
def test_a_path_that_is_not_a_file_of_a_skill_everywhere_is_one_line(path, why):
    with pytest.raises(InvalidSkillError) as caught:
        make_tree({path: b""})

    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"Run.py": b"", "run.py": b""}, "'Run.py' and 'run.py' differ in case only"),
        ({"straße.md": b"", "STRASSE.md": b""}, "differ in case only"),
        ({"e\u0301.md": b"", "\u00e9.md": b""}, "differ in case only"),
        ({"Scripts": b"", "scripts/run.py": b""}, "is a file and, for 'scripts/run.py', a folder"),
        ({"lib.so": b"\x7fELF\x00"}, "neither UTF-8 text nor of a known binary type"),
        ({"scripts/x.py": "é".encode("latin-1")}, "save it as UTF-8, or put it into assets/"),
        ({"notes.txt": b"\x1b]0;title\x07"}, "neither UTF-8 text"),
        ({str(number): b"" for number in range(21)}, "21 files beside its SKILL.md, the limit is 20"),
        ({"a.txt": b"x" * (256 * 1024), "b.txt": b"y"}, "more than 262144 bytes in all"),
        ({"a.txt": 7}, "holds int; give bytes or str"),
    ],
)
def test_files_that_cannot_be_one_skill_are_one_line(files, why):
    with pytest.raises(InvalidSkillError) as caught:
        make_tree(files)

    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_hash_is_of_paths_contents_and_the_text_and_of_nothing_else():
    tree = make_tree(FILES)
    moved = make_tree({**FILES, "logo2.png": b""})

    assert tree_sha256("a", ()) == ""
    assert tree_sha256("a", tree) == tree_sha256("a", make_tree(dict(reversed(FILES.items()))))
    assert len({tree_sha256("a", tree), tree_sha256("b", tree), tree_sha256("a", moved)}) == 3


def test_changes_write_and_delete():
    tree = make_tree({"a.py": b"1", "b.py": b"2"})

    assert changed_tree(tree, {"a.py": "3", "b.py": None, "c.md": "4"}) == make_tree({"a.py": b"3", "c.md": b"4"})
    with pytest.raises(InvalidSkillError, match=r"no file 'x.py' to delete; the skill has 'a.py', 'b.py'"):
        changed_tree(tree, {"x.py": None})


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_file_too_many_or_too_large_refuses_its_skill_unless_the_limits_are_higher(tmp_path, kind):
    files = {f"{number}.md": b"x" * 100 for number in range(5)}
    folder = lay(tmp_path, files)
    place = (
        folder if kind == "folder" else zipped(tmp_path / "a.zip", [(f"adding/{path}", files[path]) for path in files])
    )

    assert error_of(place, TreeLimits(files=4)).startswith("it has 5 files beside its SKILL.md, the limit is 4; ")
    assert error_of(place, TreeLimits(bytes=499)).startswith("its files have more than 499 bytes in all; ")
    assert len(read_skills(place, TreeLimits(5, 500)).skills[0].files) == 5


def test_links_are_followed_inside_and_refuse_the_skill_outside(tmp_path):
    (tmp_path / "secret.txt").write_text("mine")
    folder = lay(tmp_path / "in", {"a.md": b"A"})
    (tmp_path / "in" / "shared.md").write_text("shared")
    (folder / "b.md").symlink_to("../shared.md")
    assert [(file.path, file.data) for file in read_skills(tmp_path / "in").skills[0].files] == [
        ("a.md", b"A"),
        ("b.md", b"shared"),
    ]
    (tmp_path / "in" / "shared").mkdir()
    for target, why in [
        (tmp_path / "secret.txt", "is a link that leads out of"),
        ("gone.md", "is a link to what does not exist"),
        ("../shared", "is a link to a folder"),
    ]:
        (folder / "c.md").unlink(missing_ok=True)
        (folder / "c.md").symlink_to(target)
        assert f"its file 'c.md' {why}" in error_of(tmp_path / "in")


def test_devices_and_names_that_are_not_utf_8_refuse_the_skill(tmp_path):
    folder = lay(tmp_path, {})
    os.mkfifo(folder / "pipe")
    assert "its file 'pipe' is not a file but a device or a pipe" in error_of(folder)
    (folder / "pipe").unlink()
    with open(os.fsencode(folder) + b"/bad\xff.md", "wb"):  # noqa: PTH123 - a name of bytes
        pass
    assert "the file name 'bad\\udcff.md' is not UTF-8" in error_of(folder)


@pytest.mark.parametrize(
    ("member", "data", "why"),
    [
        ("adding/scripts/A.py", b"", "differ in case only"),
        ("adding/run.exe", b"MZ\x00", "neither UTF-8 text"),
        ("adding/scripts/con:aux.py", b"", "holds ':'"),
        ("adding/bomb.txt", b"0" * 2**22, "more than 262144 bytes in all"),
    ],
)
def test_hostile_members_refuse_their_skill(tmp_path, member, data, why):
    assert why in error_of(zipped(tmp_path / "a.zip", [("adding/scripts/a.py", b""), (member, data)]))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "gone.md", "loop.md"])
def test_a_link_of_an_archive_that_leads_nowhere_refuses_its_skill(tmp_path, target):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        text = tarfile.TarInfo("adding/SKILL.md")
        text.size = len(skill_text())
        archive.addfile(text, io.BytesIO(skill_text().encode()))
        link = tarfile.TarInfo("adding/loop.md")
        link.type, link.linkname = tarfile.SYMTYPE, target
        archive.addfile(link)

    assert "its file 'loop.md' is a link that does not lead to a file of the archive" in error_of(tmp_path / "a.tar")


def test_the_files_of_all_skills_are_limited_together(tmp_path, monkeypatch):
    monkeypatch.setattr("skill_plugin.skills.skill_files.MAX_TREES", 1000)
    for name in ("one", "two", "three"):
        lay(tmp_path / "in", {"a.md": b"x" * 400}, name=name)
    write_skills(tmp_path / "a.zip", {"one": skill_text("one")}, trees={"one": make_tree({"a.md": b"x" * 1001})})
    for place in (tmp_path / "in", tmp_path / "a.zip"):
        with pytest.raises(InvalidSkillError, match=r"more than 1000 bytes of files; import it in parts"):
            read_skills(place)


def test_what_a_text_points_to_is_found_and_what_it_only_mentions_is_not():
    body = (
        "`scripts/a.py`, ./scripts/b.py, [x](notes.md#y), ![i](pic.png), my/scripts/c.py, scripts/*.sh, scripts/<n>.py"
    )

    assert missing_files(body, make_tree({"scripts/a.py": b""})) == ["scripts/b.py", "notes.md", "pic.png"]
