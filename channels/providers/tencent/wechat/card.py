"""How a WeChat Official Account presents itself: settings, set-up steps, and what it can carry."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from channels.adapter import AccountSettings, Card, SetupStep
from channels.capabilities import Capabilities, MediaLimit
from channels.vocabulary import AttachmentKind

_SERVICE = "https://developers.weixin.qq.com/doc/service/api"
_DOCS = "https://developers.weixin.qq.com/doc/offiaccount"
_READ = "(read 2026-11-28)"
_FACTS = "(by the platform facts of 2026-11-28)"
API_BASE = "https://api.weixin.qq.com"

#: Largest outbound files, bytes.
IMAGE_MAX, VOICE_MAX, VIDEO_MAX = 10_000_000, 2_000_000, 10_000_000


class WeChatSettings(AccountSettings):
    """One Official Account."""

    app_id: str = Field(
        title="AppID",
        description="微信公众平台 → 设置与开发 → 开发接口管理; it begins with wx.",
        pattern=r"^wx[0-9A-Za-z]{8,30}$",
    )
    app_secret: SecretStr = Field(
        title="AppSecret", description="On the same page; shown once, when it is made.", min_length=1
    )
    token: SecretStr = Field(
        title="Token",
        description="Your own, 3 to 32 letters and digits; the server settings (服务器配置) ask for the same.",
        min_length=3,
        max_length=32,
    )
    encoding_aes_key: SecretStr = Field(
        title="EncodingAESKey",
        description="43 letters and digits; the server settings make one for you (随机生成).",
        min_length=43,
        max_length=43,
    )
    welcome_text: str = Field(
        default="",
        title="Welcome text",
        description="Sent at once to everybody who follows the account. Empty: nothing is sent.",
        max_length=600,
    )
    welcome_as: Literal["message", "reply"] = Field(
        default="message",
        title="Welcome as",
        description="message: a service message. reply: the answer to WeChat's own call, for accounts not verified.",
    )
    api_base: str = Field(
        default=API_BASE,
        title="API address",
        description="Change it only to go through a proxy of your own.",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?$",
    )


CARD = Card(
    provider="wechat",
    label="WeChat Official Account",
    kind="chat",
    summary="Messages to your WeChat Official Account, followers won and lost, scanned codes.",
    settings=WeChatSettings,
    steps=(
        SetupStep(
            "Sign in to the WeChat Official Accounts Platform with a verified service account; only such accounts may "
            "send service messages.",
            "https://mp.weixin.qq.com/",
        ),
        SetupStep(
            "Open 设置与开发 → 开发接口管理 → 基本配置: copy the AppID, make an AppSecret, and add the public "
            "address of this server to the IP allow list (IP白名单).",
        ),
        SetupStep("Choose a token of your own, let the page make an EncodingAESKey, and save both in this form first."),
        SetupStep(
            "Enter {webhook_url} as server address (服务器地址) with the same token and key. Choose safe mode "
            "(安全模式): in plain mode WeChat signs no message, anybody could forge one, and Rapport refuses them.",
            f"{_DOCS}/Basic_Information/Access_Overview.html",
        ),
        SetupStep(
            "Switch the server settings on (启用). Menus and automatic replies of the console then stop working."
        ),
        SetupStep("Follow the account and write to it: the message appears in the inbox."),
    ),
    documentation=(
        f"{_SERVICE}/customer/message/api_sendcustommessage",
        f"{_DOCS}/Message_Management/Receiving_standard_messages.html",
        f"{_DOCS}/Customer_Service/Customer_Service_Messages.html",
    ),
    mark="Wx",
    hue=125,
)

CAPABILITIES = Capabilities(
    text_limit=2048,
    text_unit="bytes",
    media=(
        MediaLimit(
            kind=AttachmentKind.IMAGE, max_bytes=IMAGE_MAX, media_types=("image/jpeg", "image/png", "image/gif")
        ),
        MediaLimit(kind=AttachmentKind.VOICE, max_bytes=VOICE_MAX, media_types=("audio/amr", "audio/mpeg")),
        MediaLimit(kind=AttachmentKind.AUDIO, max_bytes=VOICE_MAX, media_types=("audio/amr", "audio/mpeg")),
        MediaLimit(kind=AttachmentKind.VIDEO, max_bytes=VIDEO_MAX, media_types=("video/mp4",)),
    ),
    caption=False,
    buttons=10,
    button_title_limit=60,
    templates=True,
    reply_window_s=48 * 3600,
    template_outside_window=True,
    window_quota=5,
    rate_per_s=50.0,
    sources=(
        f"{_SERVICE}/customer/message/api_sendcustommessage (kinds, menu) {_READ}",
        f"{_DOCS}/Customer_Service/Customer_Service_Messages.html (5 in 48 hours, 3 in a minute) {_READ}",
        f"{_DOCS}/Asset_Management/New_temporary_materials.html (sizes and types of files) {_FACTS}",
        f"{_DOCS}/Message_Management/Template_Message_Interface.html {_FACTS}",
    ),
)
