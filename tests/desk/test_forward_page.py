"""Forwarding a mail on pages, without a script; and who is new in a mail."""

import re

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
