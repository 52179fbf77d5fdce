"""Writing to somebody first on pages, without a script: every way with its state, words kept, the visitor sees it."""

import re

from channels.vocabulary import ApprovedTemplate
from inbox.models import Actor
from profiles.models import IdentityRef
from profiles.resolve import Reference
from tests.desk.conftest import Browser, Desk
from tests.desk.test_canned_pages import write
from tests.desk.world import channel, wrote

LINE = {"channel_secret": "s" * 20, "access_token": "t" * 20}


async def known(desk: Desk, *refs: IdentityRef) -> str:
    (found,) = await desk.runtime.resolver.identify([Reference(list(refs), name="Lin Tea")])
    assert found is not None
    return found.profile_id


def way_in(page: str, label: str) -> str:
    """The value of the way that is called so."""
    inside = r"(?:(?!</p>).)*"
    found = re.search(rf'<p class="write-way[^>]*>{inside}value="([^"]+)"{inside}{re.escape(label)}', page, re.S)
    assert found, (label, page)
    return found[1]


async def begun(person: Browser, profile: str, way: str, **fields: str) -> str:
    return await write(person, f"/profiles/{profile}/write", way=way, client_key=f"k-{way}", **fields)


async def test_every_way_is_listed_and_begins_a_conversation(desk: Desk) -> None:
    line = await desk.runtime.channels.add("line", "Line shop", LINE)
    chat = await desk.runtime.channels.add("webchat", "Shop chat", {"allowed_origins": [], "identity_secret": "x" * 20})
    whatsapp, mail = await channel(desk.runtime, name="WA shop"), await channel(desk.runtime, "email", "Post")
    profile = await known(
        desk, IdentityRef(kind="channel", value="U" + "a1" * 16, channel_id=line.id),
        IdentityRef(kind="channel", value="cu_77", channel_id=chat.id),
        IdentityRef(kind="email", value="lin@tea.example"), IdentityRef(kind="phone", value="+4915112345678"),
    )  # fmt: skip
    person = await desk.person()
    found = await person.page("/inbox/new?q=lin")
    assert f'href="/profiles/{profile}/write"' in found and "Nobody found" in await person.page("/inbox/new?q=xyzzy")
    assert f'href="/profiles/{profile}/write"' in await person.page(f"/profiles/{profile}")
    page = await person.page(f"/profiles/{profile}/write")
    assert page.count('data-testid="way"') == 4 and "approved templates only" in page
    for label, each in (("U" + "a1" * 16, line), ("cu_77", chat)):
        there = await begun(person, profile, way_in(page, label), text=f"Hello by {each.name}")
        assert f"Hello by {each.name}" in await person.page(there)
    refused = await write(
        person, f"/profiles/{profile}/write", 422, way=way_in(page, "lin@tea.example"), client_key="m", text="Kept <i>"
    )
    assert "A mail needs a subject" in refused and "Kept &lt;i&gt;" in refused
    there = await begun(person, profile, way_in(page, "lin@tea.example"), text="By mail", subject="Your tea")
    assert "Your tea" in await person.page(there)
    assert "Choose by which way to write" in await write(person, f"/profiles/{profile}/write", 422, text="x")
    approved = ApprovedTemplate(name="hi", language="en", status="approved", body="Hi {{1}}", body_values=1)
    await desk.runtime.approved.replace(whatsapp.id, [approved])
    way = way_in(page, "4915112345678")
    offered = await person.page(f"/profiles/{profile}/write?way={way}")
    assert "Hi {{1}}" in offered and 'value="Lin"' in offered
    there = await person.post(
        f"/profiles/{profile}/write", way=way, name="hi", language="en", client_key="t1", **{"body.0": "Lin"}
    )
    assert "Hi Lin" in await person.page(there)
    assert mail.id and (await person.page("/inbox?view=mine")).count('data-testid="conversation-row"') >= 4


async def test_it_goes_on_where_something_is_open_and_is_nobody_elses_business(desk: Desk) -> None:
    ours, theirs = await channel(desk.runtime, name="Ours"), await channel(desk.runtime, name="Theirs")
    talk = await wrote(desk.runtime, ours, "4930111", name="Bo Open")
    scoped = await desk.person(channels=[theirs.id], name="Ty Scoped")
    await scoped.page(f"/profiles/{talk.profile_id}/write", 404)
    viewer = await desk.person("viewer", name="Vi Viewer")
    await viewer.page(f"/profiles/{talk.profile_id}/write", 403)
    assert "write-first" not in await viewer.page(f"/profiles/{talk.profile_id}")
    person = await desk.person()
    page = await person.page(f"/profiles/{talk.profile_id}/write")
    assert await begun(person, talk.profile_id, way_in(page, "4930111"), text="One more") == f"/inbox/{talk.id}"
    await desk.runtime.shutting_out.shut(talk.profile_id, Actor("usr_x", "X"))
    page = await person.page(f"/profiles/{talk.profile_id}/write")
    assert "Nobody can be reached just now" in page and "shut out; let them in again" in page
