"""Settings → Channels → Deliverability: what the DNS holds, a key of our own, and signing once it stands there."""

from collections.abc import Sequence

from channels.providers.mail.dkim import record_of
from desk.pages.deliverability import SAID, TOPICS


class PlayedDns:
    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}

    async def txt(self, name: str) -> Sequence[str]:
        return self.texts.get(name, [])

    async def mx(self, name: str) -> Sequence[str]:
        return ["mx.shop.example"]


async def test_a_key_is_made_shown_and_used_once_it_stands_in_the_dns(desk):
    played = desk.runtime.dns = PlayedDns()
    settings = {"from_address": "care@shop.example", "smtp_host": "smtp.shop.example"}
    channel = await desk.runtime.channels.add("email", "Care", settings)
    here = f"/settings/channels/{channel.id}/deliverability"
    ada = await desk.person("admin", name="Ada Admin")
    assert here in await ada.page(f"/settings/channels/{channel.id}")
    first = await ada.page(here)
    assert "v=DMARC1; p=none" in first and "Add this text record." in first and 'data-testid="make-key"' in first
    await ada.post(here, do="make")
    account = await desk.runtime.channels.account(channel.id)
    key = account.settings.dkim_private_key.get_secret_value()
    record, name = record_of(key), f"{account.settings.dkim_selector}._domainkey.shop.example"
    made = await ada.page(here)
    assert record.split("p=")[1][:100] in made.replace("&#43;", "+") and name in made and key[:60] not in made
    assert 'data-testid="sign"' not in made, "mails signed before the record stands would be refused"
    played.texts[name] = [record]
    assert 'data-testid="sign"' in await ada.page(here)
    await ada.post(here, do="sign")
    assert (await desk.runtime.channels.account(channel.id)).settings.dkim_on
    await ada.post(here, do="make")
    again = (await desk.runtime.channels.account(channel.id)).settings.dkim_private_key.get_secret_value()
    assert again == key, "a key in use is not replaced by a slip"
    vera = await desk.person("viewer", name="Vera Viewer")
    assert 'name="do"' not in await vera.page(here)
    await vera.post(here, 403, do="stop")


async def test_what_sends_no_mail_has_no_such_page(desk):
    channel = await desk.runtime.channels.add("generic", "Own", {"secret": "whsec_" + "QUFB" * 8})
    ada = await desk.person("admin", name="Ada Admin")
    await ada.page(f"/settings/channels/{channel.id}/deliverability", 404)


def test_every_topic_has_its_words() -> None:
    assert {code.split("_")[0] for code in SAID} == {topic.split("_")[0] for topic in TOPICS}
