"""Who was erased is repeated by nobody: not in what others wrote where they were read, not in what was passed on over
several hands, not in files, and not by mails that come afterwards. What others said themselves stays."""

from collections.abc import Sequence
from typing import Any

import pytest

from channels.vocabulary import Attachment, AttachmentKind, MailParts
from inbox.forwarding import ForwardInput
from inbox.models import ChosenFile, ReplyInput
from inbox.quotes import HEADS, forget, repeats, unquoted
from inbox.store import ConversationRoom, FileStore, MessageRoom, PassedFileRoom
from inbox.store.passed_on import Thread, names_them
from profiles.holdings import Traces
from profiles.store.holdings import Held
from tests.dying import Dying
from tests.inbox.conftest import AGENT, House

CANARY = "xq7vkz2mwp"
ANNA, BOB, POTS, KILN = "anna@shop.example", "bob@shop.example", "pots@supplier.example", "kiln@maker.example"
PHOTO = Attachment(
    kind=AttachmentKind.FILE, file_name=f"{CANARY}.txt", media_type="text/plain", content=f"of {CANARY}".encode()
)
ROOMS = ("conversations", "messages", "message_words", "events", "sends", "files", "blobs.chunks", "words_due")


async def mail(
    house: House, channel_id: str, sender: str, text: str, *, answers: Any = None, quotes: str = "",
    files: Sequence[Attachment] = (), subject: str = "Pots",
) -> Any:  # fmt: skip
    """A mail comes in, perhaps in answer to one of ours; its message."""
    number = await house.database.collection("messages").count_documents({})
    whole = {"full_text": f"{text}\n{quotes}", "html": f"<p>{text}</p><blockquote>{quotes}</blockquote>"}
    given: dict[str, Any] = whole if quotes else {}
    if answers is not None:
        given |= {"in_reply_to": (answers.mail.message_id,), "reply_token": answers.mail.reply_token}
    parts = MailParts(message_id=f"<m{number}@x>", subject=subject, to=("help@shop.example",), **given)
    arrival = house.arrival(
        channel_id, sender, f"m{number}", text, provider="mail", mail=parts, attachments=tuple(files)
    )
    result = await house.inbox.receiver.receive([arrival])
    while await house.inbox.files.fetch(10):
        pass
    found = await house.inbox.messages.get(result.outcomes[0].message_id or "")
    assert found is not None
    return found


async def sent(house: House) -> Any:
    """What went out last, as its reader has it."""
    await house.deliver_all()
    return house.adapter("mail").calls[-1]


async def holding(house: House, word: str) -> set[str]:
    """Collections in which the word stands, as text or in bytes."""
    found = set()
    for name in ROOMS:
        rows = await house.database.collection(name).find({}).to_list(None)
        if any(word in str(row) or word.encode() in bytes(row.get("data", b"")) for row in rows):
            found.add(name)
    return found


def rooms(house: House) -> list[Any]:
    """As in `rapport.holdings`, as far as these tests go."""
    base = house.database
    return [
        Held(base, "sends"), PassedFileRoom(base, FileStore(base), house.clock), MessageRoom(base, house.clock),
        Held(base, "message_words"), ConversationRoom(base, house.inbox.conversations), Held(base, "events"),
    ]  # fmt: skip


async def erased(house: House, profile_id: str) -> None:
    for room in (*rooms(house), *rooms(house)):
        await room.erase(Traces((profile_id,), words=(ANNA,)))


async def test_who_read_along_repeats_nobody(house: House) -> None:
    """Bob answers in Anna's conversation and Anna in Bob's: what each said stays theirs."""
    channel_id = await house.channel("mail")
    first = await mail(house, channel_id, ANNA, f"I am {CANARY}")
    await house.inbox.outbox.reply(first.conversation_id, AGENT, ReplyInput(text="Hello, both"), "k1")
    to_anna = await sent(house)
    inside = await mail(house, channel_id, BOB, "I am her brother", answers=to_anna, quotes=f"> I am {CANARY}")
    assert inside.conversation_id == first.conversation_id and inside.profile_id != first.profile_id

    before = await mail(house, channel_id, BOB, "My own pot", quotes="> We have a sale")
    await house.inbox.outbox.reply(before.conversation_id, AGENT, ReplyInput(text="Which one?"), "k2")
    to_bob = await sent(house)
    hers = await mail(house, channel_id, ANNA, f"The blue one, says {CANARY}", answers=to_bob)
    assert hers.conversation_id == before.conversation_id
    between = f"> The blue one, says {CANARY}\nYes, that one"
    after = await mail(house, channel_id, BOB, between, answers=to_bob, quotes=f"> {CANARY}")
    await house.inbox.outbox.reply(
        before.conversation_id, AGENT, ReplyInput(text=f"> The blue one, says {CANARY}\n\nGladly."), "k3"
    )
    await house.deliver_all()
    assert await holding(house, CANARY) >= {"messages", "events", "sends"}

    await erased(house, first.profile_id)
    assert await holding(house, CANARY) == set()
    kept = {each.id: each for each in (await house.inbox.messages.page(before.conversation_id)).data}
    assert kept[before.id].mail is not None and "We have a sale" in str(kept[before.id].mail), "before she came"
    assert (kept[after.id].text, kept[after.id].deleted_at) == ("Yes, that one", None)
    assert [each.text for each in kept.values() if each.direction == "out"][-1] in ("Gladly.", "Which one?")
    assert {each.text for each in kept.values()} == {"My own pot", "Which one?", "Yes, that one", "Gladly."}
    talk = await house.inbox.conversations.get(before.conversation_id)
    assert talk is not None and talk.subject == "Pots" and talk.last_message is not None
    assert talk.last_message.text == "Gladly."
    row = await house.database.collection("messages").find_one({"_id": inside.id})
    assert row is not None and row["text"] == "I am her brother"


async def test_mails_that_come_afterwards_repeat_nobody(house: House) -> None:
    """In answer to a conversation that is gone, in the one that begins so, and in one that stayed."""
    channel_id = await house.channel("mail")
    first = await mail(house, channel_id, ANNA, f"I am {CANARY}", subject=f"About {CANARY}")
    await house.inbox.outbox.reply(first.conversation_id, AGENT, ReplyInput(text="Hello, both"), "k1")
    to_anna = await sent(house)
    await house.inbox.forwarding.forward(first.id, ForwardInput(to=POTS, text="Is it on its way?"), AGENT, "k2")
    to_pots = await sent(house)
    await erased(house, first.profile_id)

    again = {"quotes": f"> I am {CANARY}", "subject": f"Re: About {CANARY}"}
    late = await mail(house, channel_id, BOB, "And now?", answers=to_anna, **again)
    assert late.conversation_id != first.conversation_id and late.text == "And now?"
    await house.inbox.outbox.reply(
        late.conversation_id, AGENT, ReplyInput(text="It is done.", subject="Your question"), "k3"
    )
    to_bob = await sent(house)
    more = await mail(house, channel_id, BOB, f"Thanks\n> I am {CANARY}\nBob", answers=to_bob, **again)
    assert more.conversation_id == late.conversation_id and more.text == "Thanks\nBob"
    answer = await mail(house, channel_id, POTS, "Tomorrow", answers=to_pots, **again)
    assert answer.text == "Tomorrow" and answer.mail is not None and "subject" not in answer.mail
    assert await holding(house, CANARY) == set()
    own = await mail(house, channel_id, POTS, "New prices", quotes="> ours of May", subject="Prices")
    assert own.mail is not None and "ours of May" in str(own.mail), "another conversation of theirs keeps all"


async def test_a_conversation_that_runs_keeps_its_subject(house: House) -> None:
    """Bob writes about cups when he once more answers what is gone. What is worked off twice is forgotten twice."""
    channel_id = await house.channel("mail")
    first = await mail(house, channel_id, ANNA, f"I am {CANARY}", subject=f"About {CANARY}")
    await house.inbox.outbox.reply(first.conversation_id, AGENT, ReplyInput(text="Hello, both"), "k1")
    to_anna = await sent(house)
    running = await mail(house, channel_id, BOB, "Have you cups?", subject="Cups")
    await erased(house, first.profile_id)

    again = {"quotes": f"> I am {CANARY}", "subject": f"Re: About {CANARY}"}
    late = await mail(house, channel_id, BOB, "And now?", answers=to_anna, **again)
    assert late.conversation_id == running.conversation_id and "subject" not in (late.mail or {})
    talk = await house.inbox.conversations.get(running.conversation_id)
    more = await mail(house, channel_id, BOB, "Or plates?", subject="Cups")
    assert more.conversation_id == running.conversation_id and (more.mail or {})["subject"] == "Cups"
    assert talk.subject == "Cups" and await holding(house, CANARY) == set()

    parts = MailParts(message_id="<twice@x>", subject="Cups", to=("help@shop.example",))
    twice = house.arrival(channel_id, BOB, "twice", "Well?", provider="mail", mail=parts)
    taken = [(await house.inbox.receiver.receive([twice])).outcomes[0] for _ in range(2)]
    assert [(each.state, each.forgets) for each in taken] == [("created", True), ("duplicate", True)]


async def test_over_several_hands_words_and_files_go(house: House) -> None:
    """A supplier sends the file back and asks the maker, through us: nothing of it stays but what they said."""
    channel_id = await house.channel("mail")
    first = await mail(house, channel_id, ANNA, f"I am {CANARY}", files=[PHOTO], subject=f"About {CANARY}")
    await house.inbox.forwarding.forward(first.id, ForwardInput(to=POTS, text="Whose is it?"), AGENT, "k1")
    to_pots = await sent(house)
    back = await mail(
        house, channel_id, POTS, "The kiln's", answers=to_pots, quotes=f"> I am {CANARY}",
        files=[PHOTO, PHOTO.model_copy(update={"file_name": "list.txt", "content": b"prices"})],
    )  # fmt: skip
    asked = ForwardInput(to=KILN, text="Please look.", history=True)
    on = await house.inbox.forwarding.forward(back.id, asked, AGENT, "k2")
    to_kiln = await sent(house)
    assert CANARY in (to_kiln.text or "") and len(to_kiln.attachments) == 2
    await mail(house, channel_id, KILN, "We shall", answers=to_kiln, quotes=f"> > I am {CANARY}")
    bill = PHOTO.model_copy(update={"file_name": "bill.txt", "content": f"bill of {CANARY}".encode()})
    await mail(house, channel_id, KILN, f"This is for {ANNA}", answers=to_kiln, files=[bill])
    kiln = await mail(house, channel_id, KILN, "Something else")
    upload = (await house.inbox.messages.get(first.id)).attachments[0]["file_id"]
    chosen = ReplyInput(text="As you asked", attachments=(ChosenFile(file_id=upload),))
    other = await house.inbox.outbox.reply(kiln.conversation_id, AGENT, chosen, "k3")
    await house.deliver_all()
    gone = await house.inbox.outbox.reply(kiln.conversation_id, AGENT, chosen, "k4")
    await house.database.collection("messages").update_one(  # as after a taking back, or a deletion by the provider
        {"_id": gone.id}, {"$unset": {"attachments": ""}}
    )
    assert await holding(house, CANARY) >= {"messages", "files", "blobs.chunks", "sends"}

    await erased(house, first.profile_id)
    assert await holding(house, CANARY) == set()
    assert await holding(house, "prices") == {"blobs.chunks"}, "the supplier's own file stays"
    told = (await house.inbox.messages.get(on.id)).text
    assert told == "Please look."
    left = (await house.inbox.messages.get(other.id)).attachments
    assert [(each["state"], each["reason"]["code"], "name" in each) for each in left] == [("failed", "erased", False)]
    kept = (await house.inbox.messages.get(back.id)).attachments
    assert [each.get("name") for each in kept] == [None, "list.txt"]


async def test_a_file_of_ours_is_not_theirs(house: House) -> None:
    """What we sent to somebody and then to another is ours: it goes with nobody but its lines."""
    channel_id = await house.channel("mail")
    ann, bob = [await mail(house, channel_id, each, "Prices, please") for each in (ANNA, BOB)]
    prices = Attachment(kind=AttachmentKind.FILE, file_name="p.txt", media_type="text/plain", content=b"prices")
    mine = await house.inbox.outbox.reply(
        ann.conversation_id, AGENT, ReplyInput(text="Here", attachments=(prices,)), "k1"
    )
    while await house.inbox.files.fetch(10):
        pass
    held = (await house.inbox.messages.get(mine.id)).attachments[0]["file_id"]
    same = ReplyInput(text="Here", attachments=(ChosenFile(file_id=held),))
    his = await house.inbox.outbox.reply(bob.conversation_id, AGENT, same, "k2")
    await erased(house, ann.profile_id)
    (kept,) = (await house.inbox.messages.get(his.id)).attachments
    assert kept["state"] == "stored" and await holding(house, "prices") == {"blobs.chunks"}


async def test_killed_anywhere_nothing_stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = Dying(monkeypatch)
    for at in range(1, 33):
        sender = f"anna{at}@shop.example"
        channel_id = await house.channel("mail")
        first = await mail(house, channel_id, sender, f"I am {CANARY}", files=[PHOTO])
        await house.inbox.forwarding.forward(first.id, ForwardInput(to=POTS, text="Hm?"), AGENT, f"k{at}")
        to_pots = await sent(house)
        between = f"> I am {CANARY}\nOh"
        await mail(house, channel_id, POTS, between, answers=to_pots, quotes=f"> I am {CANARY}", files=[PHOTO])
        await dying.on(at, at % 2 == 0, lambda who=first.profile_id: erased(house, who))
        await erased(house, first.profile_id)
        assert await holding(house, CANARY) == set(), at


def test_what_a_chat_message_said_before_it_was_edited_is_no_quotation(house: House) -> None:
    line, traces, talk = {"text": "b", "original": "a"}, Traces(("prf_1",)), Thread("cnv_1")
    room = MessageRoom(house.database, house.clock)
    assert room._change(line, talk, traces, of_mails=False) == {}
    assert room._change(line, talk, traces, of_mails=True) == {"$unset": {"original": ""}}


@pytest.mark.parametrize(
    ("text", "named"),
    [("Please call +49 151 23456789 about order 4711", True), ("On 29.11.2026 (0151) 23456789 rang", True),
     ("Order 4711 of 29.11.2026", False), ("+49 151 99999999", False)],
)  # fmt: skip
def test_a_number_is_found_among_others(text: str, named: bool) -> None:
    assert names_them(text, Traces(("prf_1",), words=("+4915123456789",))) is named


def test_what_a_mail_repeats() -> None:
    assert unquoted("Yes\n> I am\n >> she\nNo") == "Yes\nNo"
    assert unquoted("> all of it") is None and unquoted(None) is None
    assert unquoted(f"Please look.\n\n{HEADS['zh']}\n发件人: Anna\n\nI am") == "Please look."
    assert unquoted("3 > 2") == "3 > 2" and not repeats("3 > 2") and repeats("a\n> b")
    chat = {"text": "> quoted by hand in a chat"}
    assert not forget(chat, ["quotes"]) and chat["text"], "what is no mail repeats nothing"
    line = {"text": "Hi\n> she", "mail": {"subject": "Re: she", "html": "<q>she</q>", "message_id": "<1@x>"}}
    assert forget(line, ["quotes"]) and line == {"text": "Hi", "mail": {"subject": "Re: she", "message_id": "<1@x>"}}
    assert forget(line, ["quotes", "subject"]) and "subject" not in line["mail"]
    assert not forget(line, [])


