"""Construction of accounts: who users are, how they log in, and what they keep about themselves."""

from collections.abc import Iterator
from dataclasses import dataclass

from config.config import Config
from config.support import SupportConfig
from homeserver.admin_api.register import RegisterApi
from homeserver.app.client_authentication import ClientAuthentication
from homeserver.app.core import Core
from homeserver.background.account_upkeep import AccountUpkeep
from homeserver.client_api.account import AccountApi
from homeserver.client_api.account_data import AccountDataApi
from homeserver.client_api.capabilities import CapabilitiesApi
from homeserver.client_api.devices import DevicesApi
from homeserver.client_api.filters import FiltersApi
from homeserver.client_api.login import LoginApi
from homeserver.client_api.login_tokens import LoginTokensApi
from homeserver.client_api.openid import OpenIDApi
from homeserver.client_api.profile import ProfileApi
from homeserver.client_api.push_rules import PushRulesApi
from homeserver.client_api.registration import RegistrationApi
from homeserver.client_api.rtc import RtcApi
from homeserver.client_api.server_administration import ServerAdministrationApi
from homeserver.client_api.third_party_networks import ThirdPartyNetworksApi
from homeserver.client_api.threepids import ConfirmEmailApi, ThreepidsApi
from homeserver.client_api.versions import VersionsApi
from homeserver.client_api.voip import VoipApi
from homeserver.client_api.well_known import SupportApi, WellKnownApi
from homeserver.gateways.ffmpeg_program import ffmpeg_of
from homeserver.gateways.mail import Mailer
from homeserver.http.endpoint import BoundEndpoint, collect
from homeserver.http.rate_limits import RateLimits
from homeserver.services.account_data import AccountData
from homeserver.services.accounts import Accounts
from homeserver.services.capabilities import Offered
from homeserver.services.devices import Devices
from homeserver.services.email_proofs import EmailProofs
from homeserver.services.filters import Filters
from homeserver.services.last_seen import LastSeen
from homeserver.services.login import Login, PasswordCheck
from homeserver.services.login_tokens import LoginTokens
from homeserver.services.moderation import Moderation
from homeserver.services.openid import OpenID
from homeserver.services.passwords import HashWorkers, PasswordCosts, Passwords
from homeserver.services.profiles import Profiles
from homeserver.services.push_rules import PushRules
from homeserver.services.registration import Emails, Parts, Policy, Registration
from homeserver.services.sessions import Lifetimes, Sessions
from homeserver.services.shared_secret_registration import SharedSecretRegistration
from homeserver.services.threepids import EMAIL_IDENTITY, EmailIdentityStage, Threepids
from homeserver.services.turn import TurnServer
from homeserver.services.ui_auth import Flow, Stage, UiAuth
from homeserver.services.ui_auth_stages import PASSWORD, DummyStage, PasswordStage, RegistrationTokenStage

_SESSION_BYTES = 450  # a key, a session, its requester and their texts, as sys.getsizeof adds them up
_FILTER_BYTES = 1500


@dataclass(frozen=True, slots=True)
class AccountsArea:
    """Accounts, and what other areas connect to: see the `when_...` methods of the services."""

    accounts: Accounts
    moderation: Moderation
    devices: Devices
    sessions: Sessions
    last_seen: LastSeen
    login: Login
    ui_auth: UiAuth
    profiles: Profiles
    account_data: AccountData
    filters: Filters
    push_rules: PushRules
    authentication: ClientAuthentication
    upkeep: AccountUpkeep
    endpoints: list[BoundEndpoint]


@dataclass(frozen=True, slots=True)
class _Identity:
    """Who users are and how they prove it."""

    passwords: Passwords
    sessions: Sessions
    last_seen: LastSeen
    devices: Devices
    accounts: Accounts
    login: Login
    ui_auth: UiAuth
    threepids: Threepids
    proofs: EmailProofs | None


def build_accounts(
    core: Core, hash_workers: HashWorkers, limits: RateLimits, mailer: Mailer | None = None
) -> AccountsArea:
    """Construct the area. `hash_workers` run password hashing; without a ``mailer`` no mails are sent."""
    config, database, journal = core.config, core.database, core.journal
    identity = _identity(core, hash_workers, limits, mailer)
    profiles = Profiles(core.server_name, database)
    threads = config.thread_subscriptions.enabled
    account_data = _account_data(core, identity.devices)
    filters = Filters(database, core.caches.cache("filters", lambda filter: _FILTER_BYTES))
    push_rules = PushRules(database, journal, threads=threads)
    transports, offered = _transports(config), _offered(config)
    moderation = Moderation(core.server_name, database, identity.sessions)
    turn = TurnServer(config.turn.uris, config.turn.shared_secret, config.turn.lifetime_ms, core.clock)
    endpoints = collect(
        VersionsApi(offered),
        WellKnownApi(config.public_baseurl, transports),
        RtcApi(transports),
        SupportApi(config.support.page, _contacts(config.support)),
        ThirdPartyNetworksApi(),
        *_registration(core, identity),
        *_proving(core, identity),
        *_account(core, identity),
        DevicesApi(identity.devices, identity.ui_auth),
        ProfileApi(profiles),
        AccountDataApi(account_data),
        FiltersApi(filters),
        PushRulesApi(push_rules),
        CapabilitiesApi(offered),
        ServerAdministrationApi(moderation),
        VoipApi(turn),
    )
    return AccountsArea(
        accounts=identity.accounts,
        moderation=moderation,
        devices=identity.devices,
        sessions=identity.sessions,
        last_seen=identity.last_seen,
        login=identity.login,
        ui_auth=identity.ui_auth,
        profiles=profiles,
        account_data=account_data,
        filters=filters,
        push_rules=push_rules,
        upkeep=AccountUpkeep(identity.accounts, identity.ui_auth, identity.last_seen, core.clock),
        authentication=ClientAuthentication(
            identity.sessions, identity.last_seen, tokens_in_query=config.access_tokens_in_query
        ),
        endpoints=endpoints,
    )


def _account_data(core: Core, devices: Devices) -> AccountData:
    threads = core.config.thread_subscriptions.enabled
    account_data = AccountData(core.database, core.journal, thread_rules=threads)
    devices.when_removed(account_data.devices_removed)
    return account_data


def _transports(config: Config) -> list[dict[str, str]]:
    return [
        {"type": each.type, "livekit_service_url": each.livekit_service_url}
        for each in config.matrix_rtc.transports
    ]


def _offered(config: Config) -> Offered:
    delayed = config.delayed_events
    transports = len(config.matrix_rtc.transports)
    mails = config.mail.host is not None
    return Offered(
        config.default_room_version,
        delayed.max_delay_ms,
        delayed.max_scheduled,
        transports,
        mails,
        config.thread_subscriptions.enabled,
        config.rooms.forget_on_leave,
        ffmpeg_of(config.media.ffmpeg) is not None,
    )


def _contacts(support: SupportConfig) -> list[dict[str, str]]:
    fields = ("role", "matrix_id", "email_address")
    every = [{name: getattr(contact, name) for name in fields} for contact in support.contacts]
    return [{name: value for name, value in each.items() if value is not None} for each in every]


def _identity(core: Core, hash_workers: HashWorkers, limits: RateLimits, mailer: Mailer | None) -> _Identity:
    config, database, journal, clock, random = (
        core.config,
        core.database,
        core.journal,
        core.clock,
        core.random,
    )
    hashing = config.passwords
    costs = PasswordCosts(hashing.time_cost, hashing.memory_bytes // 1024, hashing.parallelism)
    passwords = Passwords(costs, hashing.minimum_length, hash_workers, random)
    lifetimes = Lifetimes(config.sessions.access_token_lifetime_ms, config.sessions.refresh_token_lifetime_ms)
    cache = core.caches.cache("sessions", lambda session: _SESSION_BYTES)
    sessions = Sessions(database, cache, lifetimes, clock, random)
    last_seen = LastSeen(journal, clock)
    devices = Devices(database, journal, sessions, last_seen)
    accounts = Accounts(core.server_name, database, journal, devices, passwords, clock, core.notices_user)
    check = PasswordCheck(accounts, passwords, database, limits.bucket("login_failures"))
    proofs = None
    if mailer is not None:
        server = (core.server_name, config.public_baseurl)
        proofs = EmailProofs(server, database, mailer, clock, random)
    threepids = Threepids(database, proofs, clock)
    accounts.when_deactivated(threepids.remove_all)
    stages: list[Stage] = [DummyStage(), PasswordStage(check), RegistrationTokenStage(database, clock)]
    stages.append(EmailIdentityStage(threepids))
    return _Identity(
        passwords=passwords,
        sessions=sessions,
        last_seen=last_seen,
        devices=devices,
        accounts=accounts,
        login=Login(check, sessions, database, clock, random),
        ui_auth=UiAuth(database, stages, clock, random),
        threepids=threepids,
        proofs=proofs,
    )


def _account(core: Core, identity: _Identity) -> Iterator[object]:
    """The account as a whole, and the addresses of its owner."""
    flows: tuple[Flow, ...] = ((PASSWORD,),)
    if identity.proofs is not None:
        flows = (*flows, (EMAIL_IDENTITY,))
        yield ConfirmEmailApi(core.server_name, identity.proofs)
    yield AccountApi(identity.accounts, identity.ui_auth, flows)
    yield ThreepidsApi(identity.threepids, identity.ui_auth)


def _proving(core: Core, identity: _Identity) -> tuple[LoginApi, LoginTokensApi, OpenIDApi]:
    """How users prove who they are: to this server, to it from another device, and to other services."""
    tokens = LoginTokens(identity.accounts, core.database, core.clock, core.random)
    login = LoginApi(identity.login, identity.sessions, identity.devices, tokens)
    openid = OpenID(core.server_name, core.database, core.clock, core.random)
    return login, LoginTokensApi(tokens, identity.ui_auth), OpenIDApi(openid)


def _registration(core: Core, identity: _Identity) -> tuple[RegistrationApi, RegisterApi]:
    config = core.config.registration
    parts = Parts(
        identity.accounts,
        identity.login,
        identity.passwords,
        identity.ui_auth,
        identity.sessions,
        identity.threepids,
    )
    emails: Emails = "none"
    if identity.proofs is not None:
        emails = "needed" if core.config.mail.required_for_registration else "welcome"
    policy = Policy(config.mode, config.guests, emails)
    registration = Registration(policy, parts, core.database, core.clock, core.random)
    by_secret = SharedSecretRegistration(
        config.shared_secret, identity.accounts, identity.login, core.database, core.clock, core.random
    )
    return RegistrationApi(registration), RegisterApi(by_secret)
