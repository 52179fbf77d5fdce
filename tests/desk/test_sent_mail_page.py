"""`/v/…`: a mail in its receiver's browser; nothing runs, and what is no link leads nowhere."""

from aiohttp import ClientSession

from base.ids import new_id
from campaigns.viewing import Viewed
from profiles.consent_links import PATHS, ConsentLink
from profiles.models import IdentityRef
from profiles.resolve import Reference

EVIL = "<p onclick='x()'>Hi</p><script>alert(1)</script><img src='https://shop.example/a.png'><img src='http://x/y'>"


async def test_it_shows_pictures_and_runs_nothing(desk):
    (known,) = await desk.runtime.resolver.identify([Reference([IdentityRef(kind="email", value="v@who.example")])])
    send_id = new_id("snd")

    class Played:
        async def view(self, about: str, identity_id: str) -> Viewed | None:
            ours = (about, identity_id) == (send_id, known.identity_id)
            return Viewed("<News>", EVIL) if ours else None

    desk.runtime.sent_mails = Played()
    token = desk.runtime.consent_links.token(ConsentLink("view", known.identity_id, "", send_id))
    async with ClientSession(desk.url) as stranger:
        answer = await stranger.get(PATHS["view"] + token)
        text = await answer.text()
        assert answer.status == 200 and "https://shop.example/a.png" in text and "&lt;News&gt;" in text
        assert "script" not in text and "onclick" not in text and "http://x/y" not in text
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "sandbox" in policy and answer.headers["X-Robots-Tag"]
        other = desk.runtime.consent_links.token(ConsentLink("view", known.identity_id, "", new_id("snd")))
        assert (await stranger.get(PATHS["view"] + other)).status == 404
        unsubscribe = desk.runtime.consent_links.token(ConsentLink("unsubscribe", known.identity_id, "news", send_id))
        assert (await stranger.get(PATHS["view"] + unsubscribe)).status == 404, "no link does what another does"
