from typing import Annotated, Any

import pytest

from homeserver.http.authentication import access_token, no_auth
from homeserver.http.endpoint import Body, Header, Path, Query, collect, declared_limits, endpoint, named
from homeserver.http.request import Request
from homeserver.protocol.errors import InvalidParam, MissingParam
from homeserver.protocol.identifiers import RoomID
from homeserver.protocol.requester import Requester
from tests.http.sample import SampleApi


class DeclaredApi:
    @endpoint(
        "GET", "/{v1,v2}/{a,b}/{room_id}", "/plain/{room_id}", auth=access_token, limit="reads", spec="x/#y"
    )
    async def read(
        self,
        _who: Requester,
        room_id: Path[RoomID],
        from_: Query[str] = "start",
        age: Annotated[Query[int], named("max-age")] = 3,
        if_none_match: Header[str] = "",
    ) -> dict[str, Any]:
        """Read a room.

        And more.
        """
        return {}


class InheritingApi(DeclaredApi):
    async def read(self, *_arguments: Any, **_named: Any) -> dict[str, Any]:
        return {}


def request(target: str = "/", headers: dict[bytes, list[bytes]] | None = None, body: bytes = b"") -> Request:
    return Request("GET", target, headers or {}, body, "192.0.2.1", "r-1")


def test_alternatives_expand_to_every_path() -> None:
    (bound,) = collect(DeclaredApi())
    assert bound.endpoint.paths == (
        "/v1/a/{room_id}",
        "/v1/b/{room_id}",
        "/v2/a/{room_id}",
        "/v2/b/{room_id}",
        "/plain/{room_id}",
    )


def test_a_declaration_is_read_from_the_signature() -> None:
    (bound,) = collect(DeclaredApi())
    declared = bound.endpoint
    assert (declared.name, declared.method, declared.auth, declared.limit) == (
        "read",
        "GET",
        access_token,
        "reads",
    )
    assert (declared.spec, declared.summary) == ("x/#y", "Read a room.")
    assert [each.names for each in declared.parameters] == [("from",), ("max-age",), ("if-none-match",)]
    assert declared_limits([bound]) == {"reads"}


def test_wire_names_lead_to_python_names() -> None:
    (bound,) = collect(DeclaredApi())
    sent = request("/?from=x&max-age=9", {b"if-none-match": [b"tag"]})
    arguments = bound.endpoint.arguments(sent, {"room_id": "!r:x"})
    assert arguments == {"room_id": "!r:x", "from_": "x", "age": 9, "if_none_match": "tag"}


def test_defaults_stand_in_for_what_was_not_sent() -> None:
    (bound,) = collect(DeclaredApi())
    arguments = bound.endpoint.arguments(request(), {"room_id": "!r:x"})
    assert arguments == {"room_id": "!r:x", "from_": "start", "age": 3, "if_none_match": ""}


def test_an_overriding_method_is_not_an_endpoint_unless_declared() -> None:
    assert collect(InheritingApi()) == []


def test_bad_values_name_the_parameter() -> None:
    (bound,) = collect(DeclaredApi())
    with pytest.raises(InvalidParam, match="max-age"):
        bound.endpoint.arguments(request("/?max-age=soon"), {"room_id": "!r:x"})


def test_a_required_parameter_that_is_missing_is_named() -> None:
    api = SampleApi()
    messages = next(each.endpoint for each in collect(api) if each.endpoint.name == "messages")
    with pytest.raises(MissingParam, match="query parameter dir"):
        messages.arguments(request(), {"room_id": "!r:x"})


def test_stacked_declarations_are_two_endpoints_of_one_method() -> None:
    states = [each.endpoint for each in collect(SampleApi()) if each.endpoint.name == "put_state"]
    assert len(states) == 2
    body = request(body=b"{}")
    assert states[0].arguments(body, {"room_id": "!r:x", "kind": "k", "state_key": "s"})["state_key"] == "s"
    assert states[0].arguments(body, {"room_id": "!r:x", "kind": "k"})["state_key"] == ""


def test_a_principal_is_required_where_auth_gives_one() -> None:
    with pytest.raises(TypeError, match="access_token"):

        class _Broken:
            @endpoint("GET", "/x", auth=access_token, spec="")
            async def broken(self) -> None: ...


def test_no_principal_is_accepted_where_auth_gives_none() -> None:
    with pytest.raises(TypeError, match="no_auth"):

        class _Broken:
            @endpoint("GET", "/x", auth=no_auth, spec="")
            async def broken(self, who: Requester) -> None: ...


def test_paths_and_signature_must_agree() -> None:
    with pytest.raises(TypeError, match="differ"):

        class _Missing:
            @endpoint("GET", "/x/{room_id}", auth=no_auth, spec="")
            async def broken(self) -> None: ...

    with pytest.raises(TypeError, match="differ"):

        class _Surplus:
            @endpoint("GET", "/x", auth=no_auth, spec="")
            async def broken(self, room_id: Path[RoomID]) -> None: ...


def test_an_endpoint_is_a_coroutine_function() -> None:
    with pytest.raises(TypeError, match="coroutine"):

        class _Broken:
            @endpoint("GET", "/x", auth=no_auth, spec="")
            def broken(self) -> None: ...


def test_types_that_text_cannot_hold_are_refused_at_import() -> None:
    with pytest.raises(TypeError, match="cannot be read from text"):

        class _Broken:
            @endpoint("GET", "/x", auth=no_auth, spec="")
            async def broken(self, what: Query[dict[str, Any]]) -> None: ...


def test_there_is_one_body_at_most() -> None:
    with pytest.raises(TypeError, match="more than one body"):

        class _Broken:
            @endpoint("PUT", "/x", auth=no_auth, spec="")
            async def broken(self, first: Body[dict[str, Any]], second: Body[dict[str, Any]]) -> None: ...
