"""`/r/{token}`: a mark from 1 to 5, or a recommendation from 0 to 10, and words if one likes. Looking changes nothing;
posting counts once."""

from __future__ import annotations

from aiohttp import web

from base.errors import WrongInput
from desk.auth import public
from desk.forms import read_form
from desk.i18n import N_
from desk.keys import runtime_of
from desk.pages.strangers import TOKEN, Stranger, back_to, for_stranger, formats_for, nobody_page, open_page
from inbox.ratings import COMMENT_MAX, question_of

routes = web.RouteTableDef()
MARKS = {5: N_("Very good"), 4: N_("Good"), 3: N_("All right"), 2: N_("Poor"), 1: N_("Bad")}


@routes.get("/r/" + TOKEN)
@public
@for_stranger("rate")
async def show(request: web.Request, stranger: Stranger) -> web.StreamResponse:
    """The form, or thanks."""
    return await _page(request, stranger)


@routes.post("/r/" + TOKEN)
@public
@for_stranger("rate", acts=True)
async def give(request: web.Request, stranger: Stranger) -> web.StreamResponse:
    """Keep the mark; who has given one may still add words."""
    ratings, rating_id = runtime_of(request).ratings, stranger.link.about or ""
    row = await ratings.by_link(rating_id, stranger.identity.id)
    if row is None:
        return nobody_page(request)
    try:
        form = await read_form(request)
    except WrongInput:
        return await _page(request, stranger, wrong=True)
    score, comment = str(form.get("score", "")), str(form.get("comment", ""))[:COMMENT_MAX]
    if row["state"] == "answered":
        await ratings.answer(rating_id, row["score"], comment)
    elif score in {str(each) for each in question_of(row).scores}:
        await ratings.answer(rating_id, int(score), comment)
    else:
        return await _page(request, stranger, wrong=True, comment=comment)
    return back_to(request)


async def _page(
    request: web.Request, stranger: Stranger, *, wrong: bool = False, comment: str = ""
) -> web.StreamResponse:  # fmt: skip
    row = await runtime_of(request).ratings.by_link(stranger.link.about or "", stranger.identity.id)
    if row is None:
        return nobody_page(request)
    values = {
        "marks": MARKS, "nps": question_of(row).kind == "nps", "given": row.get("score"),
        "has_words": bool(row.get("comment")), "wrong": wrong,
        "comment": comment, "comment_max": COMMENT_MAX,
    }  # fmt: skip
    formats = formats_for(request, stranger)
    return open_page(request, "public/rate.html", formats, values, status=422 if wrong else 200)
