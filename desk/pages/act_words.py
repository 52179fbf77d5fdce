"""An act on conversations in words: what was done, how far it is, what was left, and whether it can be taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from base.ids import is_id
from base.mongo import Document
from desk.api.scope import may_see_act
from desk.auth import principal_of
from desk.i18n import N_, NN_, Formats
from desk.keys import runtime_of
from desk.pages.action_titles import TITLES, left_words
from desk.pages.inbox_rows import PRIORITIES
from desk.render import formats_of
from inbox.bulk import MACRO
from profiles.models import SHUT_OUT

SHUT = N_("Shut out: what they write comes in without a sound, and nothing is sent to them")
MERGED = NN_("%(num)s conversation is shown with this one", "%(num)s conversations are shown with this one")
MANY = NN_("%(num)s conversation", "%(num)s conversations")
#: Of a macro on many: where an action was left, or stays when it is taken back.
PARTLY = NN_("in %(num)s something was left", "in %(num)s something was left")
LEFT = NN_("%(num)s left as it was", "%(num)s left as they were")
DONE_STATUS: Mapping[str, str] = {
    "open": N_("Opened again"), "pending": N_("Set to pending"), "resolved": N_("Resolved"),
    "spam": N_("Marked as spam"), "snoozed": N_("Snoozed until they answer"),
}  # fmt: skip
#: Why a conversation was left out or left as it is.
WHY: Mapping[str, str] = {
    "not_found": N_("not there, or not on your channels"), "not_their_channel": N_("on a channel they do not answer"),
    "other_open": N_("another conversation of the same person is open"), "changed_since": N_("changed since"),
    "no_bot": N_("no bot answers on its channel"), "unfit": N_("it is nothing for a bot"),
    "contended": N_("being changed just then"), "failed": N_("could not be changed"),
    "not_offered": N_("on a channel the macro is not for"), "stays": N_("it cannot be taken back"),
    "not_allowed": N_("whoever runs it may not do so any more"),
}  # fmt: skip


@dataclass(frozen=True)
class Did:
    """What was done, beside the button that takes it back. `ids`: the conversations, where they were named."""

    id: str
    words: str
    state: str
    progress: str = ""
    left: str = ""
    ids: str = ""
    #: Where the button leads; empty: it cannot be taken back from here.
    undo_href: str = ""

    @property
    def running(self) -> bool:
        """Whether it is still under way."""
        return self.state in ("running", "undoing")

    @property
    def undoable(self) -> bool:
        """Whether it may be taken back."""
        return bool(self.undo_href) and self.state in ("running", "done")


def did_of(act: Document, names: Mapping[str, str], formats: Formats, *, talk_id: str = "") -> Did:
    """An act as it is told. `names`: colleagues by id; `talk_id`: the conversation that is open."""
    _ = formats.text
    if act["kind"] == "merge":
        return _merge_did(act, formats, talk_id)
    if act["kind"] == MACRO and "did" in act["told"]:
        return _macro_did(act, names, formats)
    shut = act["kind"] == SHUT_OUT
    macro = _(N_("Macro %(name)s"), name=act["told"]["name"]) if act["kind"] == MACRO else ""
    what = _(SHUT) if shut else macro or " · ".join(change_words(act["change"], names, formats))
    undo_href = f"/inbox/acts/{act['_id']}/undo" if not shut else f"/inbox/{talk_id}/shut-out" if talk_id else ""
    is_back = act["state"] in ("undoing", "undone")
    words = _(N_("Taken back: %(what)s"), what=what) if is_back else what
    many = act["total"] != 1 and not shut
    seen, of = (act.get("undone", 0), act["changed"]) if is_back else (act["done"], act["total"])
    count = formats.plural(*MANY, act["changed"])
    progress = ""
    if act["state"] in ("running", "undoing"):
        progress = _(N_("%(done)s of %(total)s"), done=formats.number(seen), total=formats.number(of))
    elif many:
        progress = count
    return Did(act["_id"], words, act["state"], progress, _left(act, formats), ",".join(act["ids"][:200]), undo_href)


def _merge_did(act: Document, formats: Formats, talk_id: str) -> Did:
    merged = formats.plural(*MERGED, len(act["members"]))
    back = formats.text(N_("Taken back: %(what)s"), what=merged)
    over = act["state"] == "unmerged"
    ids = ",".join([act["head_id"], *(each["id"] for each in act["members"])])
    undo_href = f"/inbox/{talk_id}/unmerge" if talk_id else ""
    return Did(act["_id"], back if over else merged, "undone" if over else "done", ids=ids, undo_href=undo_href)


def _macro_did(act: Document, names: Mapping[str, str], formats: Formats) -> Did:
    _, told = formats.text, act["told"]
    done = [_(TITLES[each["type"]]) for each in told["did"]] + change_words(act["change"], names, formats)
    what = _(N_("Macro %(name)s: %(done)s"), name=told["name"], done=" · ".join(done) or _(N_("nothing")))
    is_back = act["state"] in ("undoing", "undone")
    said = [f"{_(TITLES[each['type']])} ({left_words(each, formats)})" for each in told["left"]]
    left = _(N_("Left: %(what)s"), what=", ".join(said)) if said and not is_back else ""
    if is_back:
        what = _(N_("Taken back: %(what)s"), what=_(N_("Macro %(name)s"), name=told["name"]))
        stays = ", ".join(_(TITLES[each["type"]]) for each in act["left_out"] if "type" in each)
        left = _(N_("Stays: %(what)s"), what=stays) if stays else ""
    whole = [each for each in act["left_out"] if "type" not in each]
    if whole:
        rest = _left({**act, "left_out": whole, "left": 1, "partly": 0}, formats)
        left = " · ".join(filter(None, [left, rest]))
    return Did(act["_id"], what, act["state"], "", left, ",".join(act["ids"]), f"/inbox/acts/{act['_id']}/undo")


def _left(act: Document, formats: Formats) -> str:
    partly = act.get("partly", 0) if act["state"] in ("running", "done") else 0
    if not act["left"] and not partly:
        return ""
    reasons = ", ".join(list(dict.fromkeys(_why(each, formats) for each in act["left_out"]))[:3])
    left = [formats.plural(*LEFT, act["left"])] if act["left"] else []
    left += [formats.plural(*PARTLY, partly)] if partly else []
    words = " · ".join(left)
    return f"{words} ({reasons})" if reasons else words


def _why(left_out: Mapping[str, Any], formats: Formats) -> str:
    """Why a conversation was left, or an action of a macro in it."""
    why, kind = left_out["why"], left_out.get("type")
    action = {"why": why, "sentence": left_out.get("sentence") or why}
    said = formats.text(WHY[why]) if why in WHY else left_words(action, formats)
    return f"{formats.text(TITLES[kind])}: {said}" if kind else said


def change_words(change: Mapping[str, Any], names: Mapping[str, str], formats: Formats) -> list[str]:
    """What a change does, part by part."""
    _ = formats.text
    words = []
    if "status" in change:
        until = change.get("snoozed_until")
        when = formats.moment(datetime.fromisoformat(until)) if until else ""
        snoozed = _(N_("Snoozed until %(when)s"), when=when) if when else ""
        words.append(snoozed or _(DONE_STATUS[change["status"]]))
    if change.get("hand_to_bot"):
        words.append(_(N_("Given to the bot")))
    if change.get("take_over"):
        words.append(_(N_("Taken over from the bot")))
    if "assignee_id" in change:
        to = names.get(change["assignee_id"] or "")
        words.append(_(N_("Given to %(name)s"), name=to) if to else _(N_("Given back to everybody")))
    if "team_id" in change:
        team = names.get(change["team_id"] or "")
        words.append(_(N_("Moved to the team %(name)s"), name=team) if team else _(N_("In no team any more")))
    if "priority" in change:
        words.append(_(N_("Priority: %(priority)s"), priority=_(PRIORITIES[change["priority"]])))
    for part, added, removed in (
        ("labels", N_("Label: %(names)s"), N_("Without label: %(names)s")),
        ("participants", N_("Follows: %(names)s"), N_("Follows no more: %(names)s")),
    ):
        moved = change.get(part) or {}
        for key, sentence in (("add", added), ("remove", removed)):
            if moved.get(key):
                shown = [names.get(each, each) if part == "participants" else each for each in moved[key]]
                words.append(_(sentence, names=", ".join(shown)))
    return words


async def did_in(request: web.Request, act: Document | None = None) -> Did | None:
    """The act just done, or the one the address names."""
    principal, runtime = principal_of(request), runtime_of(request)
    asked = request.query.get("did", "")
    if act is None and is_id(asked, "act"):
        act = await runtime.bulk.find(asked)
    if act is None or not may_see_act(principal, act) or not principal.may("agent"):
        return None
    change = act.get("change") or {}
    named = [change.get("assignee_id"), *_listed(change.get("participants") or {})]
    names: dict[str, str] = dict(await runtime.users.names([each for each in named if each]))
    if change.get("team_id"):
        names[change["team_id"]] = act.get("team_name") or ""
    talk_id = request.match_info.get("conversation_id", "")
    return did_of(act, names, formats_of(request, principal), talk_id=talk_id)


def _listed(moved: Mapping[str, Any]) -> list[str]:
    return [*moved.get("add", ()), *moved.get("remove", ())]
