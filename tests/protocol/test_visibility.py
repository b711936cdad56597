import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName, UserID
from homeserver.protocol.visibility import can_see, server_can_see
from tests.protocol.room_simulation import ALICE, BOB, CAROL, SimulatedRoom

VISIBILITIES = ["world_readable", "shared", "invited", "joined"]
MEMBERSHIPS = ["join", "invite", "leave", "ban", "knock", None]
READER = UserID(BOB)
SERVER = ServerName("b.example")


def event(event_type: str = "m.room.message", state_key: str | None = None, **content: object) -> Event:
    return SimulatedRoom("12").set_up().build(ALICE, event_type, content, state_key)


def sees(event: Event, visibility: str, membership: str | None, joined_since: bool = False) -> bool:
    return can_see(event, READER, visibility=visibility, membership=membership, joined_since=joined_since)


# --- The five rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("joined_since", [False, True])
def test_members_see_what_is_sent_while_they_are_joined(visibility: str, joined_since: bool) -> None:
    assert sees(event(), visibility, "join", joined_since)


@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_everybody_sees_what_is_world_readable(membership: str | None) -> None:
    assert sees(event(), "world_readable", membership)


@pytest.mark.parametrize("membership", ["invite", "leave", "ban", "knock", None])
def test_shared_history_is_for_those_who_join_later(membership: str | None) -> None:
    assert sees(event(), "shared", membership, joined_since=True)
    assert not sees(event(), "shared", membership, joined_since=False)


@pytest.mark.parametrize("joined_since", [False, True])
@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_invited_history_begins_with_the_invite(membership: str | None, joined_since: bool) -> None:
    assert sees(event(), "invited", membership, joined_since) == (membership in ("join", "invite"))


@pytest.mark.parametrize("joined_since", [False, True])
@pytest.mark.parametrize("membership", MEMBERSHIPS)
def test_joined_history_begins_with_the_join(membership: str | None, joined_since: bool) -> None:
    assert sees(event(), "joined", membership, joined_since) == (membership == "join")


@pytest.mark.parametrize("visibility", ["shared", "invited", "joined"])
@pytest.mark.parametrize("membership", ["leave", "ban"])
def test_who_has_left_or_is_banned_sees_nothing_that_is_sent_after(visibility: str, membership: str) -> None:
    assert not sees(event(), visibility, membership)


# --- Changes of visibility -----------------------------------------------------------------------------


def change_to(visibility: object) -> Event:
    return event("m.room.history_visibility", "", history_visibility=visibility)


@pytest.mark.parametrize(("before", "after"), [("world_readable", "joined"), ("joined", "world_readable")])
def test_a_change_of_visibility_is_seen_by_the_more_permissive_of_both(before: str, after: str) -> None:
    assert sees(change_to(after), before, None)


@pytest.mark.parametrize("not_understood", ["nonsense", None, 5, ["world_readable"]])
def test_a_change_to_what_is_not_understood_is_one_to_shared(not_understood: object) -> None:
    assert sees(change_to(not_understood), "joined", None, joined_since=True)
    assert not sees(change_to(not_understood), "joined", None, joined_since=False)


def test_a_change_between_strict_settings_is_not_seen_by_strangers() -> None:
    assert not sees(change_to("joined"), "invited", None, joined_since=True)


def test_only_the_state_event_of_the_room_changes_its_visibility() -> None:
    message = event("m.room.history_visibility", None, history_visibility="world_readable")
    of_somebody = event("m.room.history_visibility", ALICE, history_visibility="world_readable")
    assert not sees(message, "joined", None)
    assert not sees(of_somebody, "joined", None)


# --- The reader's own memberships ----------------------------------------------------------------------


def membership_to(membership: object, user: str = BOB) -> Event:
    return event("m.room.member", user, membership=membership)


@pytest.mark.parametrize("visibility", VISIBILITIES)
def test_users_see_their_own_join(visibility: str) -> None:
    assert sees(membership_to("join"), visibility, None)


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("after", ["leave", "ban"])
def test_users_see_how_they_cease_to_be_members(visibility: str, after: str) -> None:
    assert sees(membership_to(after), visibility, "join")


def test_users_see_their_own_invite_and_its_end_where_history_begins_with_it() -> None:
    assert sees(membership_to("invite"), "invited", None)
    assert sees(membership_to("leave"), "invited", "invite")
    assert not sees(membership_to("invite"), "joined", None)


def test_memberships_of_others_are_events_like_all() -> None:
    assert not sees(membership_to("join", CAROL), "joined", None)
    assert not sees(membership_to("leave", CAROL), "joined", "leave")


@pytest.mark.parametrize("malformed", [None, 5, ["join"]])
def test_a_malformed_membership_shows_nothing(malformed: object) -> None:
    assert not sees(membership_to(malformed), "joined", None)


# --- Servers -------------------------------------------------------------------------------------------


def server_sees(event: Event, visibility: str, joined_since: bool = False, **memberships: str) -> bool:
    by_user = {UserID(f"@{name}:b.example"): membership for name, membership in memberships.items()}
    return server_can_see(
        event, SERVER, visibility=visibility, memberships=by_user, joined_since=joined_since
    )


def test_a_server_sees_what_one_of_its_users_sees() -> None:
    assert server_sees(event(), "joined", bob="leave", ben="join")
    assert server_sees(event(), "invited", bob="leave", ben="invite")
    assert not server_sees(event(), "joined", bob="leave", ben="invite")


def test_a_server_without_members_sees_the_world_readable_and_what_it_has_joined_since() -> None:
    assert server_sees(event(), "world_readable")
    assert server_sees(event(), "shared", joined_since=True)
    assert not server_sees(event(), "shared")
    assert not server_sees(event(), "joined", joined_since=True)


def test_a_server_sees_the_join_of_its_first_user() -> None:
    assert server_sees(membership_to("join"), "joined")
    assert not server_sees(membership_to("join", CAROL), "joined")


def test_members_of_other_servers_do_not_count_for_a_server() -> None:
    assert not server_can_see(
        event(), SERVER, visibility="joined", memberships={UserID(CAROL): "join"}, joined_since=False
    )


def test_a_server_sees_a_change_of_visibility_by_the_more_permissive_of_both() -> None:
    assert server_sees(change_to("world_readable"), "joined")
    assert server_sees(change_to("joined"), "world_readable")


EVENTS = st.sampled_from(
    [event(), *map(change_to, VISIBILITIES), *map(membership_to, ("join", "leave", "invite"))]
)


@given(
    EVENTS,
    st.sampled_from(VISIBILITIES),
    st.dictionaries(
        st.sampled_from([UserID(BOB), UserID("@ben:b.example")]), st.sampled_from(MEMBERSHIPS[:-1])
    ),
    st.booleans(),
)
def test_a_server_sees_exactly_what_the_most_privileged_of_its_users_sees(
    event: Event, visibility: str, memberships: dict[UserID, str], joined_since: bool
) -> None:
    by_server = server_can_see(
        event, SERVER, visibility=visibility, memberships=memberships, joined_since=joined_since
    )
    users = {UserID(BOB), UserID("@ben:b.example")}
    by_user = [
        can_see(
            event, user, visibility=visibility, membership=memberships.get(user), joined_since=joined_since
        )
        for user in users
    ]
    assert by_server == any(by_user)
