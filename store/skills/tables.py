"""The tables of the files of versions: contents once a namespace, and which version has which under what path."""

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary
from sqlmodel import Field

from skill_plugin.store.tables import PREFIX, Table


class BlobRow(Table, table=True):
    """The content of files, kept once however many versions have it."""

    __tablename__ = f"{PREFIX}blob"

    namespace: str = Field(primary_key=True)
    sha256: str = Field(primary_key=True)
    data: bytes = Field(sa_type=LargeBinary)
    size: int


class VersionFileRow(Table, table=True):
    """One file of a version beside its SKILL.md."""

    __tablename__ = f"{PREFIX}version_file"
    __table_args__ = (
        ForeignKeyConstraint(
            ["skill_id", "number"], [f"{PREFIX}skill_version.skill_id", f"{PREFIX}skill_version.number"]
        ),
        ForeignKeyConstraint(["namespace", "sha256"], [f"{PREFIX}blob.namespace", f"{PREFIX}blob.sha256"]),
        Index(None, "namespace", "sha256"),
    )

    skill_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    path: str = Field(primary_key=True)
    namespace: str
    sha256: str
    is_executable: bool = False
    is_text: bool = True
