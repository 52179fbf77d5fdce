"""Every write of the API stands in the audit, with who asked, what for and how it ended."""

from desk.team.audit import BROUGHT_BY_PROGRAMS, CHANGES_NOTHING
from tests.desk.api.conftest import World, answer_of
from tests.desk.api.test_scope import calls

WRITES = ("POST", "PUT", "PATCH", "DELETE")


async def test_every_write_is_in_the_audit(own_world: World) -> None:
    audit, missing = own_world.runtime.audit, []
    async with own_world.client("viewer") as viewer, own_world.client() as admin:
        for operation, path, body in calls(own_world.ours):
            if operation.method not in WRITES or operation.name in BROUGHT_BY_PROGRAMS | CHANGES_NOTHING:
                continue
            client = viewer if "viewer" not in operation.roles else admin
            answer = await client.request(operation.method, path, json=body)
            rows = (await audit.page(what=operation.name, kind="change", limit=1)).data
            if not rows or rows[0]["outcome"] != answer.status:
                missing.append(operation.name)
    assert not missing


async def test_the_list_is_narrowed_page_by_page(own_world: World) -> None:
    async with own_world.client() as admin:
        for number in range(3):
            await admin.patch(f"/api/v1/profiles/{own_world.ours.profile}", json={"name": f"Anna {number}"})
        path = f"/api/v1/audit?what=change_profile&about={own_world.ours.profile}&limit=2"
        first = await answer_of(await admin.get(path))
        assert [each["changed"] for each in first["data"]] == [["name"], ["name"]]
        rest = await answer_of(await admin.get(f"{path}&cursor={first['next_cursor']}"))
        assert rest["data"] and "Anna" not in str(first)
        assert (await answer_of(await admin.get("/api/v1/audit?since=2190-01-01T00:00:00Z")))["data"] == []
        answer = await admin.get("/api/v1/audit?kind=change", headers={"Accept": "text/csv"})
        assert answer.content_type == "text/csv" and "change_profile" in await answer.text()
