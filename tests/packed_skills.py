"""Skills in archives, with whatever else a test puts beside them."""

import io
import tarfile
import zipfile

from fakes import skill_text

GOOD = skill_text()


def make_zip(path, *members, text=GOOD, **options):
    with zipfile.ZipFile(path, "w", options.pop("method", zipfile.ZIP_DEFLATED)) as archive:
        archive.writestr("adding/SKILL.md", text)
        for member in members:
            archive.writestr(*member) if isinstance(member, tuple) else archive.writestr(member, GOOD)
    return path


def make_tar(path, *members, good=True):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for member in [*(["adding/SKILL.md"] if good else []), *members]:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(GOOD) if info.isfile() else 0
            archive.addfile(info, io.BytesIO(GOOD.encode()))
    return path
