"""From an address or a reference to the keys under which a person is found. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from base.errors import FieldError, WrongInput
from channels.vocabulary import Address
from profiles.models import IdentityKind, IdentityRef, Strength
from profiles.normalise import VALUE_MAX, email_address, is_placeholder, is_shared_mailbox, phone_key, phone_number

#: Strongest first: on a conflict the one further down is dropped.
KIND_ORDER = ("customer_id", "phone", "email", "platform", "channel", "anonymous")


@dataclass(frozen=True)
class Key:
    """A unique key with what it was made from."""

    key: str
    kind: IdentityKind
    strength: Strength
    value: str
    address_key: str
    channel_id: str | None = None
    provider: str | None = None
    external_id: str | None = None
    handle: str | None = None
    verified: bool = True
    #: A role box, or a value that is blocked: an address of somebody, and no word on who it is.
    shared: bool = False
    #: As it was said, before it was made to compare.
    raw: str | None = field(default=None, compare=False)

    @property
    def order(self) -> tuple[int, int]:
        """Sorts strongest first."""
        return (self.strength == "weak", KIND_ORDER.index(self.kind))


def profile_mark(profile_id: str) -> str:
    """What stands for a profile itself among the keys of its identities, in the log of erasures."""
    return f"profile:{profile_id}"


def channel_key(
    address: Address, provider: str | None, vouched_email: str | None = None, vouched_phone: str | None = None
) -> Key:
    """The key of a person on one channel account.

    `vouched_email`, `vouched_phone`: normalised values that belong to this person. Where one of them *is* the external
    id, consent hangs on the mail address or number itself, whichever of our accounts it writes to.
    """
    external_id = address.external_id[:VALUE_MAX]
    key = f"{address.channel_id}:{external_id}"
    hangs_on = key
    if vouched_email is not None and email_address(external_id) == vouched_email:
        hangs_on = f"email:{vouched_email}"
    elif vouched_phone is not None and number_in(external_id) == vouched_phone:
        hangs_on = f"phone:{phone_key(vouched_phone)}"
    return Key(
        key=key, kind="channel", strength="channel", value=external_id, address_key=hangs_on,
        channel_id=address.channel_id, provider=provider, external_id=external_id, handle=address.handle,
    )  # fmt: skip


def number_in(external_id: str) -> str | None:
    """The number that an id on a channel is, written as digits, with a plus, or behind the name of the service
    (`whatsapp:+49…`); None when it is none."""
    digits = external_id.rpartition(":")[2].removeprefix("+")
    return phone_number(f"+{digits}") if digits.isascii() and digits.isdigit() else None


def email_key(raw: str, *, verified: bool) -> Key | None:
    """None when it is no address."""
    value = email_address(raw)
    return replace(_plain("email", value, value, verified=verified), raw=raw[:VALUE_MAX]) if value else None


def phone_key_of(raw: str, region: str | None, *, verified: bool) -> Key | None:
    """None when it is no number."""
    value = phone_number(raw, region)
    if not value:
        return None
    return replace(_plain("phone", phone_key(value), value, verified=verified), raw=raw[:VALUE_MAX])


def joining_keys(phone: str | None, email: str | None, region: str | None, blocked: frozenset[str]) -> tuple[Key, ...]:
    """The strong keys of values a platform vouches for; those that tell nobody apart are left out."""
    found = (
        phone_key_of(phone, region, verified=True) if phone else None,
        email_key(email, verified=True) if email and not is_shared_mailbox(email) else None,
    )
    return tuple(key for key in found if key is not None and key.key not in blocked)


def without_shared(keys: Sequence[Key], blocked: frozenset[str]) -> tuple[Key, ...]:
    """The keys of a caller with those that tell nobody apart made weak, or left out where they are no address."""
    found = [_as_shared(key) if key.key in blocked or _is_role_box(key) else key for key in keys]
    telling = [key for key in found if not (key.shared and key.kind == "customer_id")]
    return tuple(telling or found)


def _as_shared(key: Key) -> Key:
    return replace(key, strength="weak", shared=True)


def _is_role_box(key: Key) -> bool:
    return key.kind == "email" and is_shared_mailbox(key.value)


def platform_keys(values: Iterable[str]) -> tuple[Key, ...]:
    """The keys of ids that one platform uses on all its channels."""
    return tuple(_plain("platform", each[:VALUE_MAX], each[:VALUE_MAX], verified=True) for each in values if each)


def customer_keys(value: str | None) -> tuple[Key, ...]:
    """The key of the operator's own id of a person, none for one that cannot name anybody."""
    plain = (value or "").strip()[:VALUE_MAX]
    return () if not plain or is_placeholder(plain) else (_plain("customer_id", plain, plain, verified=True),)


def key_of(
    ref: IdentityRef, region: str | None = None, path: str = "identity", provider: str | None = None
) -> Key:  # fmt: skip
    """The key a caller means; `provider`: that of the channel it names. Raises `WrongInput` for what cannot name
    anybody."""
    if ref.kind == "email":
        found = email_key(ref.value, verified=ref.verified)
        return found or _refuse(path, f"{ref.value[:80]!r} is no e-mail address.")
    if ref.kind == "phone":
        found = phone_key_of(ref.value, region, verified=ref.verified)
        return found or _refuse(path, f"{ref.value[:40]!r} is no phone number with a country code.")
    value = ref.value.strip()
    if is_placeholder(value) and not (ref.kind == "channel" and value.isdigit()):
        return _refuse(path, f"{value[:40]!r} stands for nobody.")
    if ref.kind == "channel":
        if not ref.channel_id:
            return _refuse(path, "An identity of the kind channel needs its channel_id.")
        return channel_key(Address(channel_id=ref.channel_id, external_id=value), provider)
    return _plain(ref.kind, value, value, verified=ref.verified)


def _plain(kind: IdentityKind, compared: str, value: str, *, verified: bool) -> Key:
    key = f"{kind}:{compared}"
    weak = kind == "anonymous" or not verified
    return Key(
        key=key, kind=kind, strength="weak" if weak else "strong", value=value, address_key=key, verified=not weak
    )


def _refuse(path: str, sentence: str) -> Key:
    raise WrongInput(sentence, [FieldError(path, sentence)])
