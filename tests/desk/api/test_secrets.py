"""Canaries planted where secrets and what is only stored belong: none of them stands in any answer."""

from desk.api.routes import OPERATIONS
from tests.desk.api.conftest import CANARY, World, answer_of
from tests.desk.api.test_scope import path_of

HASH = "argon2-canary-4711"


async def test_no_answer_shows_a_secret(world: World) -> None:
    runtime = world.runtime
    user = await runtime.users.add_user("canary@example.org", "Canary", "agent")
    await runtime.users.set_password_hash(user.id, HASH)
    await runtime.users.open_session("session-canary", user.id, agent="t", address="::1")
    link = await runtime.accounts.password_link(user.id)
    planted = [CANARY, CANARY.removeprefix("whsec_"), HASH, "session-canary", link, *world.tokens.values()]
    planted += [each.get_secret_value() for each in runtime.settings.secret_keys]
    planted += [runtime.settings.mongo_url.get_secret_value(), "ciphertext", "password_hash", "body_hash"]
    async with world.client() as client:
        texts = [
            await (await client.get(path)).text() for path in ("/api/openapi.json", "/metrics", "/readyz", "/api/docs")
        ]
        for operation in OPERATIONS:
            if operation.method == "GET" and not operation.elsewhere:
                texts.append(await (await client.get(path_of(operation, world.ours))).text())
        path = f"/api/v1/channels/{world.ours.channel}"
        for settings in ({"secret": "not base64 " + HASH}, {"secret": [HASH]}, {"scheme": HASH, "secret": HASH}):
            texts.append(await (await client.patch(path, json={"settings": settings})).text())
        texts.append(
            await (await client.post("/api/v1/channels", json={"provider": "generic", "name": HASH * 9})).text()
        )
        texts.append(await (await client.post(f"{path}/test")).text())
        changed = await client.patch(path, json={"settings": {"secret": CANARY}})
        texts.append(str(await answer_of(changed)))
    for text in texts:
        assert not [each for each in planted if each in text], text[:2000]
    assert changed.status == 200


async def test_what_is_left_out_stays_and_goes_to_no_new_place(world: World) -> None:
    path = f"/api/v1/channels/{world.ours.channel}"
    async with world.client() as client:
        same = await client.patch(path, json={"name": "Renamed", "settings": {"scheme": "standard"}})
        assert same.status == 200, await same.text()
        assert (await client.patch(path, json={"settings": {"secret": ""}})).status == 422
        theft = await client.patch(path, json={"settings": {"send_url": "https://thief.example.org/in"}})
        assert [each["path"] for each in (await answer_of(theft))["errors"]] == ["settings.secret"]
    account = await world.runtime.channels.account(world.ours.channel)
    assert account.secrets("secret")[0] == CANARY
