"""Skills in and out of the store as SKILL.md files, in the Agent Skills format."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import Session, col, select

from skill_plugin.errors import ConfigurationError, InvalidSkillError
from skill_plugin.records import Skill
from skill_plugin.scanning.findings import Finding, of, sentence
from skill_plugin.skills import folders, skill_md
from skill_plugin.skills.incoming import IncomingSkill, Names, check_names, content_hash, incoming
from skill_plugin.skills.record import SkillRecord, with_record
from skill_plugin.skills.references import missing_files
from skill_plugin.skills.skill_files import FolderContent
from skill_plugin.skills.trees import make_tree
from skill_plugin.store.crashpoints import crashpoint
from skill_plugin.store.signing import signing_key
from skill_plugin.store.skills import screening, tiers, versions
from skill_plugin.store.skills.library import Library
from skill_plugin.store.skills.screening import Content, Screening
from skill_plugin.store.skills.tables import VersionFileRow
from skill_plugin.store.skills.tree_rows import tree_at, version_with
from skill_plugin.store.skills.trees import tree_of
from skill_plugin.store.tables import SkillRow, SkillVersionRow
from skill_plugin.store.vectors import Vector, unit_vector

_BATCH = 64


@dataclass
class SkillImport:
    """The result of an import for each skill, by name; `refused`, `not_read` and `notes` say why, by place.

    `refused` are SKILL.md files with something wrong, `not_read` what lies where nothing is read (hidden, too deep, behind a link),
    `notes` what a person should know of a name or a text, `held` by name why the scanner holds a skill: it waits in quarantine. `left_out` has, by name, what lies beside a SKILL.md and is not
    taken (what systems leave behind, hidden folders), `missing` the files that a text points to and that do not exist.
    `functions` says of skills with functions what their tests said, where somebody ran them: the store itself runs nothing.
    `unsigned` are those of the added and staged ones that brought a record that this store did not write.
    """

    read: int = 0
    added: list[str] = field(default_factory=list)
    staged: list[str] = field(default_factory=list)
    already_there: list[str] = field(default_factory=list)
    for_people: list[str] = field(default_factory=list)
    unsigned: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    not_read: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    left_out_files: int = 0
    left_out: dict[str, list[str]] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)


class SkillExchange(Library):
    """Importing and exporting."""

    def import_skills(
        self,
        path: str | Path | FolderContent,
        *,
        skip_invalid: bool = False,
        fresh: bool = False,
        names: Names = "keep",
    ) -> SkillImport:
        """Takes every skill in a folder, an archive or a file, with its files: all of them, or none.

        A new name is live at once, at the lowest trust tier. A known name with another text or other files becomes its next version, staged. A
        text with its files, or a content, that exists is left out; what the scanner holds is quarantined, what it refuses is invalid; a skill that its author keeps from models (`disable-model-invocation: true`) is
        staged, until a person promotes it. What `export_skills` of this database wrote comes back with its id, its version
        number, its trust tier and its utility; a record that this database did not sign is left aside, and the skill starts fresh: anybody can
        write one. A skill is called what its front matter says, and after its folder if that says nothing.

        Args:
            path: A SKILL.md, a folder of skill folders, a .zip or a .tar.gz; or what `folders.read_skills` read of one.
            skip_invalid: Leave invalid skills out instead of refusing all; a hostile archive is always refused.
            fresh: Leave the record of an exported skill aside.
            names: `adapt` makes a legal name of one that the format does not allow: of `acme::parts`, `acme-parts`.

        Raises:
            InvalidSkillError: there is nothing to import, or something is wrong with it.
            CapacityError: the namespace is full of protected skills.
        """
        check_names(names)
        found = path if isinstance(path, FolderContent) else folders.read_skills(path, self._partition.limits)
        report = SkillImport(read=len(found.skills), left_out_files=found.left_out, not_read=dict(found.not_read))
        ready = self._ready(found, report, names=names, key=signing_key(self._partition.database))
        if report.refused and not skip_invalid:
            where, reason = next(iter(report.refused.items()))
            more = f" (and {len(report.refused) - 1} more)" if len(report.refused) > 1 else ""
            raise InvalidSkillError(
                f"{where}: {reason}{more}; nothing was imported. Correct it, or leave it out: skip_invalid=True, or no --strict"
            )
        vectors = self._embed([made.document.embedded_text for made in ready])
        crashpoint("import.before")
        with self._partition.write() as session:
            contents = self._contents(session)
            for made, vector in zip(ready, vectors, strict=True):
                self._take(session, made, vector, contents, report, fresh=fresh)
            crashpoint("import.middle")
        crashpoint("import.after")
        return report

    def export_skills(
        self, path: str | Path, names: Sequence[str] | None = None, *, replace: bool = False, records: bool = True
    ) -> list[Skill]:
        """Writes skills as `name/SKILL.md` and the files beside it, into a folder or a .zip.

        Lineage and utility are written under `metadata`, signed. All else is to the byte what the store has.

        Args:
            path: A folder without folders of the same names, or a .zip.
            names: The skills (`name`, `id`, `name@2`); by default all live ones.
            replace: Write over the skills' files that are there, and over nothing else.
            records: Off, nothing is written under `metadata`: each SKILL.md is to the byte what the store has, too.

        Raises:
            ConfigurationError: a skill is named twice, or the library has none to export.
            InvalidSkillError: it cannot be written there.
            SkillNotFoundError: a skill or a version does not exist.
        """
        skills = self.list("live") if names is None else [self.get(name) for name in names]
        if not skills:
            raise ConfigurationError("there is no live skill to export; name those you mean, whatever their status")
        key = signing_key(self._partition.database) if records else None
        texts = {skill.name: with_record(skill, key) if records else skill.text for skill in skills}
        if len(texts) < len(skills):
            raise ConfigurationError(
                f"of {len(skills)} skills only {len(texts)} have a name of their own; name each once"
            )
        trees = {skill.name: tree_of(self, skill.ref) for skill in skills if skill.files}
        folders.write_skills(path, texts, replace=replace, trees=trees)
        return skills

    def _ready(
        self, found: FolderContent, report: SkillImport, *, names: Names, key: bytes | None
    ) -> list[IncomingSkill]:
        """Returns the skills that may come in, and notes in the report what is to be known of them."""
        ready: dict[str, IncomingSkill] = {}
        several = []
        for file in found.skills:
            try:
                skill = incoming(file, names=names, key=key)
                name = skill.document.name
                make_tree(skill.tree, self._partition.limits)  # whoever read it may have other limits
                scanned = Content(skill.text, skill.tree).found_by(self._partition.screen)
                Screening(of("block", scanned), ()).check()
                other = ready.setdefault(name, skill)
                if other.called != skill.called:
                    raise InvalidSkillError(
                        f"its name {skill.called!r} would be {name!r} here, and so would {other.called!r} in "
                        f"{other.file.where!r}; rename one of them"
                    )
            except InvalidSkillError as exc:
                report.refused[file.where] = str(exc)
                continue
            several.append(skill)
            said = [skill.note] if skill.note else []
            if noted := of("note", scanned):
                said.append(f"the scanner notes {sentence(noted)}")
            if said:
                report.notes[skill.file.where] = "; ".join(said)
            if skill.file.left_out:
                report.left_out[name] = [*report.left_out.get(name, []), *skill.file.left_out]
            if skill.file.files is not None and (missing := missing_files(skill.document.body, skill.tree)):
                report.missing[name] = [*report.missing.get(name, []), *missing]
        return several

    def _embed(self, texts: list[str]) -> list[Vector]:
        vectors: list[Vector] = []
        for start in range(0, len(texts), _BATCH):
            made = self._partition.vectors.embedder.embed(texts[start : start + _BATCH])
            vectors.extend(unit_vector(values, self._partition.vectors.signature) for values in made)
        return vectors

    def _contents(self, session: Session) -> dict[str, str]:
        """Returns the hashes of the live contents, each with its skill's name."""
        is_live = (
            SkillRow.namespace == self._namespace,
            col(SkillVersionRow.skill_id) == col(SkillRow.id),
            col(SkillVersionRow.number) == col(SkillRow.live_version),
        )
        beside: dict[str, list[tuple[str, str]]] = {}
        of_version = (
            col(VersionFileRow.skill_id) == col(SkillVersionRow.skill_id),
            col(VersionFileRow.number) == col(SkillVersionRow.number),
        )
        files = select(SkillRow.name, VersionFileRow.path, VersionFileRow.sha256).where(*is_live, *of_version)
        for name, *file in sorted(session.exec(files).all()):
            beside.setdefault(name, []).append((file[0], file[1]))
        rows = session.exec(select(SkillRow.name, SkillVersionRow.text).where(*is_live)).all()
        return {content_hash(skill_md.parse(text), beside.get(name, [])): name for name, text in rows}

    def _take(
        self,
        session: Session,
        made: IncomingSkill,
        vector: Vector,
        contents: dict[str, str],
        report: SkillImport,
        *,
        fresh: bool,
    ) -> None:
        name = made.document.name
        known = session.exec(
            select(SkillRow).where(SkillRow.namespace == self._namespace, SkillRow.name == name)
        ).first()
        if contents.get(made.content, name) != name:
            report.already_there.append(name)
            return
        tree = made.tree
        if made.file.files is None and known is not None:  # nobody looked for files, so those that it has stay
            tree = tree_at(session, known.id, known.live_version)
        if known is not None and version_with(session, known, made.text, tree) is not None:
            report.already_there.append(name)
            return
        beside = screening.known_content(session, known.id, known.live_version) if known is not None else None
        held = screening.screened(self._partition.screen, Content(made.text, tree), beside).held
        skill = known or versions.new_skill(session, self._namespace, made.document)
        record = made.record if known is None and not fresh else None
        if record is not None and not record.is_ours:
            report.unsigned.append(name)
            record = None
        if record is not None:
            skill = _take_record(session, skill, record)
        version = versions.new_version(
            session,
            skill,
            made.document,
            made.text,
            vector=vector,
            signature=self._partition.claim_signature(session),
            author="import",
            generation=record.generation if record else 0 if known is None else 1,
            parent=record.parent if record else skill.live_version,
            number=record.version if record else None,
            tree=tree,
        )
        if record is not None:
            tiers.grant(session, skill, version, record.tier)
        contents[made.content] = name
        self._settle(session, made, skill, version, held=held, report=report, is_first=known is None)

    def _settle(
        self,
        session: Session,
        made: IncomingSkill,
        skill: SkillRow,
        version: SkillVersionRow,
        *,
        held: Sequence[Finding],
        report: SkillImport,
        is_first: bool,
    ) -> None:
        """Makes a version that was just written live, if it is a skill's first and nothing stops it; notes it either way."""
        stays = held or made.document.is_for_people
        kind = "revised" if not is_first else "staged" if stays else "added"
        where = made.file.where
        if kind == "added":
            self._go_live(session, skill, version)
        versions.log_event(session, skill, kind, by="import", version=version.number, reason=where)
        if held or not is_first:
            screening.settle(session, skill, version, held, is_first=is_first)
        if held:
            report.held[skill.name] = sentence(held)
            return
        place = {"revised": report.staged, "staged": report.for_people, "added": report.added}[kind]
        place.append(skill.name)


def _take_record(session: Session, skill: SkillRow, record: SkillRecord) -> SkillRow:
    """Gives a skill without versions the id and the numbers that it had in another store; the id if nobody has it."""
    taken = session.get(SkillRow, record.skill_id)
    if taken is None:
        session.delete(skill)
        session.flush()
        skill = SkillRow(**{**skill.model_dump(), "id": record.skill_id})
    skill.utility, skill.uses, skill.wins = record.utility, record.uses, record.wins
    session.add(skill)
    session.flush()
    return skill
