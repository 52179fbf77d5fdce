"""Settings → Who is who: look who has a value, block it, take it back, put it back."""

import re

from profiles.models import IdentityRef
from profiles.resolve import Reference

HERE = "/settings/who-is-who"


async def test_a_value_is_looked_at_blocked_taken_back_and_put_back(desk):
    refs = [IdentityRef(kind="customer_id", value="w-1"), IdentityRef(kind="email", value="till@who.example")]
    (known,) = await desk.runtime.resolver.identify([Reference(refs)])
    admin = await desk.person("admin", name="Ada Admin")
    looked = await admin.page(f"{HERE}?kind=email&value=Till@who.example")
    assert known.profile_id in looked and "Nothing changes for them" in looked
    assert await admin.post(HERE, kind="email", value="till@who.example") == HERE
    listed = await admin.page(HERE)
    assert "till@who.example" in listed and "Named by an administrator" in listed
    row = re.search(rf"{HERE}/(blk_\w+)/remove", listed)
    assert row is not None
    gone = await admin.page(await admin.post(f"{HERE}/{row[1]}/remove"))
    assert "tells people apart again" in gone and 'data-testid="blocked-value"' not in gone
    await admin.post(HERE, kind="email", value="till@who.example")
    assert 'data-testid="blocked-value"' in await admin.page(HERE)


async def test_a_wrong_value_stands_beside_its_field_and_others_only_read(desk):
    admin = await desk.person("admin", name="Ada Admin")
    assert 'aria-invalid="true"' in await admin.post(HERE, 422, kind="phone", value="nobody")
    assert 'aria-invalid="true"' in await admin.post(HERE, 422, kind="shoe", value="42")
    for role, channels in (("agent", None), ("admin", ["chn_" + "0" * 26])):
        limited = await desk.person(role, channels, name="Lena Limited")
        assert "block-form" not in await limited.page(HERE)
        assert 'data-testid="holders"' not in await limited.page(f"{HERE}?kind=email&value=till@who.example")
        await limited.post(HERE, 403, kind="email", value="a@b.example")
