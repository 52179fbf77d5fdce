"""The names that columns have in lists of people, in English, Chinese and German. Data."""

from __future__ import annotations

from collections.abc import Mapping

from profiles.normalise import folded

#: What a column is → names it goes by, in small letters and with spaces between words.
_NAMES: Mapping[str, str] = {
    "profile_id": "profile id|prf id|rapport id",
    "customer_id": (
        "customer id|customer number|customer no|client id|user id|member id|external id|kundennummer"
        "|kunden id|客户编号|客户id|会员编号|会员号|用户id|会员id"
    ),
    "email": (
        "email|e mail|email address|billing email|e mail address|mail|mail address|other emails|email 1|email 2"
        "|email 3|work email|private email|邮箱|电子邮箱|电子邮件|邮件|邮箱地址|email地址|e mail adresse"
        "|mailadresse"
    ),
    "phone": (
        "phone|phone number|mobile|billing phone|收货人手机|收货人电话|收件人手机|收件人电话"
        "|mobile phone|mobile number|cell|cell phone|telephone|tel|whatsapp"
        "|other phones|phone 1|phone 2|work phone|home phone|手机|手机号|手机号码|电话|电话号码|联系电话|联系手机"
        "|联系方式|移动电话|telefon|handy|mobil|telefonnummer|handynummer"
    ),
    "name": (
        "name|full name|fullname|display name|customer name|contact name|contact|customer|姓名|名字|名称"
        "|收货人姓名|收件人姓名|客户姓名|客户名称|联系人|顾客姓名|vollständiger name"
    ),
    "first_name": "first name|firstname|given name|forename|vorname|名",
    "last_name": "last name|lastname|surname|family name|nachname|familienname|姓|姓氏",
    "tags": "tag|tags|labels|label|categories|category|groups|group|标签|分类|分组|类别|schlagworte",
    "stage": "stage|lifecycle stage|life cycle stage|lead status|status|阶段|客户阶段|状态|生命周期",
    "tier": "tier|level|loyalty tier|membership level|等级|级别|会员等级|客户等级",
    "owner": (
        "owner|assigned to|account manager|sales rep|responsible|contact owner|负责人|跟进人|归属人|客服|betreuer"
    ),
    "locale": "locale|language|lang|语言|sprache",
    "time_zone": "time zone|timezone|tz|时区|zeitzone",
    "location": "location|coordinates|geo|坐标|位置",
    "latitude": "latitude|lat|纬度|breitengrad",
    "longitude": "longitude|lon|lng|long|经度|längengrad",
    "attributes.company": ("company|organisation|organization|company name|公司|公司名称|单位|企业|firma|unternehmen"),
    "attributes.title": "title|job title|position|职位|职务|头衔",
    "attributes.birthday": "birthday|date of birth|birth date|dob|bday|生日|出生日期|geburtstag|geburtsdatum",
    "attributes.gender": "gender|sex|性别|geschlecht",
    "attributes.note": "note|notes|comment|comments|remark|remarks|备注|说明|notiz|bemerkung",
    "attributes.website": "website|url|web|网址|网站|webseite",
    "attributes.nickname": "nickname|nick|昵称|买家昵称|会员昵称",
}
#: Parts of a postal address → names, the one to be preferred first: what holds a whole address comes after its parts.
_ADDRESS: Mapping[str, str] = {
    "address.street": (
        "street|street address|address 1|address1|address line 1|address line1|street 1|街道地址|详细地址|街道|straße"
        "|strasse|straße und hausnummer|address|地址|联系地址|通讯地址|家庭地址|住址|adresse|anschrift"
    ),
    "address.street2": (
        "address 2|address2|address line 2|address line2|street 2|apartment|apt|suite|adresszusatz|门牌号|楼号门牌"
    ),
    "address.district": "district|区|地区|区县|县区|县|区 县|所在区|stadtteil",
    "address.city": "city|town|city town|town city|城市|市|所在城市|所在市|地市|ort|stadt|wohnort",
    "address.postal_code": (
        "postal code|postcode|post code|postalcode|zip|zip code|zipcode|zip postal code|postal zip code|邮编|邮政编码"
        "|邮政编号|plz|postleitzahl"
    ),
    "address.region": (
        "state|province|region|state region|state province|province state|省|省份|所在省|所在省份|省市|bundesland"
        "|county|province code|state code"
    ),
    "address.country": "country code|country iso|country|country region|国家|国家地区|国家 地区|land|ländercode",
}
#: Whose address it is → how such names begin. Of several addresses in a row the first of these is taken, whole.
FAMILIES: Mapping[str, str] = {
    "shipping": "shipping address|shipping|ship to|delivery address|delivery|recipient|收货人|收货|收件人|收件|配送",
    "default": "default address|mailing address|mailing|home address|customer address",
    "": "",
    "billing": "billing address|billing|bill to|invoice address|账单|rechnungs",
}
_PARTS: Mapping[str, tuple[str, int]] = {
    folded(name): (target, place) for target, names in _ADDRESS.items() for place, name in enumerate(names.split("|"))
}
_BEGINNINGS = tuple(
    (start, family)
    for start, family in sorted(
        ((folded(start), family) for family, starts in FAMILIES.items() for start in starts.split("|") if start),
        key=lambda each: -len(each[0]),
    )
)


def address_part(name: str) -> tuple[str, str, int] | None:
    """(family, target, place in the order of preference) of a column that holds a part of an address. `name`: small
    letters, spaces between words."""
    if name in _PARTS:
        return ("", *_PARTS[name])
    for start, family in _BEGINNINGS:
        rest = name.removeprefix(start).strip()
        if rest != name and rest in _PARTS:
            return (family, *_PARTS[rest])
    return None


def meaning_of(plain: str) -> str | None:
    """What a column of this heading is in any list: small letters, spaces between words."""
    part = address_part(plain)
    return TARGETS.get(plain) or (part[1] if part is not None and part[0] == "" else None)


TARGETS: Mapping[str, str] = {folded(name): target for target, names in _NAMES.items() for name in names.split("|")}

TRUE_WORDS = frozenset({
    "true", "yes", "y", "1", "ja", "wahr", "x", "granted", "subscribed", "opted in", "opt in",
    "是", "有", "真", "对", "同意", "已同意", "已订阅", "订阅",
})  # fmt: skip
FALSE_WORDS = frozenset({
    "false", "no", "n", "0", "nein", "falsch", "denied", "unsubscribed", "opted out", "opt out",
    "否", "无", "假", "拒绝", "不同意", "未同意", "退订", "已退订",
})  # fmt: skip
