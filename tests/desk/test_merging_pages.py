"""The pages about merging, without a script: side by side, the queue, the way back, and who may what."""

import re
from typing import Any

import pytest

from base.clock import now
from channels.vocabulary import Address
from profiles.blocking import BlockInput
from profiles.edit import ProfilePatch
from profiles.models import Dispute
from profiles.resolve import Sighting

pytestmark = pytest.mark.timeout(240)


async def two(desk: Any) -> tuple[str, str, str]:
    """A channel and two people on it."""
    secret = {"secret": "whsec_" + "QUFB" * 8, "send_url": "https://receiver.example.org/in"}
    channel = await desk.runtime.channels.add("generic", "Shop", secret)
    ids = []
    for name in ("Anna Bos", "A. Bos"):
        address = Address(channel_id=channel.id, external_id=name)
        (known,) = await desk.runtime.resolver.resolve([Sighting(address, "generic", now())])
        await desk.runtime.editor.patch(known.profile_id, ProfilePatch(name=name, tags=[name[0]]))
        ids.append(known.profile_id)
    return channel.id, ids[0], ids[1]


async def test_two_are_looked_at_merged_and_parted_again(desk: Any) -> None:
    _, anna, double = await two(desk)
    ada = await desk.person("agent", name="Ada Agent")
    found = await ada.page(f"/profiles/{anna}/merge?q=bos")
    assert f"/profiles/{anna}/merge?other={double}" in found and found.count('data-testid="candidate"') == 1
    page = await ada.page(f"/profiles/{anna}/merge?other={double}")
    assert 'name="stays.name" value="this"' in page and "Anna Bos" in page and 'data-testid="moves"' in page
    where = await ada.post(f"/profiles/{anna}/merge", other=double, **{"stays.name": "other"})
    assert where.startswith(f"/profiles/{anna}?merged=mrg_")
    shown = await ada.page(where)
    assert 'data-testid="undo-merge"' in shown and 'data-testid="profile-name">A. Bos' in shown
    merge_id = where.partition("merged=")[2]
    assert merge_id in await ada.page(f"/profiles/{anna}?tab=identities")
    back = await ada.post(f"/profiles/merges/{merge_id}/undo")
    assert back == f"/profiles/{anna}?undone={merge_id}"
    assert 'data-testid="profile-name">Anna Bos' in await ada.page(back)
    assert 'data-testid="profile-name">A. Bos' in await ada.page(f"/profiles/{double}")
    assert 'data-testid="undo-merge"' not in await ada.page(where)


async def test_what_was_edited_since_stays_and_is_asked_about(desk: Any) -> None:
    _, anna, double = await two(desk)
    await desk.runtime.editor.patch(anna, ProfilePatch(attributes={"city": "Oslo"}))
    ada = await desk.person("agent", name="Ada Agent")
    where = await ada.post(f"/profiles/{anna}/merge", other=double, **{"stays.name": "other"})
    merge_id = where.partition("merged=")[2]
    await desk.runtime.editor.patch(anna, ProfilePatch(name="Annabel", attributes={"city": "Bergen"}))
    back = await ada.post(f"/profiles/merges/{merge_id}/undo", back="duplicates")
    assert back == f"/profiles/{anna}?undone={merge_id}", "it is asked about where the person is shown"
    asked = await ada.page(back)
    assert "Name: Annabel – before: Anna Bos" in asked and 'data-testid="profile-name">Annabel' in asked
    assert 'name="field" value="name"' in asked
    vera = await desk.person("viewer", name="Vera Viewer")
    assert 'data-testid="put-back"' not in await vera.page(back)
    await ada.post(f"/profiles/merges/{merge_id}/kept", field="next_follow_up")  # nothing that is set by hand
    await vera.post(f"/profiles/merges/{merge_id}/kept", 403, field="name")
    await ada.post("/profiles/merges/mrg_x/kept", 404, field="name")
    assert await ada.post(f"/profiles/merges/{merge_id}/kept", field="name") == back
    answered = await ada.page(back)
    assert 'data-testid="profile-name">Anna Bos' in answered and "before: Anna Bos" not in answered
    assert (await desk.runtime.profiles.get(anna)).attributes["city"] == "Bergen", "what was not chosen stays"


async def test_who_sees_no_addresses_sees_none_of_before(desk: Any) -> None:
    _, anna, double = await two(desk)

    async def lives(who: str, street: str) -> None:
        await desk.runtime.editor.patch(who, ProfilePatch.model_validate({"address": {"street": street}}))

    await lives(anna, "Old Street 3")
    await lives(double, "Other Street 4")
    ada, ben = await desk.person("agent", name="Ada Agent"), await desk.person("agent", name="Ben Behind")
    await desk.runtime.users.change_user(ben.user_id, {"masks": ["addresses"]})
    assert "Other Street 4" in await ada.page(f"/profiles/{anna}/merge?other={double}")
    assert "Street" not in await ben.page(f"/profiles/{anna}/merge?other={double}")
    where = await ada.post(f"/profiles/{anna}/merge", other=double, **{"stays.address": "other"})
    merge_id = where.partition("merged=")[2]
    await lives(anna, "New Street 5")
    back = await ada.post(f"/profiles/merges/{merge_id}/undo")
    assert "Old Street 3" in await ada.page(back) and "Street" not in await ben.page(back)
    await ben.post(f"/profiles/merges/{merge_id}/kept", field="address")
    assert (await desk.runtime.profiles.get(anna)).address.street == "New Street 5"
    await ada.post(f"/profiles/merges/{merge_id}/kept", field="address")
    assert (await desk.runtime.profiles.get(anna)).address.street == "Old Street 3"


async def test_the_queue_is_answered_with_one_press_and_taken_back(desk: Any) -> None:
    _, anna, double = await two(desk)
    pair = Dispute(anna, double, "phone", "phone:+4915112345", "unverified")
    await desk.runtime.profiles.suggestions.note([pair], now())
    ada = await desk.person("agent", name="Ada Agent")
    queue = await ada.page("/profiles/duplicates")
    assert queue.count('data-testid="pair"') == 1 and "+4915112345" in queue
    assert 'data-testid="twin"' in await ada.page(f"/profiles/{anna}")
    assert 'data-kind="pair"' in await ada.page("/today")
    found = re.search(r"/profiles/duplicates/(sug_\w+)/dismiss", queue)
    assert found is not None
    where = await ada.post(f"/profiles/duplicates/{found[1]}/dismiss")
    gone = await ada.page(where)
    assert 'data-testid="dismissed"' in gone and 'data-testid="pair"' not in gone
    assert 'data-kind="pair"' not in await ada.page("/today")
    assert await ada.post(f"/profiles/duplicates/{found[1]}/reopen") == "/profiles/duplicates"
    merged = await ada.post(f"/profiles/{anna}/merge", other=double, back="duplicates")
    page = await ada.page(merged)
    assert 'data-testid="undo-merge"' in page and 'data-testid="pair"' not in page
    back = await ada.post(f"/profiles/merges/{merged.partition('merged=')[2]}/undo", back="duplicates")
    assert 'data-testid="pair"' in await ada.page(back)


async def test_the_queue_says_why_a_pair_did_not_join_by_itself(desk: Any) -> None:
    _, anna, double = await two(desk)
    ada = await desk.person("agent", name="Ada Agent")
    note, at = desk.runtime.profiles.suggestions.note, now()

    async def why() -> str:
        queue = await ada.page("/profiles/duplicates")
        (pair,) = [each for each in queue.split("<article")[1:] if anna in each and double in each]
        return pair.split('data-testid="apart">', 1)[1].split("</dd>", 1)[0]

    await note([Dispute(anna, double, "phone", "phone:+4915112347", "other_profile")], at)
    assert "never joined unasked" in await why()
    await desk.runtime.blocking.add(BlockInput(kind="phone", value="+4915112347"), None)
    assert "+4915112347 joins nobody" in await why()
    merged = await ada.post(f"/profiles/{anna}/merge", other=double)
    await ada.post(f"/profiles/merges/{merged.partition('merged=')[2]}/undo")
    assert "until somebody parted them" in await why()
    known = [await desk.runtime.resolver.refer("customer_id", each, create=True) for each in ("K-1", "K-2")]
    await note([Dispute(known[0].profile_id, known[1].profile_id, "email", "email:x@example.org")], at)
    assert "They have different customer numbers." in await ada.page("/profiles/duplicates")


async def test_who_sees_only_a_part_merges_nothing_and_a_viewer_only_reads(desk: Any) -> None:
    channel, anna, double = await two(desk)
    other = await desk.runtime.channels.add(
        "generic", "Other", {"secret": "whsec_" + "QUFB" * 8, "send_url": "https://receiver.example.org/in"}
    )
    await desk.runtime.profiles.suggestions.note([Dispute(anna, double, "phone", "phone:+4915112346")], now())
    foreign = await desk.person("agent", channels=[other.id], name="Finn Foreign")
    await foreign.page(f"/profiles/{anna}/merge?other={double}", 404)
    await foreign.post(f"/profiles/{anna}/merge", 404, other=double)
    assert anna not in await foreign.page("/profiles/duplicates")
    viewer = await desk.person("viewer", name="Vera Viewer")
    queue = await viewer.page("/profiles/duplicates")
    assert anna in queue and 'data-testid="dismiss"' not in queue
    await viewer.post(f"/profiles/{anna}/merge", 403, other=double)
    await viewer.page(f"/profiles/{anna}/merge", 403)
    insider = await desk.person("agent", channels=[channel], name="Ina Insider")
    assert anna in await insider.page("/profiles/duplicates")
    done = await insider.post(f"/profiles/{anna}/merge", other=double)
    assert "merged=mrg_" in done


async def test_what_cannot_be_one_person_says_why_and_offers_no_button(desk: Any) -> None:
    ids = []
    for number in ("C-1", "C-2"):
        known = await desk.runtime.resolver.refer("customer_id", number, create=True)
        ids.append(known.profile_id)
    ada = await desk.person("agent", name="Ada Agent")
    path = f"/profiles/{ids[0]}/merge"
    page = await ada.page(f"{path}?other={ids[1]}")
    assert "different customer numbers" in page and 'data-testid="do-merge"' not in page
    assert await ada.post(path, other=ids[1]) == f"{path}?other={ids[1]}"
    await ada.post(path, 422, other="x")
    await ada.post("/profiles/merges/mrg_x/undo", 404)
