"""Decisions of a person: each asks for a reason, which is kept, and counts only if nobody has decided meanwhile."""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from skill_plugin.errors import AlreadyDecidedError, ConfigurationError
from skill_plugin.integrations.page.guard import MAX_BODY
from skill_plugin.integrations.page.nights import gate_said
from skill_plugin.integrations.page.site import Site
from skill_plugin.records import Skill
from skill_plugin.store import SkillStore

LONGEST_REASON = 2000

Decide = Callable[[SkillStore, str, str, int], Skill]

ON_SKILLS: Mapping[str, Decide] = {
    "approve": lambda store, ref, reason, seen: store.promote(ref, reason=reason, seen=seen),
    "reject": lambda store, ref, reason, seen: store.refuse(ref, by="human", reason=reason, seen=seen),
    "release": lambda store, ref, reason, seen: store.restore(ref, reason=reason, seen=seen),
    "roll back": lambda store, ref, reason, seen: store.rollback(ref, reason=reason, seen=seen),
    "retire": lambda store, ref, reason, seen: store.retire(ref, reason=reason, seen=seen),
    "quarantine": lambda store, ref, reason, seen: store.quarantine(ref, reason=reason, seen=seen),
    "restore": lambda store, ref, reason, seen: store.restore(ref, reason=reason, seen=seen),
    "pin": lambda store, ref, reason, seen: store.pin(ref, reason=reason, seen=seen),
    "unpin": lambda store, ref, reason, seen: store.unpin(ref, reason=reason, seen=seen),
}
"""What may be decided on a skill. The reference names a version (`id@2`) where one is meant."""


class RefusedWriteError(ConfigurationError):
    """The page may not change anything, or the form is not the page's own."""


async def decide(site: Site, request: Request) -> Response:
    """Takes a form: does what it says, and leads back to where the result is seen."""
    form = await _form(request)
    if not site.allow_write:
        raise RefusedWriteError("this page only shows; to decide here start it with: skill-plugin ui --allow-write")
    if not site.knows(form.get("token", "")):
        raise RefusedWriteError(
            "the form is not of this page, or the page was started again; open it anew and decide there"
        )
    reason = form.get("reason", "").strip()
    if not reason:
        raise ConfigurationError("a decision needs a reason, which is kept with it; say why")
    if len(reason) > LONGEST_REASON:
        raise ConfigurationError(f"the reason has {len(reason):,} characters; say it in {LONGEST_REASON:,}")
    # In a thread: the store may wait for another writer.
    return RedirectResponse(await run_in_threadpool(_carry_out, site.store, form, reason), 303)


def _carry_out(store: SkillStore, form: Mapping[str, str], reason: str) -> str:
    action, ref = form.get("action", ""), form.get("ref", "")
    if action in ("promote checkpoint", "roll back checkpoint"):
        _on_checkpoint(store, form, reason)
        return "/nights#checkpoints"
    if action not in ON_SKILLS:
        raise ConfigurationError(f"{action[:40]!r} is not a decision; use the page's buttons")
    seen = form.get("seen", "")
    if not (seen.isascii() and seen.isdigit() and len(seen) < 10):
        raise ConfigurationError(
            f"the form says that {seen[:20]!r} decisions were seen; open the page anew and decide there"
        )
    decided = ON_SKILLS[action](store, ref, reason, int(seen))
    if form.get("back") == "/inbox":
        return "/inbox"
    return f"/skills/{quote(decided.name)}#life"


def _on_checkpoint(store: SkillStore, form: Mapping[str, str], reason: str) -> None:
    live = store.checkpoints.live()
    now = live.id if live is not None else ""
    if form.get("live", "") != now:
        raise AlreadyDecidedError(
            f"somebody has decided on the checkpoints since you looked: {now or 'the base model'} is live; look again"
        )
    if form["action"] == "roll back checkpoint":
        store.checkpoints.rollback(by="human", reason=reason)
        return
    found = store.checkpoints.get(form.get("ref", ""))
    if gate_said(store, found.id) != "passed" and form.get("all_the_same") != "yes":
        raise ConfigurationError(
            f"{found.id} has not passed the gate; to promote it all the same tick the box that says so"
        )
    store.checkpoints.promote(found.id, by="human", reason=reason)


async def _form(request: Request) -> dict[str, str]:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise ConfigurationError("a decision comes as a form of the page; use its buttons")
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MAX_BODY:
            raise ConfigurationError(f"the form has over {MAX_BODY:,} bytes; say the reason in fewer words")
    return dict(parse_qsl(read.decode("utf-8", "replace"), keep_blank_values=True))
