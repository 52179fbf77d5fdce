"""The four steps of a broadcast's draft: audience, content, schedule, review. Each is saved by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from base.errors import Conflict, FieldError, NotFound, Refused, WrongInput
from base.mongo import Document
from campaigns.broadcasts.models import Audience, missing_in, must_read
from campaigns.broadcasts.reviewing import GETS
from campaigns.broadcasts.timing import first_turn, last_turn
from campaigns.facts import RECEIVING_ONLY
from desk.api.scope import must_see_person, reading, refuse_scoped
from desk.auth import principal_of, require
from desk.forms import read_form
from desk.i18n import LANGUAGES, N_, Formats
from desk.keys import runtime_of
from desk.pages.broadcast_form import (
    EVERYBODY,
    AudienceFields,
    ContentFields,
    ScheduleFields,
    arms_shown,
    audience_changes,
    audience_fields,
    content_changes,
    content_fields,
    moved_up,
    own_content,
    place_of,
    read_audience,
    read_content,
    read_schedule,
    schedule_changes,
    schedule_fields,
    with_arm,
    with_language,
    with_two_arms,
    without_arm,
    without_language,
)
from desk.pages.broadcast_preview import (
    Shown,
    arms_said,
    house_utm,
    message_of,
    rendered,
    said_by,
    short_offers,
    untracked,
    who_of,
)
from desk.pages.broadcast_words import LATE, METRICS, broadcast_row, reason_rows
from desk.pages.faces import Face
from desk.pages.mails import MAIL_POLICY, clean_mail
from desk.pages.moments import value_words
from desk.pages.reads import faces_of
from desk.pages.rule_form import ROOT, Built, Node, empty, form_of, read, rule_of, settled
from desk.pages.segment_choices import choices_of
from desk.pages.segment_rows import Choices, adopted, rows_view
from desk.pages.segments import DEEDS, Seen, all_segments, dated, faults_at, seen_of, unfinished_in
from desk.pages.sentences import rule_words
from desk.pages.template_form import own_variables
from desk.render import page, reader_of
from profiles.membership import Preview
from profiles.segments import parse, todays

routes = web.RouteTableDef()
HERE = "/broadcasts"
ONE = HERE + "/{broadcast_id:brd_[0-9a-z]{26}}"
STEPS: Mapping[str, str] = {
    "audience": N_("Audience"), "content": N_("Content"), "schedule": N_("Schedule"), "review": N_("Review"),
}  # fmt: skip
CLASSES = {
    "marketing": N_("Marketing: only to who may be written to for it"),
    "transactional": N_("About something they ordered or asked for"), "service": N_("Service notice"),
}  # fmt: skip
#: What can be put into a message, with an example of what it becomes.
VARIABLES = (
    ("{{ profile.first_name }}", N_("First name")), ("{{ profile.name }}", N_("Name")),
    ("{{ profile.first_name | default('there') }}", N_("First name, or “there”")),
    ("{{ profile.tier }}", N_("Tier")), ("{{ unsubscribe_url }}", N_("Link to unsubscribe")),
    ("{{ preferences_url }}", N_("Link to the preferences")),
)  # fmt: skip
LOCALES = ("zh_CN", "zh_TW", "de", "fr", "es", "it", "nl", "ja", "ko", "pt_BR", "en")
#: Before the names of the fields of the rule of who is left out; a rule without rows.
OUT = "out~"
NO_RULE: Mapping[str, Any] = {"all": []}
#: How long what was sent can be taken back, seconds.
GRACE_S = 10


@dataclass(frozen=True)
class ChannelChoice:
    """A channel that can send; those that are chosen come first, in their order."""

    id: str
    name: str
    face: Face
    chosen: bool
    is_first: bool


# -- what all steps share ------------------------------------------------------------------------------------------


async def head_of(request: web.Request) -> Document:
    """The broadcast of the path. One that uses none of the reader's channels is not there."""
    head: Document = await runtime_of(request).broadcasts.get(request.match_info["broadcast_id"])
    principal = principal_of(request)
    if principal.channels is not None and not any(principal.may_see(each) for each in head["channel_ids"]):
        raise NotFound("There is no such broadcast.")
    return head


async def _draft(request: web.Request) -> Document:
    """A draft that this person may write; others are shown as they are."""
    head = await head_of(request)
    refuse_scoped(reading(request))
    if head["status"] != "draft":
        raise web.HTTPSeeOther(f"{HERE}/{head['_id']}")
    return head


async def _step(
    request: web.Request, head: Document | None, step: str, values: Mapping[str, Any], faults: Mapping[str, str],
    status: int = 200,
) -> web.Response:  # fmt: skip
    name = (head or {}).get("name") or reader_of(request).text(N_("New broadcast"))
    shared = {
        "head": head, "name": name, "step": step, "steps": STEPS, "faults": faults, "rev": (head or {}).get("rev", 0),
        "missing": _missing(head) if head else {},
    }  # fmt: skip
    return await page(request, f"broadcasts/{step}.html", {**shared, **values}, status=status)


def _missing(head: Document) -> dict[str, bool]:
    """Step → whether something is still missing in it."""
    places = {place_of(fault.path) or "w.0" for fault in missing_in(head["body"])}
    return {
        "audience": bool(places & {"name", "channels", "audience", "group"}),
        "content": bool(places & {"template_id", "w.0", "wordings"}),
        "schedule": bool(places - {"name", "channels", "audience", "group", "template_id", "w.0", "wordings"}),
    }


def _said(error: WrongInput | Conflict, formats: Formats) -> dict[str, str]:
    """Field → what is wrong with it; what belongs to none stands under an empty name."""
    found: dict[str, str] = {}
    for each in getattr(error, "errors", ()) or ():
        name = each.path[1:] if each.path.startswith("#") else place_of(each.path)
        found.setdefault(name, formats.text(each.message))
    return found or {"": formats.text(str(error))}


async def _saved(request: web.Request, head: Document, changes: Mapping[str, Any], form: Any) -> Document:
    """The draft with these changes. Raises `Conflict` when somebody else saved since the page was made."""
    rev = str(form.get("rev") or "")
    same = all(head["body"].get(name) == value for name, value in changes.items())
    if same:
        return head
    by = principal_of(request).id
    found: Document = await runtime_of(request).broadcasts.patch(
        head["_id"], changes, by, rev=int(rev) if rev.isascii() and rev.isdigit() else None
    )
    return found


async def _onward(request: web.Request, broadcast_id: str, act: str, after: str) -> web.Response:
    """To the step that was asked for; what the review says is counted anew when somebody comes to it."""
    wanted = act.partition(":")[2] if act.startswith("go:") else after
    if wanted == "list":
        raise web.HTTPSeeOther(HERE)
    if wanted == "review":
        await count_again(request, broadcast_id)
    raise web.HTTPSeeOther(f"{HERE}/{broadcast_id}/{wanted if wanted in STEPS else after}")


async def count_again(request: web.Request, broadcast_id: str) -> None:
    """Begin a review where what was found is of an older draft; what is missing is said on the page itself."""
    runtime = runtime_of(request)
    head = await runtime.broadcasts.get(broadcast_id)
    known = await runtime.broadcasts.review(broadcast_id)
    if known is None or known["rev"] != head["rev"]:
        try:
            await runtime.broadcasts.begin_review(broadcast_id)
        except (WrongInput, Conflict):
            return


# -- audience ------------------------------------------------------------------------------------------------------


class AudienceStep:
    """The first step as one request sees it."""

    def __init__(self, request: web.Request, head: Document | None, choices: Choices) -> None:
        self.request = request
        self.head = head
        self.choices = choices
        self.formats = reader_of(request)
        self.fields, self.node, self.out, self.faults = AudienceFields(), empty(), empty(), dict[str, str]()

    def take(self, body: Mapping[str, Any], rule: Any, left_out: Any) -> None:
        """What the draft says."""
        self.fields = audience_fields(body)
        self.node = form_of(rule) if rule and self.fields.whom != EVERYBODY else empty()
        self.out = form_of(left_out) if left_out else empty()

    def post(self, form: Any, act: str) -> None:
        """What was posted, and one row more or less."""
        self.fields = read_audience(form)
        self.node = self._posted(form.items())
        out = [(name.removeprefix(OUT), value) for name, value in form.items() if name.startswith(OUT)]
        self.out = self._posted(out)
        deed, _, way = act.partition(":")
        if deed in DEEDS and way.startswith(ROOT):
            self.node = DEEDS[deed](self.node, way)
        elif deed in DEEDS and way.startswith(OUT):
            self.out = DEEDS[deed](self.out, way.removeprefix(OUT))
        self._look_at_out()
        if deed == "up":
            self.fields = replace(self.fields, channel_ids=moved_up(self.fields.channel_ids, way))

    def _posted(self, items: Iterable[tuple[str, Any]]) -> Node:
        return dated(settled(adopted(read(items), self.choices)), self.formats)

    def _look_at_out(self) -> None:
        """Who is left out by what is complete of that rule; what is not yet leaves out nobody."""
        rule = rule_of(self.out, whole=False).rule
        try:
            parse(rule, path="rule")
        except WrongInput:
            rule = dict(NO_RULE)
        self.fields = replace(self.fields, left_out=rule if rule != NO_RULE else None)

    def changes(self) -> dict[str, Any]:
        """For the draft. Raises `WrongInput`."""
        wanted = self._whole(self.node, "") if self.fields.whom != EVERYBODY else None
        self.fields = replace(self.fields, left_out=self._whole(self.out, OUT))
        return audience_changes(self.fields, wanted)

    def _whole(self, node: Node, head: str) -> dict[str, Any] | None:
        """The rule of the rows below `head`; None where there are none. Raises `WrongInput` where one is not right."""
        built, unfinished = rule_of(node), unfinished_in(node)
        try:
            if unfinished:
                raise WrongInput("Please look at the marked rows.", [FieldError(each, "") for each in unfinished])
            if node.rows:
                parse(built.rule, path="rule")
        except WrongInput as error:
            found = faults_at(error, built, node, self.formats)
            self.faults |= {head + way if way else way: words for way, words in found.items()}
            raise WrongInput("Please look at the marked rows.") from None
        return built.rule if node.rows else None

    async def page(self, status: int = 200) -> web.Response:
        """The page with a look at whom it finds."""
        runtime = runtime_of(self.request)
        seen = await self._seen()
        values = {
            "fields": self.fields, "channels": await channel_choices(runtime, self.fields.channel_ids),
            "group": rows_view(self.node, self.choices, self.faults, self.formats), "seen": seen, "classes": CLASSES,
            "segments": self.choices.values["segment"], "consents": self.choices.values["consent"],
            "tags": self.choices.tags,
            "out": rows_view(self.out, self.choices, self.faults, self.formats, OUT + ROOT),
        }  # fmt: skip
        return await _step(self.request, self.head, "audience", values, self.faults, status)

    async def _seen(self) -> Seen:
        built = rule_of(self.node, whole=False)
        rule = built.rule if built.rule != NO_RULE else None
        audience = self.fields.audience(rule)
        if audience is None:
            words = N_("Choose segments, write conditions, or say that it is for everybody.")
            return Seen(self.formats.text(words), count="–")
        return await self._look(built, audience)

    async def _look(self, built: Built, audience: Mapping[str, Any]) -> Seen:
        try:
            raw = Audience.model_validate(audience).as_raw()
        except ValidationError:
            return Seen("", fault=self.formats.text(N_("Please look at the marked rows.")))
        words = rule_words(raw, self.formats, self.choices.known)
        unfinished = 0 if self.fields.whom == EVERYBODY else len(built.unfinished)
        unfinished += len(rule_of(self.out, whole=False).unfinished)
        try:
            parse(built.rule, path="rule")
        except WrongInput as error:
            self.faults = faults_at(error, built, self.node, self.formats) | self.faults
            return Seen(words, unfinished=unfinished, fault=self.formats.text(N_("Please look at the marked rows.")))
        try:
            found: Preview = await runtime_of(self.request).segments.preview(raw)
        except (Conflict, WrongInput) as error:
            return Seen(words, unfinished=unfinished, fault=self.formats.text(str(error)))
        return seen_of(found, words, unfinished, self.formats)


async def channel_choices(runtime: Any, chosen: tuple[str, ...]) -> list[ChannelChoice]:
    """Connected channels that can send, the chosen ones first."""
    faces = await faces_of(runtime)
    able = [
        each.id for each in await runtime.channels.list()
        if each.state != "disconnected" and (card := faces.cards.get(each.provider)) and card.kind not in RECEIVING_ONLY
    ]  # fmt: skip
    first = [each for each in chosen if each in able]
    ordered = [*first, *(each for each in able if each not in chosen)]
    return [
        ChannelChoice(each, faces.of(each).name, faces.of(each), each in chosen, bool(first) and each == first[0])
        for each in ordered
    ]


async def _audience_step(request: web.Request, head: Document | None) -> AudienceStep:
    runtime = runtime_of(request)
    choices = await choices_of(runtime, reader_of(request), await all_segments(runtime))
    step = AudienceStep(request, head, choices)
    body = head["body"] if head else {}
    names = (await runtime.terms.now()).tags
    rule: Any = todays((body.get("audience") or {}).get("rule"), names)
    step.take(body, rule, todays(((body.get("audience") or {}).get("exclude") or {}).get("rule"), names))
    return step


@routes.get(HERE + "/new")
@require("marketer")
async def new(request: web.Request) -> web.StreamResponse:
    """The first step of a draft that is not kept yet."""
    refuse_scoped(reading(request))
    step = await _audience_step(request, None)
    choices = await channel_choices(runtime_of(request), ())
    if len(choices) == 1:
        step.fields = replace(step.fields, channel_ids=(choices[0].id,))
    return await step.page()


@routes.get(ONE + "/audience")
@require("marketer")
async def audience(request: web.Request) -> web.StreamResponse:
    """The first step."""
    return await (await _audience_step(request, await _draft(request))).page()


@routes.post(HERE + "/new")
@require("marketer")
async def create(request: web.Request) -> web.StreamResponse:
    """A button of the first step; saving makes the draft."""
    refuse_scoped(reading(request))
    return await _audience_posted(request, None)


@routes.post(ONE + "/audience")
@require("marketer")
async def save_audience(request: web.Request) -> web.StreamResponse:
    """A button of the first step."""
    return await _audience_posted(request, await _draft(request))


async def _audience_posted(request: web.Request, head: Document | None) -> web.StreamResponse:
    form, step = await read_form(request), await _audience_step(request, head)
    act = str(form.get("act") or "save")
    step.post(form, act)
    if act != "save" and not act.startswith("go:"):
        return await step.page()
    try:
        changes = step.changes()
        if head is None:
            given = {name: value for name, value in changes.items() if value is not None}
            saved = await runtime_of(request).broadcasts.create(given, principal_of(request).id)
        else:
            saved = await _saved(request, head, changes, form)
    except (WrongInput, Conflict) as error:
        step.faults |= _said(error, step.formats)
        step.head = await runtime_of(request).broadcasts.get(head["_id"]) if head else None
        return await step.page(422)
    return await _onward(request, saved["_id"], act, "content")


# -- content -------------------------------------------------------------------------------------------------------


@routes.get(ONE + "/content")
@require("marketer")
async def content(request: web.Request) -> web.StreamResponse:
    """The second step."""
    head = await _draft(request)
    return await _content_page(request, head, content_fields(head["body"]), {})


@routes.post(ONE + "/content")
@require("marketer")
async def save_content(request: web.Request) -> web.StreamResponse:
    """A button of the second step."""
    head, form, formats = await _draft(request), await read_form(request), reader_of(request)
    fields, act = read_content(form), str(form.get("act") or "save")
    deed, _, place = act.partition(":")
    if deed == "language":
        fields = with_language(fields)
    elif deed == "unlanguage" and place.isascii() and place.isdigit():
        fields = without_language(fields, int(place))
    if act != "save" and deed != "go":
        return await _content_page(request, head, fields, {}, form)
    try:
        saved = await _saved(request, head, content_changes(fields, head["body"]), form)
    except (WrongInput, Conflict) as error:
        head = await runtime_of(request).broadcasts.get(head["_id"])
        return await _content_page(request, head, fields, _said(error, formats), form)
    return await _onward(request, saved["_id"], act, "schedule")


async def _content_page(
    request: web.Request, head: Document, fields: ContentFields, faults: Mapping[str, str],
    form: Mapping[str, Any] | None = None,
) -> web.Response:  # fmt: skip
    runtime, formats, given = runtime_of(request), reader_of(request), form or {}
    who, locale = await who_of(request, head, given), str(given.get("in") or "")[:20]
    templates = {row["_id"]: row["name"] for row in (await runtime.templates.page(limit=200)).data}
    has_mail, has_other = await _kinds(runtime, head)
    values = {
        "fields": fields, "templates": templates, "who": who, "locale": locale,
        "locales": LOCALES, "languages_known": LANGUAGES, "has_mail": has_mail,
        "has_other": has_other, "utm": (await house_utm(request)).model_dump(),
        "variables": [
            *((code, formats.text(words)) for code, words in VARIABLES),
            *((code, words) for words, code in own_variables((await runtime.terms.now()).fields, formats.language)),
        ],
        "is_marketing": head["body"].get("class", "marketing") == "marketing",
        "shown": await _shown(request, head, fields, who.id, locale, formats),
    }  # fmt: skip
    return await _step(request, head, "content", values, faults, 422 if faults else 200)


async def _kinds(runtime: Any, head: Document) -> tuple[bool, bool]:
    """Whether mail is among its channels, and whether something else is."""
    faces = await faces_of(runtime)
    cards = [faces.cards.get(faces.of(each).provider) for each in head["channel_ids"]]
    mails = [card is not None and card.kind == "email" for card in cards]
    return any(mails), not all(mails) or not mails


async def _shown(
    request: web.Request, head: Document, fields: ContentFields, who: str, locale: str, formats: Formats
) -> Shown:
    if fields.source == "template" and not fields.template_id:
        return Shown(fault=formats.text(N_("Choose a template.")))
    try:
        if fields.source == "template":
            said: Any = (await runtime_of(request).templates.get(fields.template_id))["content"]
        else:
            said = own_content(fields, head["body"].get("content") or {})
    except (WrongInput, NotFound) as error:
        told = [formats.text(each.message) for each in getattr(error, "errors", ()) or ()]
        return Shown(fault=" ".join(told[:2]) or formats.text(str(error)))
    return await message_of(request, head, said, who, locale, utm=fields.utm)


@routes.get(ONE + "/preview")
@require("marketer")
async def preview(request: web.Request) -> web.StreamResponse:
    """The mail as it is saved, on a page that may load nothing and run nothing."""
    head = await head_of(request)
    refuse_scoped(reading(request))
    said = await said_by(request, head, request.query.get("arm"))
    who = await who_of(request, head, request.query)
    made = await rendered(request, head, said or {}, who.id, request.query.get("in") or "")
    text = made.html or f"<pre style='white-space:pre-wrap'>{made.text.replace('<', '&lt;')}</pre>"
    title = "<title>Preview</title>"
    body = f'<!doctype html><html lang="en"><meta charset="utf-8">{title}<base target="_blank">{clean_mail(text)}'
    headers = {"Content-Security-Policy": MAIL_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return web.Response(text=body, content_type="text/html", headers=headers)


# -- schedule ------------------------------------------------------------------------------------------------------


@routes.get(ONE + "/schedule")
@require("marketer")
async def schedule(request: web.Request) -> web.StreamResponse:
    """The third step."""
    head = await _draft(request)
    return await _schedule_page(request, head, schedule_fields(head["body"], reader_of(request)), {})


@routes.post(ONE + "/schedule")
@require("marketer")
async def save_schedule(request: web.Request) -> web.StreamResponse:
    """A button of the third step."""
    head, form, formats = await _draft(request), await read_form(request), reader_of(request)
    fields, act = read_schedule(form), str(form.get("act") or "save")
    deed, _, place = act.partition(":")
    if deed == "arm":
        fields = with_arm(fields)
    elif deed == "unarm" and place.isascii() and place.isdigit():
        fields = without_arm(fields, int(place))
    if act != "save" and deed != "go":
        return await _schedule_page(request, head, fields, {}, form)
    try:
        saved = await _saved(request, head, schedule_changes(fields, head["body"], formats), form)
    except (WrongInput, Conflict) as error:
        head = await runtime_of(request).broadcasts.get(head["_id"])
        return await _schedule_page(request, head, fields, _said(error, formats), form)
    return await _onward(request, saved["_id"], act, "review")


async def _schedule_page(
    request: web.Request, head: Document, fields: ScheduleFields, faults: Mapping[str, str],
    form: Mapping[str, Any] | None = None,
) -> web.Response:  # fmt: skip
    runtime, who = runtime_of(request), await who_of(request, head, form or {})
    arms = await _arms(request, head, arms_shown(fields, head["body"].get("ab") or {}), who.id)
    values = {
        "fields": with_two_arms(fields), "who": who, "arms": arms if fields["trying"] else [], "late": LATE,
        "metrics": METRICS, "untracked": await untracked(request),
        "templates": {row["_id"]: row["name"] for row in (await runtime.templates.page(limit=200)).data},
        "zone": reader_of(request).zone.key, "project_zone": runtime.settings.time_zone,
    }  # fmt: skip
    return await _step(request, head, "schedule", values, faults, 422 if faults else 200)


async def _arms(request: web.Request, head: Document, arms: Sequence[Mapping[str, Any]], who: str) -> list[Shown]:
    """Each wording that is compared, as one person gets it."""
    found = []
    for arm in arms:
        try:
            ((name, said),) = await arms_said(request, head["body"], [arm])
        except NotFound as error:
            found.append(Shown(fault=reader_of(request).text(str(error)), arm=str(arm["name"])))
            continue
        found.append(await message_of(request, head, said, who, arm=name))
    return found


# -- review --------------------------------------------------------------------------------------------------------


@routes.get(ONE + "/review")
@require("marketer")
async def review(request: web.Request) -> web.StreamResponse:
    """The last step: who gets it, who does not and why."""
    return await _review_page(request, await _draft(request))


@routes.post(ONE + "/review")
@require("marketer")
async def count(request: web.Request) -> web.StreamResponse:
    """Count again; or to another step."""
    head, form = await _draft(request), await read_form(request)
    act = str(form.get("act") or "")
    if act.startswith("go:"):
        return await _onward(request, head["_id"], act, "review")
    try:
        await runtime_of(request).broadcasts.begin_review(head["_id"])
    except WrongInput as error:
        return await _review_page(request, head, _said(error, reader_of(request)))
    raise web.HTTPSeeOther(f"{HERE}/{head['_id']}/review")


@routes.post(ONE + "/test")
@require("marketer")
async def test(request: web.Request) -> web.StreamResponse:
    """Send it to oneself, or to somebody an administrator allowed."""
    head, form, formats = await _draft(request), await read_form(request), reader_of(request)
    to = str(form.get("to") or principal_of(request).id)
    as_profile = str(form.get("as") or "")
    try:
        if as_profile:
            as_profile = await must_see_person(reading(request), as_profile)
        await runtime_of(request).broadcast_tests.send(
            head["_id"], [to], as_profile=as_profile or None, arm=str(form.get("arm") or "") or None
        )
    except (WrongInput, Refused) as error:
        told = " ".join(formats.text(each.message) for each in getattr(error, "errors", ()) or ())
        return await _review_page(request, head, {"test": told or formats.text(str(error))})
    raise web.HTTPSeeOther(f"{HERE}/{head['_id']}/review?tested=1")


async def _review_page(
    request: web.Request, head: Document, faults: Mapping[str, str] | None = None
) -> web.StreamResponse:
    runtime, formats = runtime_of(request), reader_of(request)
    wave, faces = await runtime.broadcasts.review(head["_id"]), await faces_of(runtime)
    missing = [] if _complete(head) else _lacking(head, formats)
    who = await who_of(request, head, request.query)
    trial = (head["body"].get("ab") or {}).get("arms") or ()
    names = {row["_id"]: row["name"] for row in await all_segments(runtime)}
    found = {**_COUNTED_NOBODY, **((wave or {}).get("found") or {})}
    values = {
        "row": broadcast_row(head, names, faces, formats, counted=False), "wave": wave,
        "stale": wave is not None and wave["rev"] != head["rev"], "found": found,
        "skipped": await _skipped(request, found, formats), "gets": await _some(request, found, GETS),
        "channels": [(faces.of(each), formats.number(n)) for each, n in (found.get("channels") or {}).items()],
        "arms": found.get("arms") or {}, "lacking": missing, "who": who,
        "arm_names": [each.get("name") for each in trial],
        "testers": await runtime.broadcast_tests.allowed(), "tested": "tested" in request.query,
        "changed": "changed" in request.query,
        "shown": await (_arms(request, head, trial, who.id) if trial else _alone(request, head, who.id)),
        "ends": _ends(head, found, runtime, formats), "short": await short_offers(request, head, found["gets"]),
        "blind": await _blind(request, head),
        "when": when_words(head, formats), "now": head["body"].get("schedule", {}).get("type", "now") == "now",
    }  # fmt: skip
    return await _step(request, head, "review", values, faults or {}, 422 if faults else 200)


async def _blind(request: web.Request, head: Document) -> str:
    """A sentence where wordings are compared by what nobody counts."""
    trial = head["body"].get("ab") or {}
    metric = trial.get("metric", "clicked")
    if not trial or metric not in await untracked(request):
        return ""
    text = N_(
        "Wordings are compared by “%(metric)s”, which is not tracked: unless the provider tells of it, nothing is "
        "counted and none can win."
    )
    formats = reader_of(request)
    return formats.text(text, metric=formats.text(METRICS[metric]))


#: A review that has just begun.
_COUNTED_NOBODY = {"gets": 0, "people": 0, "late": 0}


def _complete(head: Document) -> bool:
    return not missing_in(head["body"])


_LACKS: Mapping[str, tuple[str, str]] = {
    "name": ("audience", N_("It has no name.")), "channels": ("audience", N_("No channel is chosen.")),
    "audience": ("audience", N_("It says nowhere whom it is for.")), "": ("content", N_("Nothing is written yet.")),
    "w.0": ("content", N_("Nothing is written yet.")), "template_id": ("content", N_("Nothing is written yet.")),
}  # fmt: skip


def _lacking(head: Document, formats: Formats) -> list[tuple[str, str]]:
    """(step, what is missing in it)."""
    found = {}
    for fault in missing_in(head["body"]):
        step, words = _LACKS.get(place_of(fault.path), ("schedule", fault.message))
        found[words] = (step, formats.text(words))
    return list(found.values())


async def _skipped(request: web.Request, found: Mapping[str, Any], formats: Formats) -> Any:
    samples = {code: await _some(request, found, code) for code in found.get("skipped") or {}}
    return reason_rows(found.get("skipped") or {}, formats, found.get("reasons") or {}, samples)


async def _some(request: web.Request, found: Mapping[str, Any], code: str) -> list[tuple[str, str]]:
    """(id, name) of the sample under this code."""
    ids = (found.get("samples") or {}).get(code) or []
    profiles = await runtime_of(request).profiles.many(ids) if ids else {}
    return [(each, profiles[each].display_name) for each in ids if each in profiles]


async def _alone(request: web.Request, head: Document, who: str) -> list[Shown]:
    """The one message there is; empty while nothing is written."""
    try:
        said = await said_by(request, head)
    except NotFound as error:
        return [Shown(fault=reader_of(request).text(str(error)))]
    return [await message_of(request, head, said, who)] if said is not None else []


def _ends(head: Document, found: Mapping[str, Any], runtime: Any, formats: Formats) -> str:
    """About when everybody has it."""
    if not found.get(GETS) or not _complete(head):
        return ""
    broadcast, now = must_read(head["body"]), runtime.clock()
    start = first_turn(broadcast, now)
    end = last_turn(broadcast, found[GETS], start, formats.zone)
    if broadcast.ab is not None and broadcast.ab.has_sample and broadcast.ab.decide_after is not None:
        end = max(end, broadcast.ab.decide_after.after(start, formats.zone))
    if (end - start).total_seconds() < 60:
        return formats.text(N_("within minutes of the start"))
    return formats.moment(end)


def when_words(head: Mapping[str, Any], formats: Formats) -> str:
    """When it goes out, in words."""
    schedule = schedule_fields(head["body"], formats)
    if schedule["type"] == "at":
        at = head["body"]["schedule"]["at"]
        return formats.moment(datetime.fromisoformat(at))
    if schedule["type"] == "local":
        words = N_("%(date)s at %(time)s, where each person lives")
        return formats.text(words, date=value_words(schedule["date"], formats), time=schedule["time"])
    return formats.text(N_("As soon as it is sent"))
