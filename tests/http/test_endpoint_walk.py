"""The walk over endpoints, over the endpoints of the sample: it passes there, and notices what is wrong."""

from typing import Any

import pytest

from homeserver.http.authentication import no_auth, server_signature
from homeserver.http.endpoint import BoundEndpoint, Query, collect, endpoint
from tests.harness import endpoint_walk
from tests.http.sample import Sample, SampleApi

ENDPOINTS = collect(SampleApi())
CREDENTIALS = {
    server_signature: lambda _method, _target, _body: {"Authorization": "X-Matrix origin=a,key=k,sig=s"}
}


@pytest.mark.parametrize("bound", endpoint_walk.needing_credentials(ENDPOINTS), ids=endpoint_walk.name_of)
def test_strangers_are_refused(bound: BoundEndpoint) -> None:
    endpoint_walk.refuses_strangers(Sample().client, bound)


@pytest.mark.parametrize("bound", endpoint_walk.taking_json(ENDPOINTS), ids=endpoint_walk.name_of)
def test_malformed_json_is_refused(bound: BoundEndpoint) -> None:
    endpoint_walk.refuses_malformed_json(Sample().client, bound, CREDENTIALS)


@pytest.mark.parametrize("bound", endpoint_walk.taking_json(ENDPOINTS), ids=endpoint_walk.name_of)
def test_ill_typed_json_is_refused(bound: BoundEndpoint) -> None:
    endpoint_walk.refuses_ill_typed_json(Sample(joins_at_once=10).client, bound, CREDENTIALS)


def test_the_walk_notices_an_endpoint_that_lets_strangers_in() -> None:
    open_to_all = next(each for each in ENDPOINTS if each.endpoint.auth == no_auth)
    with pytest.raises(AssertionError):
        endpoint_walk.refuses_strangers(Sample().client, open_to_all)


def test_examples_fill_paths_and_required_queries() -> None:
    class _Api:
        @endpoint("GET", "/x", auth=no_auth, spec="")
        async def read(self, since: Query[str], limit: Query[int], dir_: Query[str] = "b") -> dict[str, Any]:
            return {}

    targets = {
        each.endpoint.name: endpoint_walk.example_target(each.endpoint)
        for each in collect(SampleApi(), _Api())
    }
    assert targets["join_room"] == "/_matrix/client/v3/join/%21walk%3Atest"
    assert targets["messages"] == "/_matrix/client/v3/rooms/%21walk%3Atest/messages?dir=b"
    assert targets["read"] == "/x?since=walk&limit=1"
