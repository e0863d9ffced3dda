"""The files of versions as rows. Within the caller's transaction."""

from collections.abc import Callable

from sqlalchemy import func
from sqlmodel import Session, col, select

from skill_plugin.records import sha256
from skill_plugin.skills.references import missing_paths
from skill_plugin.skills.skill_md import body_of
from skill_plugin.skills.trees import SkillTree, TreeFile, tree_sha256
from skill_plugin.store.skills.tables import BlobRow, VersionFileRow
from skill_plugin.store.sql.database import insert_all_if_absent, insert_if_absent
from skill_plugin.store.tables import SkillRow, SkillVersionRow

_HAS_FILES = col(SkillVersionRow.tree_sha256) != ""


def version_with(session: Session, skill: SkillRow, text: str, tree: SkillTree = ()) -> SkillVersionRow | None:
    """Returns the skill's version of this text with these files."""
    same = (col(SkillVersionRow.skill_id) == skill.id) & (col(SkillVersionRow.sha256) == sha256(text))
    alike = same & (col(SkillVersionRow.tree_sha256) == tree_sha256(text, tree))
    return session.exec(select(SkillVersionRow).where(alike)).first()


def tree_at(session: Session, skill_id: str | None, number: int | None) -> SkillTree:
    """Returns the files of a version by its number; none of one that does not exist."""
    version = session.get(SkillVersionRow, (skill_id, number)) if skill_id and number else None
    return () if version is None else read_tree(session, version)


def paths(session: Session, version: SkillVersionRow) -> tuple[str, ...]:
    """Returns the paths of a version's files, in order."""
    if not version.tree_sha256:
        return ()
    of_version = (col(VersionFileRow.skill_id) == version.skill_id) & (col(VersionFileRow.number) == version.number)
    return tuple(sorted(session.exec(select(VersionFileRow.path).where(of_version)).all()))


def read_tree(session: Session, version: SkillVersionRow) -> SkillTree:
    """Returns the files of a version, in the order of their paths."""
    if not version.tree_sha256:
        return ()
    rows = session.exec(
        select(VersionFileRow.path, BlobRow.data, VersionFileRow.is_executable).where(
            VersionFileRow.skill_id == version.skill_id,
            VersionFileRow.number == version.number,
            col(BlobRow.namespace) == col(VersionFileRow.namespace),
            col(BlobRow.sha256) == col(VersionFileRow.sha256),
        )
    ).all()
    return tuple(sorted((TreeFile(*row) for row in rows), key=lambda file: file.path))


def write_tree(session: Session, version: SkillVersionRow, tree: SkillTree) -> None:
    """Writes the files of a version that is in the database already, because their rows refer to it."""
    of_version = {"skill_id": version.skill_id, "number": version.number, "namespace": version.namespace}
    blobs = {
        file.sha256: {
            "namespace": version.namespace,
            "sha256": file.sha256,
            "data": file.data,
            "size": len(file.data),
        }
        for file in tree
    }
    insert_all_if_absent(session, BlobRow, list(blobs.values()))
    rows = [
        {
            **of_version,
            "path": file.path,
            "sha256": file.sha256,
            "is_executable": file.is_executable,
            "is_text": file.text is not None,
        }
        for file in tree
    ]
    insert_all_if_absent(session, VersionFileRow, rows)


def is_whole(session: Session, version: SkillVersionRow) -> bool:
    """Returns whether the files of a version are those that its hash is of."""
    return tree_sha256(version.text, read_tree(session, version)) == version.tree_sha256


def forget_in_files(session: Session, namespace: str, change: Callable[[str], str]) -> int:
    """Changes the text of files, and deletes the contents that no version has any more; returns how many files were changed.

    Their versions' hashes are not of their content any more until `rehash`.
    """
    changed = 0
    of_text = (VersionFileRow.namespace == namespace, col(VersionFileRow.is_text))
    digests = session.exec(select(VersionFileRow.sha256).where(*of_text).distinct()).all()
    for digest in digests:
        blob = session.get_one(BlobRow, (namespace, digest))
        before = TreeFile("", blob.data)
        made = TreeFile("", change(before.text or "").encode())
        if made.sha256 == digest:
            continue
        new = {"namespace": namespace, "sha256": made.sha256, "data": made.data, "size": len(made.data)}
        insert_if_absent(session, BlobRow, new)
        files = session.exec(select(VersionFileRow).where(*of_text, VersionFileRow.sha256 == digest)).all()
        for file in files:
            file.sha256 = made.sha256
            session.add(file)
        session.flush()
        session.delete(blob)
        session.flush()
        changed += len(files)
    return changed


def rehash(session: Session, namespace: str) -> None:
    """Makes the hashes of versions with files those of what they have now; the functions of one that has changed may not run."""
    with_files = (SkillVersionRow.namespace == namespace, SkillVersionRow.tree_sha256 != "")
    for version in session.exec(select(SkillVersionRow).where(*with_files)).all():
        digest = tree_sha256(version.text, read_tree(session, version))
        if digest != version.tree_sha256:
            version.tree_sha256, version.may_run = digest, False
            session.add(version)
    session.flush()


def broken_files(session: Session, namespace: str) -> tuple[int, list[str]]:
    """Returns how many files versions have, and the versions of which some are not what was written."""
    count = session.exec(select(func.count()).where(VersionFileRow.namespace == namespace)).one()
    statement = select(SkillRow.name, SkillVersionRow).where(
        SkillVersionRow.namespace == namespace, col(SkillVersionRow.skill_id) == col(SkillRow.id), _HAS_FILES
    )
    rows = session.exec(statement.order_by(SkillRow.name, col(SkillVersionRow.number))).all()
    return count, [f"{name[:40]}@{version.number}" for name, version in rows if not is_whole(session, version)]


def missing_in_texts(session: Session, namespace: str) -> list[str]:
    """Returns the live skills whose text points to files that are not beside it, with those files."""
    statement = select(SkillRow.name, SkillVersionRow).where(
        SkillRow.namespace == namespace,
        SkillRow.status == "live",
        col(SkillVersionRow.skill_id) == col(SkillRow.id),
        col(SkillVersionRow.number) == col(SkillRow.live_version),
    )
    found = {
        name: missing_paths(body_of(version.text), paths(session, version))
        for name, version in session.exec(statement.order_by(SkillRow.name)).all()
    }
    return [f"{name[:40]} ({', '.join(gone[:3])})" for name, gone in found.items() if gone]
