"""Forwarding a mail on pages, without a script; and who is new in a mail."""

import re
from typing import Any

from aiohttp import ClientSession

from profiles.edit import ProfileInput
from profiles.models import IdentityRef
from tests.desk.conftest import Desk
from tests.desk.world import channel, wrote


async def test_a_mail_is_forwarded_and_both_sides_lead_to_each_other(desk: Desk) -> None:
    post, shop = await channel(desk.runtime, "email", "Post"), await channel(desk.runtime, name="Shop")
    mail = {"subject": "Pot <b>", "message_id": "<m1@x>", "to": ("hello@shop.example",)}
    talk = await wrote(desk.runtime, post, "ann@tea.example", "Where is <i>it?", name="Ann Tea", mail=mail)
    chat = await wrote(desk.runtime, shop, "4930777", name="Chat Only")
    person, viewer = await desk.person(), await desk.person("viewer", name="Vi Viewer")
    page = await person.page(f"/inbox/{talk.id}")
    (path,) = set(re.findall(rf'href="(/inbox/{talk.id}/messages/msg_[0-9a-z]{{26}}/forward)"', page))
    assert "/forward" not in await person.page(f"/inbox/{chat.id}")
    assert "/forward" not in await viewer.page(f"/inbox/{talk.id}")
    await viewer.page(path, 403)
    scoped = await desk.person(channels=[shop.id], name="Sy Scoped")
    await scoped.page(path, 404)
    shown = await person.page(path)
    assert "Where is &lt;i&gt;it?" in shown and "Fwd: Pot &lt;b&gt;" in shown and "Ann Tea hears nothing of it" in shown
    for wrong, said in (("ann@tea.example", "This is the customer"), ("a@b.example, c@d.example", "Write one address"),
                        ("nobody", "no mail address")):  # fmt: skip
        refused = await person.post(path, 422, to=wrong, text="Kept <u>", client_key="k1")
        assert said in refused and "Kept &lt;u&gt;" in refused
    there = await person.post(path, to="Pots <pots@supplier.example>", text="On its way?", client_key="k2")
    assert there == await person.post(path, to="pots@supplier.example", text="On its way?", client_key="k2")
    child = await person.page(there)
    assert "forwarded from the conversation with Ann Tea" in child and f'href="/inbox/{talk.id}"' in child
    assert "On its way?" in child and "Forwarded message" in child
    parent = await person.page(f"/inbox/{talk.id}")
    assert "forwarded a mail to pots@supplier.example" in parent and f'href="{there}"' in parent
    again = {**mail, "message_id": "<m2@x>", "in_reply_to": ("<m1@x>",), "cc": ("lawyer@law.example",)}
    await wrote(desk.runtime, post, "ann@tea.example", "Well?", minutes_ago=0, name="Ann Tea", mail=again)
    page = await person.page(f"/inbox/{talk.id}")
    assert page.count('data-testid="newcomers"') == 1 and "New in this mail: lawyer@law.example" in page
    assert 'name="cc" value=""' in page and 'data-copy-to="lawyer@law.example"' in page


async def known_by(desk: Desk, account: Any, who: str, address: str) -> None:
    """It is known that this mail address is theirs, as a shop or an import tells."""
    refs = [IdentityRef(kind="channel", channel_id=account.id, value=who), IdentityRef(kind="email", value=address)]
    _, created = await desk.runtime.editor.upsert(ProfileInput(identities=refs))
    assert not created


async def test_who_is_limited_to_some_channels_learns_nothing_of_who_is_known_on_others(desk: Desk) -> None:
    """The address is a customer's on a channel they do not see: it is a stranger's to them, and stays so in what they
    see of it; who sees all finds the customer."""
    runtime, sue_at = desk.runtime, "sue@secret.example"
    post, hidden = await channel(runtime, "email", "Post"), await channel(runtime, name="Hidden shop")
    mail = {"subject": "Pot", "message_id": "<f1@x>", "to": ("hello@shop.example",)}
    talk = await wrote(runtime, post, "ann@tea.example", "Where is it?", name="Ann Tea", mail=mail)
    unseen = await wrote(runtime, hidden, "4930111", "Nobody may know", name="Sue Hidden")
    await known_by(desk, hidden, "4930111", sue_at)
    (line,) = (await runtime.messages.page(talk.id)).data
    path, scoped = f"/inbox/{talk.id}/messages/{line.id}/forward", await desk.person(channels=[post.id], name="Sy")
    before = await runtime.db.handle["profiles"].count_documents({})

    there = await scoped.post(path, to=sue_at, text="Is it yours?", client_key="s1")
    assert there == await scoped.post(path, to=sue_at, text="Is it yours?", client_key="s1")
    child = await runtime.conversations.get(there.rpartition("/")[2])
    assert child.profile_id != unseen.profile_id and child.display_name == sue_at
    assert await runtime.db.handle["profiles"].count_documents({}) == before + 1, "one stranger, asked twice"
    for shown in (await scoped.page(there), await scoped.page(f"/profiles/{child.profile_id}"),
                  await scoped.page("/profiles"), await scoped.page("/inbox?view=all")):  # fmt: skip
        assert not any(word in shown for word in ("Sue Hidden", "4930111", "Nobody may know", unseen.profile_id))
    await scoped.page(f"/inbox/{unseen.id}", 404)
    await scoped.page(f"/profiles/{unseen.profile_id}", 404)
    held = {each.channel_id for each in await runtime.profiles.identities_of(unseen.profile_id) if each.channel_id}
    assert held == {hidden.id}, "nothing of it was joined to whom they do not see"
    suggested = await runtime.db.handle["suggestions"].count_documents({"profile_ids": child.profile_id})
    assert suggested == 0

    known = await runtime.profiles.current([child.profile_id])
    again = await scoped.post(path, to=sue_at, text="Once more", client_key="s2")
    second = await runtime.conversations.get(again.rpartition("/")[2])
    assert second.profile_id == known[child.profile_id]

    other = await channel(runtime, "email", "Third post")
    mail = {**mail, "message_id": "<f3@x>"}
    third = await wrote(runtime, other, "ann@third.example", "Hm?", name="Ann Third", mail=mail)
    (asked,) = (await runtime.messages.page(third.id)).data
    everywhere = await desk.person(name="Eve Everywhere")
    there = await everywhere.post(f"/inbox/{third.id}/messages/{asked.id}/forward", to=sue_at, client_key="e1")
    assert (await runtime.conversations.get(there.rpartition("/")[2])).profile_id == unseen.profile_id


async def test_the_api_keeps_it_from_them_too(desk: Desk) -> None:
    runtime, hal_at = desk.runtime, "hal@secret.example"
    post, hidden = await channel(runtime, "email", "Api post"), await channel(runtime, name="Api hidden")
    mail = {"subject": "Pot", "message_id": "<g1@x>", "to": ("hello@shop.example",)}
    talk = await wrote(runtime, post, "ann@api.example", "Where is it?", name="Ann Api", mail=mail)
    unseen = await wrote(runtime, hidden, "4930222", "Nobody", name="Hal Hidden")
    await known_by(desk, hidden, "4930222", hal_at)
    (line,) = (await runtime.messages.page(talk.id)).data
    secret, _ = await runtime.accounts.new_token("Part of it", "agent", channels=[post.id])
    headers = {"Authorization": f"Bearer {secret}"}
    async with ClientSession(desk.url) as client:
        url = f"/api/v1/messages/{line.id}/forward"
        async with client.post(url, json={"to": hal_at}, headers=headers) as answer:
            said = await answer.json()
            assert answer.status == 201, said
        async with client.get(f"/api/v1/conversations/{said['conversation_id']}", headers=headers) as answer:
            shown = await answer.text()
    assert unseen.profile_id not in shown and "Hal Hidden" not in shown


async def test_our_own_address_is_nobody_new_and_is_put_into_no_copy(desk: Desk) -> None:
    post = await channel(desk.runtime, "email", "Post")
    mail = {"subject": "Pot", "message_id": "<n1@x>", "to": ("boss@tea.example",)}
    await wrote(desk.runtime, post, "ann@tea.example", "Where is it?", name="Ann Tea", mail=mail)
    ours = ("Shop <Hello@shop.example>", "hello+cnv-tag1@shop.example", "reply+tag2@shop.example")
    again = {**mail, "message_id": "<n2@x>", "in_reply_to": ("<n1@x>",), "to": (*ours, "new@tea.example")}
    talk = await wrote(desk.runtime, post, "ann@tea.example", "Well?", minutes_ago=0, name="Ann Tea", mail=again)
    page = await (await desk.person()).page(f"/inbox/{talk.id}")
    assert "New in this mail: new@tea.example" in page
    assert re.findall(r'data-copy-to="([^"]+)"', page) == ["new@tea.example"]
