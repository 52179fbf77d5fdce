"""Writing in the inbox without a script: undo, later, files, quotes, copies, drafts, no answer over unread news."""

import json
import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from aiohttp import FormData
from multidict import MultiDict, MultiDictProxy

from base.clock import now
from base.errors import WrongInput
from desk.pages.composing import addresses_in, written_in
from inbox.answering import AnsweringRules
from inbox.drafts import DraftInput, DraftKey
from inbox.models import Actor, ReplyInput
from tests.desk.world import channel, wrote

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
async def shop(desk):
    return await channel(desk.runtime, name="Shop account")


async def lines(desk, talk):
    return await desk.runtime.messages.raw({"conversation_id": talk.id, "direction": {"$in": ["out", "note"]}})


def acts(page, word):
    """Addresses of the forms that end so."""
    return re.findall(rf'action="(/inbox/[^"]+/messages/[^"]+/{word})"', page)


async def test_an_answer_is_taken_back_and_its_words_are_in_the_composer(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "undine"), await desk.person()
    await person.post(f"/inbox/{talk.id}/reply", text="Oops\nsorry", client_key="u1", mode="reply", resolve="1")
    page = await person.page(f"/inbox/{talk.id}")
    (undo,) = acts(page, "undo")
    assert 'data-testid="undo"' in page and (await desk.runtime.conversations.get(talk.id)).status == "resolved"
    for _ in range(2):
        assert await person.post(undo) == f"/inbox/{talk.id}"
    page = await person.page(f"/inbox/{talk.id}")
    assert acts(page, "undo") == [] and re.search(r"<textarea[^>]*>\nOops\nsorry</textarea>", page)
    fresh = await desk.runtime.conversations.get(talk.id)
    assert (fresh.status, fresh.waiting_since) == ("open", talk.waiting_since)
    await person.post(f"/inbox/{talk.id}/reply", text="Better", client_key="u2", mode="reply")
    assert "Oops" not in await person.page(f"/inbox/{talk.id}")
    await desk.runtime.answering.choose(AnsweringRules(undo_s=0), "usr_x")
    await person.post(f"/inbox/{talk.id}/reply", text="At once", client_key="u3", mode="reply")
    assert [each.get("due_at") for each in await lines(desk, talk) if each.get("text") == "At once"] == [None]
    await desk.runtime.answering.choose(AnsweringRules(), "usr_x")


async def test_files_come_along_without_a_script(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "fil"), await desk.person()
    form = FormData({"csrf": person.csrf, "mode": "reply", "text": "", "client_key": "f1"})
    form.add_field("files", PNG, filename="map.png", content_type="image/png")
    form.add_field("files", b"%PDF-1.4 x", filename="offer.pdf", content_type="application/pdf")
    async with person.client.post(f"/inbox/{talk.id}/reply", data=form, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
    (line,) = await lines(desk, talk)
    assert [each["name"] for each in line["attachments"]] == ["map.png", "offer.pdf"]
    page = await person.page(f"/inbox/{talk.id}")
    assert "offer.pdf" in page
    await person.post(acts(page, "undo")[0])
    page = await person.page(f"/inbox/{talk.id}")
    assert len(re.findall(r'type="hidden" name="file" value="fil_', page)) == 2
    kept = re.findall(r'name="file" value="(fil_[0-9a-z]{26})"', page)
    await person.post(f"/inbox/{talk.id}/reply", text="Here", file=kept[0], client_key="f2", mode="reply")
    assert [[each["name"] for each in line["attachments"]] for line in await lines(desk, talk) if line.get("text")] == [
        ["map.png"]
    ]


async def test_a_message_is_quoted_without_a_script(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "quo", "Which one?"), await desk.person()
    other = await wrote(desk.runtime, shop, "other", "Secret of somebody else")
    (asked,) = await desk.runtime.messages.raw({"conversation_id": talk.id, "direction": "in"})
    (foreign,) = await desk.runtime.messages.raw({"conversation_id": other.id, "direction": "in"})
    page = await person.page(f"/inbox/{talk.id}?quote={asked['_id']}")
    quoting = re.search(r'data-testid="quoting".*?</p>', page, re.S)
    assert quoting and "Which one?" in quoting[0] and f'name="reply_to" value="{asked["_id"]}"' in page
    assert "Secret" not in re.search(r'data-testid="quoting".*?</p>', await person.page(
        f"/inbox/{talk.id}?quote={foreign['_id']}"), re.S)[0]  # fmt: skip
    await person.post(f"/inbox/{talk.id}/reply", text="This", client_key="q1", mode="reply", reply_to=asked["_id"])
    assert (await lines(desk, talk))[0]["reply_to"] == asked["_id"]
    await person.post(f"/inbox/{talk.id}/reply", 422, text="x", client_key="q2", mode="reply", reply_to=foreign["_id"])


async def test_what_goes_later_is_listed_moved_and_taken_back(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "later"), await desk.person()
    at = now() + timedelta(hours=3)
    await person.post(
        f"/inbox/{talk.id}/reply", text="Good morning", client_key="l1", mode="reply", send_at=at.isoformat()
    )
    page = await person.page(f"/inbox/{talk.id}")
    assert page.count('data-testid="planned-line"') == 1 and "1 planned message" in page
    assert page.count('data-testid="message"') == 1, "it stands among what is planned, not among what was said"
    there = (at + timedelta(hours=1)).astimezone(BERLIN)
    (move,) = set(acts(page, "move"))
    await person.post(move, 422, send_later="1", send_on="")
    await person.post(move, 422, send_later="1", send_on="tomorrow")
    await person.post(move, send_later="1", send_on=there.strftime("%Y-%m-%dT%H:%M"))
    (send,) = await desk.runtime.sends.raw({"conversation_id": talk.id})
    assert send["scheduled"] and send["due_at"] != at
    (undo,) = acts(await person.page(f"/inbox/{talk.id}"), "undo")
    await person.post(undo)
    page = await person.page(f"/inbox/{talk.id}")
    assert 'data-testid="planned"' not in page and ">\nGood morning</textarea>" in page
    await person.post(f"/inbox/{talk.id}/reply", 422, text="x", client_key="l2", mode="reply", send_later="1")
    await person.post(f"/inbox/{talk.id}/reply", 403, text="x", client_key="l3", mode="reply",
                      send_at=(now() + timedelta(days=9)).isoformat())  # fmt: skip


async def test_news_is_not_passed_over_and_the_words_are_kept(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "news", minutes_ago=5), await desk.person()
    page = await person.page(f"/inbox/{talk.id}")
    seen = re.search(r'name="seen_seq" value="(\d+)"', page)[1]
    await wrote(desk.runtime, shop, "news", "Wait, no!", minutes_ago=1)
    fields = {"text": "It is sent", "mode": "reply", "seen_seq": seen}
    page = await person.post(f"/inbox/{talk.id}/reply", 409, client_key="g1", **fields)
    assert "Wait, no!" in page and ">\nIt is sent</textarea>" in page and 'data-testid="send-anyway"' in page
    problem = await person.post(f"/inbox/{talk.id}/reply", 409, True, client_key="g2", **fields)
    assert '"code": "newer_messages"' in problem and "There are newer messages" in problem
    person.client.headers["Accept-Language"] = "zh-CN"
    problem = await person.post(f"/inbox/{talk.id}/reply", 409, True, client_key="g2", **fields)
    assert '"code": "newer_messages"' in problem and "此会话中有更新的消息" in problem and '"since": ["msg_' in problem
    await person.post(f"/inbox/{talk.id}/reply", client_key="g3", send_anyway="1", **fields)
    assert [each["text"] for each in await lines(desk, talk)] == ["It is sent"]
    assert await desk.runtime.drafts.get(DraftKey(talk.id, person.user_id)) is None


async def test_what_is_somebody_elses_is_asked_about_or_refused(desk, shop):
    talk, person, other = await wrote(desk.runtime, shop, "mine"), await desk.person(), await desk.person(name="Bo B")
    await other.post(f"/inbox/{talk.id}/assign", assignee=other.user_id)
    for lock, status, anyway in (("warn", 409, True), ("assignee", 409, False)):
        await desk.runtime.answering.choose(AnsweringRules(lock=lock), "usr_x")
        page = await person.post(f"/inbox/{talk.id}/reply", status, text="Hi", client_key=f"a{lock}", mode="reply")
        assert ('data-testid="send-anyway"' in page) == anyway and "somebody else" in page
        expected = 303 if anyway else 409
        await person.post(
            f"/inbox/{talk.id}/reply", expected, text="Hi", client_key=f"b{lock}", mode="reply", send_anyway="1"
        )
        await person.post(f"/inbox/{talk.id}/reply", text="A note", client_key=f"n{lock}", mode="note")
        await other.post(f"/inbox/{talk.id}/reply", text="Mine", client_key=f"m{lock}", mode="reply")
    await desk.runtime.answering.choose(AnsweringRules(), "usr_x")


async def test_a_draft_survives_the_browser(desk, shop):
    talk, person, other = await wrote(desk.runtime, shop, "dra"), await desk.person(), await desk.person(name="Bo B")
    path = f"/inbox/{talk.id}/draft"
    first = json.loads(await person.post(path, 200, True, text="Dear", mode="reply", rev="0"))["rev"]
    second = json.loads(await person.post(path, 200, True, text="Dear D", mode="reply", rev=str(first)))["rev"]
    problem = await person.post(f"/inbox/{talk.id}/draft", 409, True, text="Other", mode="reply", rev=str(first))
    assert "draft_changed" in problem
    page = await person.page(f"/inbox/{talk.id}?view=all")
    assert ">\nDear D</textarea>" in page and page.count('data-testid="row-draft"') == 1
    assert "Dear D" not in await other.page(f"/inbox/{talk.id}"), "nobody reads over a shoulder"
    assert '{"rev": 0}' in await person.post(path, 200, True, text="", mode="reply", rev=str(second))


async def test_what_failed_is_sent_once_more(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "fai"), await desk.person()
    line = await desk.runtime.outbox.reply(talk.id, Actor(person.user_id, "Anna"), ReplyInput(text="Lost"), "r1")
    await desk.runtime.db.collection("messages").update_one(
        {"_id": line.id}, {"$set": {"status": "failed", "reason": {"code": "temporary", "sentence": "No."}}}
    )
    (retry,) = acts(await person.page(f"/inbox/{talk.id}"), "retry")
    await person.post(retry)
    await person.post(retry)
    assert [each["text"] for each in await lines(desk, talk)] == ["Lost", "Lost"]
    page = await person.page(f"/inbox/{talk.id}")
    assert acts(page, "retry") == [] and "It was sent once more." in page


async def test_a_mail_has_a_copy_and_nobody_is_put_there_by_itself(desk):
    account = await channel(desk.runtime, "email", "Mailbox")
    mail = {"message_id": "<m1@x>", "subject": "Order", "to": ["hello@shop.example", "boss@corp.example"],
            "cc": ["Carl <carl@corp.example>"]}  # fmt: skip
    talk, person = await wrote(desk.runtime, account, "kim@corp.example", mail=mail), await desk.person()
    page = await person.page(f"/inbox/{talk.id}")
    assert re.findall(r'data-copy-to="([^"]+)"', page) == ["boss@corp.example", "carl@corp.example"]
    assert 'name="cc" value=""' in page
    assert re.search(r'data-newcomers data-known="[^"]*carl@corp.example[^"]*" hidden', page)
    page = await person.post(f"/inbox/{talk.id}/reply", 422, text="Hi", client_key="c1", mode="reply", cc="carl")
    copy = {"mode": "reply", "rev": "0", "text": "Hi", "cc": "CARL@corp.example, new@x.org"}
    await person.post(f"/inbox/{talk.id}/draft", 200, **copy)
    assert "New in this conversation: <b>new@x.org</b>" in await person.page(f"/inbox/{talk.id}")
    await person.post(
        f"/inbox/{talk.id}/reply", text="Hi", client_key="c2", mode="reply", cc="carl@corp.example; b@x.org",
        subject="New",
    )  # fmt: skip
    (send,) = await desk.runtime.sends.raw({"conversation_id": talk.id})
    assert send["content"]["mail"]["cc"] == ["carl@corp.example", "b@x.org"]
    assert send["content"]["mail"]["subject"] == "New"


async def test_second_thoughts_are_for_those_who_may(desk, shop):
    talk, person = await wrote(desk.runtime, shop, "who"), await desk.person()
    other_shop = await channel(desk.runtime, name="Elsewhere")
    line = await desk.runtime.outbox.reply(talk.id, Actor(None), ReplyInput(text="Hi"), "w1", undo_s=60)
    elsewhere = await wrote(desk.runtime, other_shop, "far")
    viewer, scoped = await desk.person("viewer"), await desk.person(channels=[other_shop.id])
    for act in ("undo", "retry", "move"):
        await viewer.post(f"/inbox/{talk.id}/messages/{line.id}/{act}", 403)
        await scoped.post(f"/inbox/{talk.id}/messages/{line.id}/{act}", 404)
        await scoped.post(f"/inbox/{elsewhere.id}/messages/{line.id}/{act}", 404)
    await viewer.post(f"/inbox/{talk.id}/draft", 403, text="x")
    await scoped.post(f"/inbox/{talk.id}/draft", 404, text="x")
    page = await viewer.page(f"/inbox/{talk.id}")
    assert acts(page, "undo") == [] and 'data-testid="quote"' not in page
    assert acts(await person.page(f"/inbox/{talk.id}"), "undo") == [f"/inbox/{talk.id}/messages/{line.id}/undo"]


def test_addresses_are_read_as_people_write_them():
    assert addresses_in("a@b.cc，c@d.ee；a@b.cc\n e@f.gg ") == ("a@b.cc", "c@d.ee", "e@f.gg")
    for wrong in ("a", "a@b", "@b.cc", "a b@c.dd"):
        with pytest.raises(WrongInput, match="no mail address"):
            addresses_in(wrong)


def test_a_form_is_read_in_the_zone_of_its_writer():
    form = MultiDictProxy(MultiDict({
        "text": "a\r\nb", "mode": "nonsense", "send_later": "1", "send_on": "2026-12-01T09:00", "seen_seq": "x",
        "reply_to": "<script>", "rev": "-1",
    }))  # fmt: skip
    written = written_in(form, ["fil_" + "0" * 26], BERLIN)
    assert written.mode == "reply" and written.draft == DraftInput(text="a\nb", file_ids=("fil_" + "0" * 26,))
    assert (written.seen_seq, written.rev) == (None, 0)
    assert written.send_at == datetime(2026, 12, 1, 8, tzinfo=UTC)


async def test_how_the_house_answers_is_chosen_on_a_page(desk):
    ada, anna = await desk.person("admin"), await desk.person()
    page = await anna.page("/settings/answering")
    assert 'data-testid="save"' not in page and "10 seconds" in page
    await anna.post("/settings/answering", 403, undo_s="0", lock="off")
    for wrong in ({"undo_s": "61", "lock": "off"}, {"undo_s": "", "lock": "off"}, {"undo_s": "5", "lock": "x"}):
        await ada.post("/settings/answering", 422, **wrong)
    where = await ada.post("/settings/answering", undo_s="20", lock="warn")
    assert await desk.runtime.answering.rules() == AnsweringRules(undo_s=20, lock="warn")
    page = await ada.page(where)
    assert 'data-testid="undo"' in page and 'name="undo_s" value="10"' in page
    await ada.post("/settings/answering", undo_s="10", lock="off")
    assert await desk.runtime.answering.rules() == AnsweringRules()


async def test_who_else_has_it_open_is_known_within_scope(desk, shop):
    talk, anna, bo = await wrote(desk.runtime, shop, "loo"), await desk.person(), await desk.person(name="Bo B")
    elsewhere = await channel(desk.runtime, name="Aside")
    scoped = await desk.person("viewer", channels=[elsewhere.id], name="Sam S")
    look, ask = f"/inbox/{talk.id}/look", f"/inbox/viewers?ids={talk.id},cnv_x"
    assert json.loads(await anna.post(look, 200, True, window="w1")) == {"viewers": []}
    seen = json.loads(await bo.post(look, 200, True, window="w2"))
    assert seen == {"viewers": [{"id": anna.user_id, "name": "Anna Agent"}]}
    assert json.loads(await bo.page(ask)) == {talk.id: seen["viewers"]}
    await scoped.post(look, 404, True, window="w3")
    assert json.loads(await scoped.page(ask)) == {}
    # Of two windows one is closed: she is still there.
    await anna.post(look, 200, True, window="w4")
    await anna.post(look, 200, True, window="w1", gone="1")
    assert json.loads(await bo.page(ask)) == {talk.id: seen["viewers"]}
    await anna.post(look, 200, True, window="w4", gone="1")
    assert json.loads(await bo.page(ask)) == {}


async def test_a_reaction_is_given_and_taken_back(desk):
    shop, post = await channel(desk.runtime, name="Reacting shop"), await channel(desk.runtime, "email", "Plain post")
    talk = await wrote(desk.runtime, shop, "4930888", "Thank you!", name="Rea Smit")
    mail = await wrote(desk.runtime, post, "rea@tea.example", "Hi", name="Rea Mail", mail={"subject": "Hi"})
    person, viewer = await desk.person(), await desk.person("viewer", name="Vera Viewer")
    page = await person.page(f"/inbox/{talk.id}")
    (path,) = set(re.findall(rf'action="(/inbox/{talk.id}/messages/msg_[0-9a-z]{{26}}/reaction)"', page))
    assert 'value="🎉"' in page and "React" in page
    assert 'data-testid="react"' not in await person.page(f"/inbox/{mail.id}")
    assert 'data-testid="react"' not in await viewer.page(f"/inbox/{talk.id}")
    await viewer.post(path, 403, emoji="🎉")
    assert await person.post(path, emoji="🎉") == f"/inbox/{talk.id}"
    page = await person.page(f"/inbox/{talk.id}")
    assert re.search(r'class="is-sending" title="Anna Agent" data-testid="reacted">🎉', page)
    (line,) = [each for each in (await desk.runtime.messages.page(talk.id)).data if each.direction == "in"]
    reason = {"code": "content_rejected", "sentence": "The provider refused the content.", "detail": "<b>"}
    await desk.runtime.messages.reaction_became(line.id, 1, "failed", reason)
    page = await person.page(f"/inbox/{talk.id}")
    assert 'data-testid="reaction-fault"' in page and "The reaction was not sent." in page
    await person.post(path, emoji="")
    assert 'data-testid="reacted"' not in await person.page(f"/inbox/{talk.id}")
