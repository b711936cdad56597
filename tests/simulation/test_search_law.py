"""The law of searching: all that has the term and was said where somebody may read it is found, once, over pages."""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeserver.protocol.search_text import SearchTerm, numbered, pieces_of, words_of
from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import Syncer, SyncSite
from tests.harness.memory import result_of
from tests.harness.postgres import TestDatabase

WORDS = ("plum", "plumber", "Plüm", "梅花", "花", "ab", "a", "🎉")
TERMS = ("plum", "lum", "梅", "花", "a", "plumber 花", "🎉")
Step = tuple[int, int, tuple[int, int]]


class Talk:
    """Two who talk in three rooms, which one of them comes into and leaves; `told` is what each event says now."""

    def __init__(self, database: Database) -> None:
        self.site = SyncSite(database)
        self.anna, self.bert = self.site.people("anna", "bert")
        self.rooms = [self.anna.public_room() for _ in range(3)]
        self.inside: set[str] = set()
        self.readable: set[str] = set()
        self.told: dict[str, tuple[str, str]] = {}

    def step(self, step: Step) -> None:
        """Do something."""
        action, where, (one, two) = step
        room = self.rooms[where % 3]
        self.site.clock.advance(0.001)
        text = f"{WORDS[one % len(WORDS)]} {WORDS[two % len(WORDS)]}"
        own = [event_id for event_id, (place, _) in self.told.items() if place == room]
        if action < 6 or not own:
            self.told[self.anna.say(room, text)] = (room, text)
        elif action == 6:
            edited = own[one % len(own)]
            relation = {"rel_type": "m.replace", "event_id": edited}
            new = {"msgtype": "m.text", "body": text}
            self.anna.say(room, "*", **{"m.new_content": new, "m.relates_to": relation})
            self.told[edited] = (room, text)
        elif action == 7:
            struck = own[one % len(own)]
            self.anna.redact(room, struck)
            del self.told[struck]
        elif action == 8:
            self.site.start()
            self.anna.reconnect()
            self.bert.reconnect()
        else:
            self.index()

    def index(self) -> None:
        """Let the index catch up with what was said."""
        result_of(self.site.app.searches.index.step())

    def pages(
        self, who: Syncer, term: str, order: str, meanwhile: Callable[[], None] | None = None
    ) -> list[str]:
        """All results, three a page."""
        found: list[str] = []
        token: str | None = None
        while True:
            criteria = {"search_term": term, "order_by": order, "filter": {"limit": 3}}
            query = {"next_batch": token} if token else None
            reply = who.http.post(f"{V3}/search", {"search_categories": {"room_events": criteria}}, query)
            page: Any = reply.json["search_categories"]["room_events"]
            found += [each["result"]["event_id"] for each in page["results"]]
            token = page.get("next_batch")
            if token is None:
                return found
            if meanwhile is not None:
                meanwhile()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 2), st.tuples(st.integers(0, 7), st.integers(0, 7)))
    ),
    after=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 2), st.tuples(st.integers(0, 7), st.integers(0, 7)))
    ),
)
def test_everything_readable_that_has_the_term_is_found_once(
    database: Database, test_database: TestDatabase, before: list[Step], after: list[Step]
) -> None:
    test_database.empty()
    talk = Talk(database)
    for step in before:
        talk.step(step)
    talk.bert.join(talk.rooms[0])
    talk.bert.join(talk.rooms[1])
    talk.bert.act("leave", talk.rooms[1])
    until = dict(talk.told)
    for step in after:
        talk.step(step)
    for term in TERMS:
        sought = SearchTerm.of(term)
        everything = {event_id for event_id, (_, text) in talk.told.items() if sought.matches(text)}
        for order in ("recent", "rank"):
            found = talk.pages(talk.anna, term, order, talk.index if term == "花" else None)
            assert sorted(found) == sorted(everything), (term, order)
        berts = {
            event_id
            for event_id in everything
            if talk.told[event_id][0] == talk.rooms[0]
            or (talk.told[event_id][0] == talk.rooms[1] and event_id in until)
        }
        assert sorted(talk.pages(talk.bert, term, "recent")) == sorted(berts), term


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=60), term=st.text(max_size=8))
def test_what_matches_has_all_pieces_of_the_term(text: str, term: str) -> None:
    sought = SearchTerm.of(term)
    words = words_of(text)
    if sought.words and sought.matches(text):
        assert set(sought.pieces) <= set(numbered(pieces_of(words)))
    assert not any(letter in "%_\\" for word in words for letter in word)
