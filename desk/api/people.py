"""Users who sign in and tokens of programs: listed, invited, changed, revoked by administrators."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from base.errors import FieldError, NotFound, WrongInput
from desk.api.contract import Call, Operations, not_there
from desk.api.scope import refuse_scoped
from desk.api.shapes import Body, ChannelId, Name, PageQuery, Patch, Time, UserId, View, page, sliced
from desk.store import ApiToken, Role, User
from desk.team.masking import MASKS, Mask
from inbox.models import Actor

operations = Operations("users and tokens")

Scope = list[ChannelId] | None
_SCOPE = Field(None, max_length=200, description="Channel ids this is limited to; null: all of them.")


class UserInvite(Body):
    """A colleague."""

    email: str = Field(min_length=3, max_length=200)
    name: str = Field("", max_length=120)
    role: Role
    channels: Scope = _SCOPE


class UserPatch(Patch):
    """What to change. `active` false signs the person out everywhere and keeps them out."""

    name: Name = ""
    role: Role = "viewer"
    channels: Scope = _SCOPE
    masks: list[Mask] = Field([], max_length=len(MASKS), description="What of customers is covered for this person.")
    active: bool = True
    hand_over_to: UserId | None = Field(
        None,
        description="With `active` false: who gets the person's open conversations; null gives them back to everybody. "
        "Left out, they stay.",
    )


class UserView(View):
    """A person who signs in."""

    id: str
    email: str
    name: str
    role: Role
    channels: list[str] | None
    active: bool
    has_password: bool
    created_at: Time
    last_seen_at: Time | None
    masks: list[Mask]


class InvitedView(UserView):
    """With the link that sets the password, shown once. It works for seven days."""

    link: str


class LinkView(View):
    """A link that sets a new password, shown once."""

    link: str


class TeamRules(Body):
    """What holds for everybody who signs in."""

    factor_roles: list[Role] = Field(max_length=4, description="Roles that need a second factor to sign in.")


class TeamRulesView(View):
    """The same, as chosen."""

    factor_roles: list[Role]


class ProviderInput(Body):
    """An OpenID Connect provider. Who comes from one of `domains` needs no invitation and is a viewer."""

    issuer: str = Field(min_length=8, max_length=500)
    client_id: str = Field(min_length=1, max_length=500)
    client_secret: str | None = Field(None, max_length=500, description="Write-only.")
    label: str = Field("", max_length=60, description="What the button of the sign-in page says.")
    domains: list[str] = Field([], max_length=50)


class ProviderView(View):
    """The same without its secret, and the address to enter at the provider."""

    issuer: str
    client_id: str
    label: str
    domains: list[str]
    has_secret: bool
    redirect_uri: str


class TokenCreate(Body):
    """A program's key."""

    name: Name
    role: Role
    channels: Scope = _SCOPE


class TokenView(View):
    """A program's key, without the key."""

    id: str
    name: str
    role: Role
    channels: list[str] | None
    created_at: Time
    last_used_at: Time | None
    revoked_at: Time | None


class NewTokenView(TokenView):
    """With the key itself, shown once: `Authorization: Bearer …`."""

    token: str


def user_view(user: User) -> dict[str, Any]:
    """As administrators see a person."""
    shown = {name: getattr(user, name) for name in UserView.model_fields}
    return {**shown, "channels": _listed(user.channels), "masks": sorted(user.masks)}


def token_view(token: ApiToken) -> dict[str, Any]:
    """As administrators see a key."""
    shown = {name: getattr(token, name) for name in TokenView.model_fields}
    return {**shown, "channels": _listed(token.channels)}


@operations("GET", "/users", roles=["admin"], query=PageQuery, returns=list[UserView])
async def list_users(call: Call) -> Any:
    """List everybody who may sign in, by name."""
    refuse_scoped(call)
    users, following = sliced(await call.accounts.store.users(), lambda each: each.id, call.query)
    return page([UserView(**user_view(each)) for each in users], following)


@operations("POST", "/users", roles=["admin"], body=UserInvite, returns=InvitedView, status=201, shows_secret=True)
async def invite_user(call: Call) -> Any:
    """Add a colleague. The answer holds the link with which they set their password, once."""
    refuse_scoped(call)
    wanted: UserInvite = call.body
    await _must_exist(call, wanted.channels)
    user, secret = await call.accounts.invite(wanted.email, wanted.name, wanted.role, wanted.channels)
    return InvitedView(**user_view(user), link=_link(call, secret))


@operations("PATCH", "/users/{id:usr}", roles=["admin"], body=UserPatch, returns=UserView)
async def change_user(call: Call) -> Any:
    """Change name, role, channels, or switch a person off.

    Nobody changes their own role or switches themselves off, and the last administrator who can sign in stays one,
    whoever asks.
    """
    refuse_scoped(call)
    user, given = await _user(call), call.body.given()
    await _must_exist(call, given.get("channels"))
    handing, to = "hand_over_to" in given, await _taker(call, given.pop("hand_over_to", None), user)
    if handing and given.get("active") is not False:
        raise WrongInput("Only who is switched off hands over.", [FieldError("hand_over_to", "needs active false")])
    changed = await call.accounts.change_person(call.principal.id, user, given)
    await call.runtime.agents.changed(user.id)
    if handing:
        await call.runtime.leaving.hand_over(user.id, to, Actor(call.principal.id, call.principal.name))
    return UserView(**user_view(changed))


@operations("POST", "/users/{id:usr}/link", roles=["admin"], returns=LinkView, status=201, shows_secret=True)
async def renew_link(call: Call) -> Any:
    """Make a new link for setting a password; former ones are void."""
    refuse_scoped(call)
    user = await _user(call)
    return LinkView(link=_link(call, await call.accounts.password_link(user.id)))


@operations("DELETE", "/users/{id:usr}/two-factor", roles=["admin"])
async def reset_factor(call: Call) -> None:
    """Take the second factor off somebody who has lost it. They are signed out everywhere."""
    refuse_scoped(call)
    if not await call.accounts.reset_factor(await _user(call)):
        raise not_there()


@operations("GET", "/team-rules", roles=["admin"], returns=TeamRulesView)
async def get_team_rules(call: Call) -> Any:
    """What holds for everybody who signs in."""
    refuse_scoped(call)
    return await _rules(call)


@operations("PUT", "/team-rules", roles=["admin"], body=TeamRules, returns=TeamRulesView)
async def replace_team_rules(call: Call) -> Any:
    """Choose who needs a second factor. Who has none is signed out and sets one up when coming in."""
    refuse_scoped(call)
    await call.accounts.require_factor(frozenset(call.body.factor_roles))
    return await _rules(call)


@operations("GET", "/oidc", roles=["admin"], returns=ProviderView)
async def get_provider(call: Call) -> Any:
    """The OpenID Connect provider by which people sign in. Its secret is not shown."""
    refuse_scoped(call)
    return await _provider(call)


@operations("PUT", "/oidc", roles=["admin"], body=ProviderInput, returns=ProviderView)
async def set_provider(call: Call) -> Any:
    """Set the provider up. Without a secret the one there is stays, as long as issuer and client id do."""
    refuse_scoped(call)
    wanted: ProviderInput = call.body
    await call.runtime.oidc.set_up(
        wanted.issuer, wanted.client_id, wanted.client_secret or "", wanted.label, wanted.domains
    )
    return await _provider(call)


@operations("DELETE", "/oidc", roles=["admin"])
async def take_provider_down(call: Call) -> None:
    """Nobody signs in by a provider any more; passwords go on working."""
    refuse_scoped(call)
    await call.runtime.oidc.take_down()


async def _provider(call: Call) -> ProviderView:
    found = await call.runtime.oidc.provider()
    if found is None:
        raise NotFound("No provider is set up.")
    return ProviderView(**{**vars(found), "domains": list(found.domains)}, redirect_uri=call.runtime.oidc.redirect_uri)


async def _rules(call: Call) -> TeamRulesView:
    return TeamRulesView(factor_roles=sorted(await call.accounts.factors.required()))


@operations("GET", "/tokens", roles=["admin"], query=PageQuery, returns=list[TokenView])
async def list_tokens(call: Call) -> Any:
    """List the keys of programs, newest first, revoked ones too."""
    refuse_scoped(call)
    tokens, following = sliced(await call.accounts.store.tokens(), lambda each: each.id, call.query)
    return page([TokenView(**token_view(each)) for each in tokens], following)


@operations("POST", "/tokens", roles=["admin"], body=TokenCreate, returns=NewTokenView, status=201, shows_secret=True)
async def create_token(call: Call) -> Any:
    """Make a key for a program. It is shown in this answer and never again."""
    refuse_scoped(call)
    wanted: TokenCreate = call.body
    await _must_exist(call, wanted.channels)
    secret, token = await call.accounts.new_token(
        wanted.name, wanted.role, channels=wanted.channels, created_by=call.principal.id
    )
    return NewTokenView(**token_view(token), token=secret)


@operations("DELETE", "/tokens/{id:tok}", roles=["admin"])
async def revoke_token(call: Call) -> None:
    """Make a key useless, at once and for good."""
    refuse_scoped(call)
    if not await call.accounts.store.revoke_token(call.path["id"]):
        raise not_there()


async def _user(call: Call) -> User:
    user = await call.accounts.store.user(call.path["id"])
    if user is None:
        raise NotFound("There is no such person.")
    return user


async def _taker(call: Call, user_id: str | None, leaving: User) -> User | None:
    if user_id is None:
        return None
    found = await call.accounts.store.user(user_id)
    if found is None or not found.active or found.role not in ("admin", "agent") or found.id == leaving.id:
        sentence = "is nobody who answers customers"
        raise WrongInput("There is no such colleague.", [FieldError("hand_over_to", sentence)])
    return found


async def _must_exist(call: Call, channel_ids: list[str] | None) -> None:
    known = {each.id for each in await call.runtime.channels.list()} if channel_ids else set()
    faults = [
        FieldError(f"channels[{place}]", "there is no such channel")
        for place, channel_id in enumerate(channel_ids or ())
        if channel_id not in known
    ]
    if faults:
        raise WrongInput("Some channels do not exist.", faults)


def _link(call: Call, secret: str) -> str:
    return f"{call.runtime.settings.base_url}/welcome/{secret}"


def _listed(channels: frozenset[str] | None) -> list[str] | None:
    return None if channels is None else sorted(channels)
