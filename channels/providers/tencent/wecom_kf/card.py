"""How WeCom customer service presents itself: settings, set-up steps, and what it can carry."""

from __future__ import annotations

from pydantic import Field

from channels.adapter import Card, SetupStep
from channels.capabilities import Capabilities, Idempotency
from channels.providers.tencent.work import (
    DOCS,
    FACTS,
    MEDIA,
    READ,
    TEXT_LIMIT,
    WorkSettings,
)


class WeComKfSettings(WorkSettings):
    """One customer service account (客服账号)."""

    open_kfid: str = Field(
        title="Customer service account",
        description="open_kfid of the account: 应用管理 → 微信客服 → the account; it begins with wk.",
        pattern=r"^[0-9A-Za-z_-]{4,64}$",
    )
    welcome_text: str = Field(
        default="",
        title="Welcome text",
        description="Sent at once to everybody who opens the chat and has not written for 48 hours. Empty: none.",
        max_length=600,
    )


CARD = Card(
    provider="wecom_kf",
    label="WeCom customer service",
    kind="chat",
    summary="Chats of WeChat users with your company's customer service account (微信客服).",
    settings=WeComKfSettings,
    steps=(
        SetupStep(
            "In WeCom's management console make an app of your own (自建应用). Copy its Secret, and the Corp ID from "
            "我的企业; under 企业可信IP add the public address of this server.",
            "https://work.weixin.qq.com/wework_admin/frame#apps",
        ),
        SetupStep(
            "Open 应用管理 → 微信客服 → API: add the app to 可调用接口的应用, and let it manage the account "
            "(通过API管理微信客服账号). Copy the account's open_kfid.",
            f"{DOCS}/94638",
        ),
        SetupStep(
            "In the app, under 接收消息 → 设置API接收, choose a token and an EncodingAESKey; save them in this form."
        ),
        SetupStep("Enter {webhook_url} there as URL and save: WeCom tests the address at once."),
        SetupStep(
            "WeCom posts to one address for each app. For a second customer service account make a second app, or its "
            "messages come minutes late, when Rapport asks by itself.",
        ),
        SetupStep("Open the account's link in WeChat and write: the message appears in the inbox."),
    ),
    documentation=(f"{DOCS}/94670", f"{DOCS}/94677", f"{DOCS}/95122"),
    mark="Kf",
    hue=190,
)

CAPABILITIES = Capabilities(
    text_limit=TEXT_LIMIT,
    text_unit="bytes",
    media=MEDIA,
    caption=False,
    buttons=10,
    button_title_limit=40,
    location=True,
    reply_window_s=48 * 3600,
    window_quota=5,
    rate_per_s=30.0,
    idempotency=Idempotency.KEY,
    deletes=True,
    sources=(
        f"{DOCS}/96427 (kinds, lengths, 5 within 48 hours, our own msgid is taken once) {READ}",
        f"{DOCS}/96428 (welcome within 20 seconds, once) {READ}",
        f"{DOCS}/94699 (reading pages, token and cursor) {READ}",
        f"{DOCS}/90253 (sizes of files) {FACTS}",
    ),
)
