"""Macros: several actions on a conversation at one click, with a way back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from base.errors import Refused
from base.ids import id_of
from base.mongo import Document
from campaigns.automation.macros import Macro, Runner
from campaigns.automation.models import (
    WRITTEN_BY,
    Actions,
    AnyAction,
    ChannelId,
    MacroInput,
    Title,
    may_write,
    read_actions,
    written,
)
from campaigns.canned import Answering
from desk.api.contract import Call, Operations, not_there
from desk.api.messages import actor_of
from desk.api.scope import Asking, refuse_sharing
from desk.api.shapes import Body, ConversationId, PageQuery, Patch, Time, View, page, sliced
from desk.auth import Principal
from inbox.models import Conversation

operations = Operations("macros")


class MacroQuery(PageQuery):
    """Narrows the list."""

    conversation: ConversationId | None = Field(None, description="Those that are offered on its channels.")


class MacroPatch(Patch):
    """Parts to replace, each as a whole. What is no longer for everybody is the caller's own."""

    name: Title = ""
    scope: Literal["everybody", "me"] = "everybody"
    channel_ids: tuple[ChannelId, ...] = Field((), max_length=200)
    actions: Actions = ()


class MacroView(View):
    """A macro as it stands. `uses`: how often it was run."""

    id: str
    name: str
    scope: Literal["everybody", "me"]
    channel_ids: list[str]
    actions: list[dict[str, Any]]
    uses: int
    used_at: Time | None
    created_at: Time
    updated_at: Time


class MacroRunBody(Body):
    """On which conversation."""

    conversation_id: ConversationId


class MacroLeftView(View):
    """An action that was left, and why."""

    type: str
    why: str
    sentence: str


class MacroRunView(View):
    """What a run did. It is taken back as any change of conversations is, by `act_id`."""

    act_id: str
    state: Literal["running", "done", "undoing", "undone"]
    changed: int = Field(description="1: something was done.")
    did: list[str] = Field(description="Types of the other actions that were done.")
    left: list[MacroLeftView]


def macro_view(asking: Asking, macro: Macro) -> MacroView:
    """As people and programs see it, without channels that are not theirs."""
    shown = [each for each in macro.channel_ids if asking.principal.may_see(each)]
    return MacroView(
        id=macro.id, name=macro.name, scope="everybody" if macro.owner_id is None else "me", channel_ids=shown,
        actions=written(macro.actions), uses=macro.uses, used_at=macro.used_at, created_at=macro.created_at,
        updated_at=macro.updated_at,
    )  # fmt: skip


def sees_macro(asking: Asking, macro: Macro) -> bool:
    """Whether somebody may see it: one for certain channels is for who sees one of them."""
    return not macro.channel_ids or any(asking.principal.may_see(each) for each in macro.channel_ids)


async def seen_macros(asking: Asking, talk: Conversation | None = None) -> list[Macro]:
    """Those the caller sees; with a conversation those that are offered on its channel."""
    found: list[Macro] = await asking.runtime.macros.seen_by(asking.principal.id)
    seen = [each for each in found if sees_macro(asking, each)]
    return [each for each in seen if talk is None or not each.channel_ids or talk.channel_id in each.channel_ids]


async def one_macro(asking: Asking, macro_id: str, *, removed: bool = False) -> Macro:
    """One that the caller sees; with `removed` also when it was taken away. Raises `NotFound`."""
    macros, user_id = asking.runtime.macros, asking.principal.id
    found: Macro = await (macros.known if removed else macros.get)(macro_id, user_id)
    if not sees_macro(asking, found):
        raise not_there()
    return found


async def macro_to_change(asking: Asking, macro_id: str, *, removed: bool = False) -> Macro:
    """The same, for who may change it. Raises `NotFound`, `Refused`."""
    found = await one_macro(asking, macro_id, removed=removed)
    if found.owner_id is None:
        refuse_sharing(asking)
    return found


def check_macro(asking: Asking, given: dict[str, Any], known: Macro | None = None) -> None:
    """Raise `NotFound` for channels that may not be seen, `Refused` for who may not share, or not write such an
    action. What stands in a macro of one's own (`known`) is judged anew whenever it is saved; what an administrator
    has shared stays, whoever gives it another name."""
    if not all(asking.principal.may_see(each) for each in given.get("channel_ids", ())):
        raise not_there()
    if given.get("scope") == "everybody":
        refuse_sharing(asking)
    actions = read_actions(given["actions"]) if given.get("actions") else ()
    if known is not None and not actions and (known.owner_id is not None or given.get("scope") == "me"):
        actions = known.actions
    refuse_beyond(asking.principal, actions)


def refuse_beyond(principal: Principal, actions: Iterable[AnyAction]) -> None:
    """Raise `Refused` for an action that reaches further than this person may."""
    for each in actions:
        if not may_write(each.type, principal.role, principal.channels):
            wanted = WRITTEN_BY[each.type][-1]
            sentence = f"Only who is {wanted} on all channels may write down an action of the type {each.type}."
            raise Refused(sentence, code="forbidden")


def runner_of(principal: Principal) -> Runner:
    """Who runs one."""
    by = Answering(principal.name, principal.user.email if principal.user else None, principal.masks)
    return Runner(actor_of(principal), by, principal.reach, principal.role)


def run_view(act: Document) -> MacroRunView:
    """As people and programs see it."""
    told = act.get("told") or {}
    return MacroRunView(
        act_id=act["_id"], state=act["state"], changed=act["changed"],
        did=[each["type"] for each in told.get("did", ())],
        left=[MacroLeftView.model_validate(each) for each in told.get("left", ())],
    )  # fmt: skip


@operations("GET", "/macros", roles=["viewer"], query=MacroQuery, returns=list[MacroView])
async def list_macros(call: Call) -> Any:
    """List macros, one's own and everybody's, by name."""
    talk = await _talk(call, call.query.conversation) if call.query.conversation else None
    found, following = sliced(await seen_macros(call, talk), lambda each: each.id, call.query)
    return page([macro_view(call, each) for each in found], following)


@operations("POST", "/macros", roles=["agent"], body=MacroInput, returns=MacroView, status=201)
async def create_macro(call: Call) -> Any:
    """Write a macro. 409 `name_taken` when there is one with this name.

    Texts of answers have blanks as canned replies have. Only an admin of all channels may write one that calls an
    address outside, only a marketer one that begins a journey.
    """
    check_macro(call, call.body.model_dump(mode="json"))
    return macro_view(call, await call.runtime.macros.create(call.body, call.principal.id))


@operations("GET", "/macros/{id:mac}", roles=["viewer"], returns=MacroView)
async def get_macro(call: Call) -> Any:
    """One macro."""
    return macro_view(call, await one_macro(call, call.path["id"]))


@operations("PATCH", "/macros/{id:mac}", roles=["agent"], body=MacroPatch, returns=MacroView)
async def change_macro(call: Call) -> Any:
    """Replace parts of a macro."""
    known = await macro_to_change(call, call.path["id"])
    given = call.body.model_dump(mode="json", include=call.body.model_fields_set)
    check_macro(call, given, known)
    return macro_view(call, await call.runtime.macros.change(known.id, call.principal.id, given))


@operations("DELETE", "/macros/{id:mac}", roles=["agent"])
async def delete_macro(call: Call) -> None:
    """Take a macro away; for 30 days it can be put back."""
    known = await macro_to_change(call, call.path["id"])
    await call.runtime.macros.remove(known.id, call.principal.id)


@operations("POST", "/macros/{id:mac}/restore", roles=["agent"], returns=MacroView)
async def restore_macro(call: Call) -> Any:
    """Undo a deletion."""
    known = await macro_to_change(call, call.path["id"], removed=True)
    return macro_view(call, await call.runtime.macros.restore(known.id, call.principal.id))


@operations("POST", "/macros/{id:mac}/run", roles=["agent"], body=MacroRunBody, returns=MacroRunView)
async def run_macro(call: Call) -> Any:
    """Run a macro on a conversation: what can be done is done, what cannot is left and named.

    `POST /conversations/acts/{act_id}/undo` takes it back: changes as far as nobody has changed them since, an answer
    as long as it has not gone out, tasks that are open, tags. The same `Idempotency-Key` is the same run, also where
    the first try broke off in the middle.
    """
    talk = await _talk(call, call.body.conversation_id)
    macro, key = await one_macro(call, call.path["id"]), call.idempotency_key
    run_id = id_of("act", "macro", call.principal.id, key, macro.id, talk.id) if key else None
    return run_view(await call.runtime.macros.run(macro.id, talk.id, runner_of(call.principal), run_id))


async def _talk(call: Call, conversation_id: str) -> Conversation:
    found: Conversation | None = await call.runtime.conversations.get(conversation_id)
    if found is None:
        raise not_there()
    call.must_see(found.channel_id)
    return found
