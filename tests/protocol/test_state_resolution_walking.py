"""Auth chains by walking, on graphs of plain numbers where the greater cite the lesser."""

from collections.abc import Collection, Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.state_resolution.walking import (
    auth_chain,
    auth_difference,
    conflicted_subgraph,
)
from tests.protocol.room_simulation import BOB, SimulatedRoom

Graph = list[list[int]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    size = draw(st.integers(1, 12))
    cited = [
        st.lists(st.integers(0, number - 1), max_size=3) if number else st.just([]) for number in range(size)
    ]
    return [draw(each) for each in cited]


class Walked:
    """Answers for the auth events of a graph, and knows what was asked."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.asked: list[int] = []

    def __call__(self, names: Collection[int]) -> Mapping[int, Sequence[int]]:
        self.asked += names
        return {name: self.graph[name] for name in names if name < len(self.graph)}


def below(graph: Graph, name: int) -> set[int]:
    return set(graph[name]).union(*(below(graph, cited) for cited in graph[name]))


def chain(graph: Graph, names: Collection[int]) -> set[int]:
    return set[int]().union(*(below(graph, name) for name in names))


@st.composite
def graphs_with_sets(draw: st.DrawFn) -> tuple[Graph, list[frozenset[int]], frozenset[int]]:
    graph = draw(graphs())
    names = st.frozensets(st.integers(0, len(graph) - 1), max_size=4)
    return graph, draw(st.lists(names, min_size=2, max_size=3)), draw(names)


@given(graphs_with_sets())
def test_the_difference_is_what_some_chains_have_and_others_lack(
    given_sets: tuple[Graph, list[frozenset[int]], frozenset[int]],
) -> None:
    graph, disputed, agreed = given_sets
    chains = [chain(graph, names | agreed) for names in disputed]
    expected = set[int]().union(*chains) - chains[0].intersection(*chains)
    walked = Walked(graph)
    assert auth_difference(disputed, lambda: agreed, walked) == expected
    assert len(set(walked.asked)) == len(walked.asked)


def test_what_all_agree_on_is_not_asked_for_if_the_chains_are_the_same() -> None:
    def agreed() -> Collection[int]:
        raise AssertionError("the agreed state was asked for")

    assert auth_difference([{2}, {3}], agreed, Walked([[], [0], [1], [1]])) == set()


def test_the_walk_of_what_all_agree_on_ends_when_nothing_is_left_to_take_out() -> None:
    walked = Walked([[], [0], [1], [], [], [4], [5], [6], [7], [1, 8]])
    assert auth_difference([{2}, {3}], lambda: {9}, walked) == set()
    assert walked.asked.count(9) == 1
    assert {4, 5, 6}.isdisjoint(walked.asked)


@given(graphs(), st.data())
def test_the_subgraph_is_every_path_between_two_conflicted_events(graph: Graph, data: st.DataObject) -> None:
    conflicted = data.draw(st.frozensets(st.integers(0, len(graph) - 1), max_size=4))
    expected = {
        name
        for name in range(len(graph))
        for top in conflicted
        for end in conflicted
        if top != end and name in {top, *below(graph, top)} and end in {name, *below(graph, name)}
    }
    # An event is on the path between itself and another; alone it is no path.
    assert conflicted_subgraph(conflicted, Walked(graph)) | conflicted == expected | conflicted


def test_events_that_are_not_known_end_a_walk() -> None:
    assert auth_difference([{1, 9}, {1}], lambda: (), Walked([[], [0]])) == set()
    assert conflicted_subgraph(frozenset({9, 1}), Walked([[], [0, 9]])) == {1, 9}


def test_a_chain_goes_back_to_the_create_event() -> None:
    room = SimulatedRoom("11")
    fork = room.set_up(BOB)
    message = fork.send(BOB, "m.room.message", {})
    assert auth_chain([message.event_id], room.fetch) == set(fork.state.values())
