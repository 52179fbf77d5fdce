"""What every shop has in common: whatever it sends, its orders can be kept, and it takes no messages."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels.adapter import Unreadable
from channels.failures import Failure, SendFailed
from channels.vocabulary import Address, CommerceEvent, OutboundMessage
from orders.models import OrderInput
from tests.channels.contract import Case, ProviderContract, contracts, fixtures_root
from tests.channels.test_contract import _bent

SHOPS = [contract for contract in contracts() if contract.adapter.card.kind == "shop"]
NO_CLIENT: Any = None


@pytest.fixture(params=SHOPS, ids=lambda contract: contract.name)
def contract(request: pytest.FixtureRequest) -> ProviderContract:
    return request.param  # type: ignore[no-any-return]


def as_kept(contract: ProviderContract, case: Case) -> list[OrderInput]:
    """As `webhooks.owners` reads them."""
    try:
        events = contract.adapter(NO_CLIENT).parse(contract.account(case.settings), case.delivery)
    except Unreadable:
        return []
    commerce = [event for event in events if isinstance(event, CommerceEvent)]
    return [
        OrderInput.model_validate({"occurred_at": each.occurred_at, **each.order, "source": None}) for each in commerce
    ]


def test_every_given_order_can_be_kept(contract: ProviderContract) -> None:
    kept = [order for case in contract.walk(fixtures_root()) for order in as_kept(contract, case)]
    assert kept


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_bent_orders_can_be_kept(contract: ProviderContract, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(list(contract.walk(fixtures_root()))))
    body = case.delivery.body
    for _ in range(data.draw(st.integers(1, 3))):
        body = _bent(body, data)
    delivery = case.delivery
    as_kept(contract, Case(case.name, type(delivery)("POST", body, delivery.headers, received_at=delivery.received_at)))


async def test_a_shop_takes_no_messages(contract: ProviderContract) -> None:
    message = OutboundMessage(key="k", to=Address(channel_id="chn_1", external_id="1"), text="Hello")
    assert contract.adapter.capabilities.objection(message)
    with pytest.raises(SendFailed, match="only receives") as caught:
        await contract.adapter(NO_CLIENT).send(contract.account(), message)
    assert caught.value.failure is Failure.NOT_SUPPORTED
