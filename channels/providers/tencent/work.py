"""What WeCom's two channels share: the account's settings, its token, its codes, its customers.

https://developer.work.weixin.qq.com/document/path/91039 (token) and …/90313 (codes), by the platform facts of
2026-11-28.
"""

from __future__ import annotations

from pydantic import Field, SecretStr

from channels.adapter import Account, AccountSettings
from channels.capabilities import MediaLimit
from channels.failures import Failure
from channels.providers.tencent.api import Api, TokenCall
from channels.providers.tencent.failures import SHARED, Codes
from channels.providers.tencent.platform import TencentAdapter
from channels.reading import Json, text
from channels.vocabulary import AttachmentKind, Person

DOCS = "https://developer.work.weixin.qq.com/document/path"
READ = "(read 2026-11-28)"
FACTS = "(by the platform facts of 2026-11-28)"
API_BASE = "https://qyapi.weixin.qq.com"
#: Bytes of a text; largest outbound files, bytes.
TEXT_LIMIT = 2048
IMAGE_MAX, VOICE_MAX, VIDEO_MAX, FILE_MAX = 10_000_000, 2_000_000, 10_000_000, 20_000_000
#: What both WeCom and its customer service take.
MEDIA = (
    MediaLimit(kind=AttachmentKind.IMAGE, max_bytes=IMAGE_MAX, media_types=("image/jpeg", "image/png")),
    MediaLimit(kind=AttachmentKind.VOICE, max_bytes=VOICE_MAX, media_types=("audio/amr",)),
    MediaLimit(kind=AttachmentKind.VIDEO, max_bytes=VIDEO_MAX, media_types=("video/mp4",)),
    MediaLimit(kind=AttachmentKind.FILE, max_bytes=FILE_MAX),
)

CODES: Codes = {
    **SHARED,
    45033: Failure.TEMPORARY,  # too many calls at a time
    **dict.fromkeys((95001, 95002, 95018, 95026), Failure.WINDOW_CLOSED),
    **dict.fromkeys((40031, 40096, 60111, 60121, 81013, 84061, 86215), Failure.RECIPIENT_UNREACHABLE),
    **dict.fromkeys((40033, 40035, 44001, 45022, 95008, 95009, 301025), Failure.CONTENT_REJECTED),
    **dict.fromkeys(
        (40056, 48001, 50001, 60011, 60020, 84074, 95000, 95003, 95004, 95011, 95012, 95017, 301002),
        Failure.ACCOUNT_PROBLEM,
    ),
}


class WorkSettings(AccountSettings):
    """What both channels of WeCom need."""

    corp_id: str = Field(
        title="Corp ID",
        description="管理后台 → 我的企业 → 企业信息, at the bottom; it begins with ww.",
        pattern=r"^[0-9A-Za-z_-]{6,64}$",
    )
    secret: SecretStr = Field(
        title="Secret", description="Of the app itself: 应用管理 → the app → Secret.", min_length=1
    )
    token: SecretStr = Field(
        title="Token",
        description="API接收消息 → 设置API接收: up to 32 letters and digits, your own or made there.",
        min_length=1,
        max_length=32,
    )
    encoding_aes_key: SecretStr = Field(
        title="EncodingAESKey",
        description="On the same page: 43 letters and digits.",
        min_length=43,
        max_length=43,
    )
    api_base: str = Field(
        default=API_BASE,
        title="API address",
        description="Change it only to go through a proxy of your own.",
        pattern=r"^https?://[^\s/?#]+(/[^\s?#]*[^\s?#/])?$",
    )


class WorkAdapter(TencentAdapter):
    """Base of WeCom's adapters."""

    def receive_id(self, account: Account) -> str:
        """The corp id."""
        settings: WorkSettings = account.settings
        return settings.corp_id

    def api(self, account: Account) -> Api:
        """With the token of the app's secret."""
        settings: WorkSettings = account.settings
        secret = settings.secret.get_secret_value()
        call = TokenCall("/cgi-bin/gettoken", {"corpid": settings.corp_id, "corpsecret": secret})
        return Api(self.http, self._tokens, settings.api_base, call, secret, CODES, self.timeout_s)


def customer_of(external_id: str, told: Json, name: str = "name") -> Person:
    """A customer: one id for all of WeCom's channels of a company, and the union id of Official Accounts."""
    union_id = text(told.get("unionid"))
    return Person(
        name=text(told.get(name)),
        avatar_url=text(told.get("avatar")),
        platform_ids=(f"wecom:{external_id}", *((f"wechat:{union_id}",) if union_id else ())),
    )
