"""How WeCom's app channel presents itself: settings, set-up steps, and what it can carry."""

from __future__ import annotations

from pydantic import Field

from channels.adapter import Card, SetupStep
from channels.capabilities import Capabilities
from channels.providers.tencent.work import (
    DOCS,
    FACTS,
    MEDIA,
    READ,
    TEXT_LIMIT,
    WorkSettings,
)


class WeComSettings(WorkSettings):
    """One app of one company."""

    agent_id: str = Field(title="Agent ID", description="Of the same app, above its secret.", pattern=r"^[0-9]{1,12}$")
    welcome_text: str = Field(
        default="",
        title="Welcome text",
        description="Sent in the name of the colleague to every customer who is added, within 20 seconds. Empty: none.",
        max_length=1300,
    )


CARD = Card(
    provider="wecom",
    label="WeCom",
    kind="chat",
    summary="Messages of colleagues to an app of yours, and customers added and lost by your staff.",
    settings=WeComSettings,
    steps=(
        SetupStep(
            "In WeCom's management console make an app of your own (自建应用) and let it be seen by the colleagues "
            "concerned. Copy its AgentId and Secret, and the Corp ID from 我的企业.",
            "https://work.weixin.qq.com/wework_admin/frame#apps",
        ),
        SetupStep(
            "In the app, under 企业可信IP, add the public address of this server; WeCom wants a trusted domain first.",
        ),
        SetupStep(
            "Under 接收消息 → 设置API接收 choose a token and an EncodingAESKey, and save them in this form first."
        ),
        SetupStep(
            "Enter {webhook_url} there as URL and save: WeCom tests the address at once. There is no plain mode; "
            "everything is encrypted and signed.",
            f"{DOCS}/90238",
        ),
        SetupStep(
            "For customers: 客户与上下游 → 客户联系 → API, add the app to 可调用应用, so that it hears of customers "
            "added and lost and may ask for their names.",
            f"{DOCS}/92130",
        ),
        SetupStep("Write to the app in WeCom: the message appears in the inbox."),
    ),
    documentation=(f"{DOCS}/90236", f"{DOCS}/90239", f"{DOCS}/92130"),
    mark="Wc",
    hue=205,
)

CAPABILITIES = Capabilities(
    text_limit=TEXT_LIMIT,
    text_unit="bytes",
    media=MEDIA,
    caption=False,
    buttons=6,
    button_title_limit=20,
    rate_per_s=30.0,
    sources=(
        f"{DOCS}/90236 (kinds, lengths, six buttons) {FACTS}",
        f"{DOCS}/90253 (sizes of files) {FACTS}",
        f"{DOCS}/92599 (welcome within 20 seconds, once) {READ}",
    ),
)
