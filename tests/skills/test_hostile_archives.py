"""Archives and folders from strangers: one clear line, nothing imported, nothing written outside, and an answer within seconds."""

import gzip
import io
import os
import random
import stat
import tarfile
import zipfile

import pytest

from fakes import skill_text
from packed_skills import GOOD, make_tar, make_zip
from skill_plugin.errors import InvalidSkillError
from skill_plugin.skills import archives, folders, skill_files
from skill_plugin.skills.skill_md import MAX_BYTES

OUTSIDE = [
    "../SKILL.md",
    "../../../../tmp/skill-plugin-escaped/SKILL.md",
    "adding/../../SKILL.md",
    "/etc/skill-plugin/SKILL.md",
    "//server/share/SKILL.md",
    "C:/skills/SKILL.md",
    "C:\\skills\\SKILL.md",
    "..\\..\\SKILL.md",
    "\\\\server\\share\\SKILL.md",
    "\\SKILL.md",
]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("skip_invalid", [False, True])
def test_a_name_that_leads_outside_spoils_the_archive(refused, tmp_path, name, skip_invalid):
    for place in (make_zip(tmp_path / "a.zip", name), make_tar(tmp_path / "a.tar.gz", name)):
        assert "leads out of its folder" in refused(place, skip_invalid=skip_invalid)


def test_a_name_with_backslashes_that_stays_inside_is_a_path(store, tmp_path):
    store.import_skills(make_zip(tmp_path / "a.zip", ("pack\\sorting\\SKILL.md", skill_text("sorting", body="Sort."))))

    assert [skill.name for skill in store.list()] == ["adding", "sorting"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(refused, tmp_path, kind):
    info = tarfile.TarInfo("sorting/SKILL.md")
    info.type, info.linkname = kind, "/etc/passwd"

    assert "link that leads out of the archive, or a device" in refused(make_tar(tmp_path / "a.tar", info))


KINDS = [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK]


@pytest.mark.parametrize("kind", KINDS)
def test_links_and_devices_in_a_zip(refused, tmp_path, kind):
    info = zipfile.ZipInfo("sorting/SKILL.md")
    info.external_attr = (kind | 0o777) << 16

    assert "link that leads out of the archive, or a device" in refused(
        make_zip(tmp_path / "a.zip", (info, "/etc/passwd"))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_or_device_that_is_not_read_harms_nobody(store, tmp_path, kind):
    info = zipfile.ZipInfo("sorting/data")
    info.external_attr = (kind | 0o777) << 16
    report = store.import_skills(make_zip(tmp_path / "a.zip", (info, "/etc/passwd")))

    assert (report.added, report.left_out_files, report.not_read) == (["adding"], 1, {})


def test_links_in_circles_and_links_without_end(refused, tmp_path):
    members = [link("sorting/SKILL.md", "../b/SKILL.md"), link("b/SKILL.md", "../sorting/SKILL.md")]
    chain = [link(f"c{number}/SKILL.md", f"../c{number + 1}/SKILL.md") for number in range(200)]
    for more in (members, chain, [link("sorting/SKILL.md", "a/" * 2000), link("sorting/SKILL.md", "..")]):
        assert "it is a link" in refused(make_tar(tmp_path / "a.tar", *more))


def test_thousands_of_links_that_lead_through_each_other(store, tmp_path):
    """Each of them is forty hops long; the steps that all may take together are limited."""
    chain = [link(f"x{number}", f"x{number + 1}/" + "y/../" * 20) for number in range(40)]
    many = [link(f"l{number}", "x0") for number in range(5000)]
    hidden = [f".h/{'a/' * 40}SKILL.md"]
    report = store.import_skills(make_tar(tmp_path / "a.tar.gz", *chain, *many, *hidden))

    assert (report.added, len(report.not_read)) == (["adding"], 1)


def link(name, target):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = tarfile.SYMTYPE, target
    return made


def patched(path, field, value):
    """The zip with the size of its last member changed in the central directory."""
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02") + field
    data[at : at + 4] = value.to_bytes(4, "little")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("declared", [10, 2**31, 2**32 - 2])
def test_a_zip_whose_declared_size_lies(refused, tmp_path, declared):
    place = make_zip(tmp_path / "a.zip", ("sorting/SKILL.md", GOOD + " " * 2**24))

    assert refused(patched(place, 24, declared))


def test_a_zip_that_unfolds_into_much_more(refused, tmp_path):
    """64 MiB of blanks in 64 KiB: it is read as far as a skill may go."""
    place = make_zip(tmp_path / "a.zip", ("sorting/SKILL.md", GOOD + " " * 2**26))

    assert place.stat().st_size < 2**17
    assert f"more than {MAX_BYTES} bytes" in refused(place)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_cannot_be_unpacked_piece_by_piece(refused, tmp_path, method):
    assert "unusual method" in refused(make_zip(tmp_path / "a.zip", text=" " * 2**24, method=method))


def test_a_zip_of_too_many_bytes_in_small_pieces(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_UNPACKED", 2**20)
    members = [(f"s{number}/SKILL.md", " " * 60_000) for number in range(30)]

    assert "unfolds into more than" in refused(make_zip(tmp_path / "a.zip", *members))


def blank_tar_gz(path, head, mebibytes, fill=b"\0"):
    """A .tar.gz that begins with a header and goes on for long; gzip allows members one after the other."""
    path.write_bytes(gzip.compress(head) + gzip.compress(fill * 2**24, 1) * (mebibytes // 16))
    return path


def header(name, size, kind=tarfile.REGTYPE):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("name", ["big.bin", "adding/SKILL.md"])
def test_a_gzip_bomb_is_not_unfolded_to_its_end(refused, tmp_path, name):
    place = blank_tar_gz(tmp_path / "a.tar.gz", header(name, 2**34), 1024)

    assert place.stat().st_size < 2**23
    assert "unfolds into more than" in refused(place)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_names_and_attributes_of_hundreds_of_megabytes(refused, tmp_path, kind):
    place = blank_tar_gz(tmp_path / "a.tar.gz", header("././@LongLink", 400 * 2**20, kind), 512, b"11 abc=def\n")

    assert "bytes of file names" in refused(place)


@pytest.mark.parametrize("name", ["a" * 5000, "a/" * 5000 + "SKILL.md"])
def test_a_name_of_thousands_of_characters(refused, tmp_path, name):
    for place in (make_zip(tmp_path / "a.zip", name), make_tar(tmp_path / "a.tar.gz", name)):
        assert "shorten it" in refused(place)


def test_a_chain_of_long_names_without_an_end(refused, tmp_path):
    link = header("././@LongLink", 512, tarfile.GNUTYPE_LONGNAME) + b"a".ljust(512, b"\0")

    place = tmp_path / "a.tar.gz"
    place.write_bytes(gzip.compress(link * 5000))
    assert "cannot be read" in refused(place)


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.REGTYPE])
def test_too_many_members_of_a_tar(refused, tmp_path, kind):
    place = tmp_path / "a.tar.gz"
    place.write_bytes(gzip.compress(header("x", 0, kind) * 20_000, 1) * 20)

    assert "more than 100000 files" in refused(place)


def test_too_many_members_of_a_zip_and_a_folder(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(skill_files, "MAX_MEMBERS", 50)
    folder = tmp_path / "skills" / "adding"
    folder.mkdir(parents=True)
    for number in range(60):
        folder.joinpath(f"{number}.txt").touch()

    assert "more than 50 files" in refused(make_zip(tmp_path / "a.zip", *(f"{number}/" for number in range(60))))
    assert "more than 50 files" in refused(tmp_path / "skills")


def test_too_many_skills(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(skill_files, "MAX_SKILLS", 5)
    names = [f"s{number}/SKILL.md" for number in range(9)]
    for name in names:
        path = tmp_path / "skills" / name
        path.parent.mkdir(parents=True)
        path.write_text(GOOD)

    for place in (make_zip(tmp_path / "a.zip", *names), make_tar(tmp_path / "a.tar", *names), tmp_path / "skills"):
        assert "more than 5 skills" in refused(place)


def test_folders_too_deep(refused, tmp_path):
    deep = tmp_path / "skills" / "/".join("d" * 30)
    deep.mkdir(parents=True)
    deep.joinpath("SKILL.md").write_text(GOOD)

    name = f"{'d/' * 30}SKILL.md"
    for place in (make_zip(tmp_path / "a.zip", name), make_tar(tmp_path / "a.tar", name), tmp_path / "skills"):
        found = folders.look_into(place)
        assert [reason[:33] for reason in found.not_read.values()] == ["it is nested deeper than 10 folder"[:33]]
        assert [skill.folder for skill in found.skills] == ["adding"] * place.is_file()
    assert "nested deeper than 10 folders" in refused(tmp_path / "skills")


def test_a_loop_of_folders_ends(store, tmp_path):
    folder = tmp_path / "skills" / "adding"
    folder.mkdir(parents=True)
    folder.joinpath("SKILL.md").write_text(GOOD)
    folder.joinpath("again").symlink_to(tmp_path / "skills")
    tmp_path.joinpath("skills", "self").symlink_to(tmp_path / "skills" / "self")

    assert store.import_skills(tmp_path / "skills").added == ["adding"]


def test_a_pipe_called_like_a_skill_is_not_waited_for(refused, tmp_path):
    folder = tmp_path / "skills" / "adding"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "SKILL.md")

    assert "it is not a file but a device or a pipe" in refused(tmp_path / "skills")


def test_an_encrypted_zip(refused, tmp_path):
    place = make_zip(tmp_path / "a.zip")
    data = bytearray(place.read_bytes())
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    place.write_bytes(data)

    assert "encrypted" in refused(place)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 0.99])
def test_a_truncated_archive(refused, tmp_path, share):
    body = random.Random(1).randbytes(40_000).hex()
    text = skill_text("sorting", body=body[:60_000])
    whole = make_zip(tmp_path / "a.zip", ("sorting/SKILL.md", text))
    whole.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    assert "cannot be read" in refused(whole)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("sorting/SKILL.md")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    data = tmp_path.joinpath("a.tar.gz").read_bytes()
    tmp_path.joinpath("a.tar.gz").write_bytes(data[: int(share * len(data))])

    assert "cannot be read" in refused(tmp_path / "a.tar.gz")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
@pytest.mark.parametrize("content", [b"", b"PK", b"hello", b"\x1f\x8b", b"\0" * 5000])
def test_what_is_no_archive_at_all(refused, tmp_path, name, content):
    tmp_path.joinpath(name).write_bytes(content)

    assert "cannot be read" in (message := refused(tmp_path / name)) or "no SKILL.md" in message


def damaged(data, chance):
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 6])):
        at = chance.randrange(len(data))
        match chance.randrange(3):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                data[at : at + 4] = b"\xff\xff\xff\xff"
            case _:
                del data[at : at + chance.choice([1, 100, 10_000])]
        data = data or bytearray(b"x")
    return bytes(data)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_a_damaged_archive_is_read_or_refused_in_one_line(tmp_path, name):
    """Five hundred ways to be damaged, the same ones every time."""
    place = tmp_path / name
    others = [f"{'é' * 90}/notes.txt", "sorting/SKILL.md"]
    whole = (make_zip if name == "a.zip" else make_tar)(place, *others).read_bytes()
    chance = random.Random(4)
    messages = []
    for _ in range(500):
        place.write_bytes(damaged(whole, chance))
        try:
            folders.read_skills(place)
        except InvalidSkillError as exc:
            messages.append(str(exc))

    assert len(messages) > 25
    assert max(map(len, messages)) < 600
    assert not any("\n" in message for message in messages)
