"""Signed requests: how they are made, and that no other gets through.

https://spec.matrix.org/v1.19/server-server-api/#request-authentication
"""

from typing import Any

import orjson
import pytest
import signedjson.key
import signedjson.sign
from hypothesis import given
from hypothesis import strategies as st

from federation.client.errors import RemoteError, Unreachable
from federation.wire.queries import PROFILE, ProfileQuery
from federation.wire.request_signing import authorization, signed_request
from federation.wire.transactions import SEND, Transaction, TransactionAnswer
from homeserver.protocol.base64 import encode_base64
from homeserver.protocol.canonical_json import encode_canonical
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing_keys import SigningKey
from tests.federation.homeservers import Homeserver, Internet

TARGET = "/_matrix/federation/v1/send/1"
KEY = SigningKey("1", b"k" * 32)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('abcé😀"\\', max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text('abcé😀"\\', max_size=4), json_values, max_size=4)


@given(
    method=st.sampled_from(["GET", "PUT", "POST"]),
    target=st.text('/_abcé%?=&"\\', min_size=1),
    content=st.none() | json_objects,
)
def test_other_implementations_verify_what_we_sign(method: str, target: str, content: Any) -> None:
    body = None if content is None else encode_canonical(content)
    header = authorization(KEY, method, target, "a.example", "b.example", body)
    signature = header.rpartition('sig="')[2].removesuffix('"')
    signed: dict[str, Any] = {
        "method": method,
        "uri": target,
        "origin": "a.example",
        "destination": "b.example",
        "signatures": {"a.example": {"ed25519:1": signature}},
    }
    if content is not None:
        signed["content"] = content
    key = signedjson.key.decode_verify_key_bytes("ed25519:1", KEY.verify_key.public)
    signedjson.sign.verify_signed_json(signed, "a.example", key)


@given(content=st.none() | json_objects, destination=st.none() | st.just("b.example"))
def test_what_is_signed_is_canonical_json(content: Any, destination: str | None) -> None:
    body = None if content is None else encode_canonical(content)
    signed = signed_request("PUT", '/x?y="é', "a.example", destination, body)
    assert signed == encode_canonical(orjson.loads(signed))


def test_the_header_is_as_old_servers_want_it() -> None:
    header = authorization(KEY, "GET", "/x", "a.example:80", "b.example", None)
    assert header.startswith('X-Matrix origin="a.example:80",destination="b.example",key="ed25519:1",sig="')
    assert "\\" not in header
    assert ", " not in header


@pytest.mark.usefixtures("internet")
class Requests(Internet):
    """Between servers of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.alpha = self.homeserver("alpha.example")
        self.beta = self.homeserver("beta.example", "  deny_domains: [evil.example]\n")

    async def sent(self, body: bytes, headers: dict[str, str], target: str = TARGET) -> tuple[int, Any]:
        status, answer = await self.beta.put(target, body, headers)
        return status, answer.get("errcode") or answer.get("origin")

    def signs(
        self, body: bytes, signer: Homeserver | None = None, destination: str = "beta.example"
    ) -> dict[str, str]:
        return (signer or self.alpha).signs("PUT", TARGET, destination, body)

    async def test_a_transaction_arrives(self) -> None:
        transaction = Transaction(origin="alpha.example", pdus=[{"é": 1}], edus=[])
        answer = await self.alpha.transport.client.request(
            SEND, self.beta.name, path={"txn_id": "t/1 ü"}, body=transaction
        )
        assert answer == TransactionAnswer({})
        assert self.beta.echo.seen == [
            {"origin": "alpha.example", "origin_server_ts": 0, "pdus": [{"é": 1}], "edus": []}
        ]

    async def test_a_query_arrives(self) -> None:
        answer = await self.alpha.transport.client.request(
            PROFILE, self.beta.name, query=ProfileQuery("@a b+:x")
        )
        assert answer == {"displayname": "alpha.example"}

    async def test_bytes_are_sent_as_they_are(self) -> None:
        body = b'{"edus":[],"origin":"alpha.example","origin_server_ts":5,"pdus":[{"a":1}]}'
        await self.alpha.transport.client.request(SEND, self.beta.name, path={"txn_id": "1"}, body=body)
        assert self.beta.echo.seen == [orjson.loads(body)]

    async def test_an_error_is_told_with_its_code(self) -> None:
        with pytest.raises(RemoteError) as error:
            await self.alpha.transport.client.request(SEND, self.beta.name, path={"txn_id": "1"}, body=b"[]")
        assert (error.value.status, error.value.remote_errcode) == (400, "M_BAD_JSON")
        assert self.alpha.transport.health.retry_at_ms(self.beta.name) is None

    async def test_a_signed_request_is_let_in(self) -> None:
        assert await self.sent(b"{}", self.signs(b"{}")) == (200, "alpha.example")

    async def test_a_request_without_signature_is_refused(self) -> None:
        assert await self.sent(b"{}", {}) == (401, "M_UNAUTHORIZED")
        assert await self.sent(b"{}", {"Authorization": "Bearer secret"}) == (401, "M_UNAUTHORIZED")

    async def test_a_signature_over_another_body_is_refused(self) -> None:
        assert await self.sent(b'{"a":1}', self.signs(b"{}")) == (401, "M_UNAUTHORIZED")
        assert self.beta.echo.seen == []

    async def test_a_signature_over_no_body_is_refused_for_one_with_a_body(self) -> None:
        headers = self.alpha.signs("PUT", TARGET, "beta.example", None)
        assert await self.sent(b"{}", headers) == (401, "M_UNAUTHORIZED")

    async def test_a_signature_over_another_target_is_refused(self) -> None:
        headers = self.signs(b"{}")
        for target in (TARGET + "2", TARGET + "?a=b", TARGET.replace("send/1", "send/%31")):
            assert await self.sent(b"{}", headers, target) == (401, "M_UNAUTHORIZED"), target

    async def test_a_signature_over_another_method_is_refused(self) -> None:
        assert await self.sent(b"{}", self.alpha.signs("POST", TARGET, "beta.example", b"{}")) == (
            401,
            "M_UNAUTHORIZED",
        )

    async def test_a_request_meant_for_another_server_is_refused(self) -> None:
        assert await self.sent(b"{}", self.signs(b"{}", destination="gamma.example")) == (
            401,
            "M_UNAUTHORIZED",
        )

    async def test_a_header_without_destination_is_let_in(self) -> None:
        signature = self.alpha.key.sign(signed_request("PUT", TARGET, "alpha.example", None, b"{}"))
        header = f'X-Matrix origin=alpha.example,key="{self.alpha.key.key_id}",sig="{signature}"'
        assert await self.sent(b"{}", {"Authorization": header}) == (200, "alpha.example")

    async def test_a_header_in_another_style_is_let_in(self) -> None:
        signature = self.alpha.key.sign(signed_request("PUT", TARGET, "alpha.example", "beta.example", b"{}"))
        header = (
            f'x-matrix  Key={self.alpha.key.key_id} , SIG="{signature}",extra="a\\"b", '
            'destination=beta.example ,\torigin="alpha\\.example"'
        )
        assert await self.sent(b"{}", {"Authorization": header}) == (200, "alpha.example")

    async def test_a_body_that_is_not_canonical_may_be_signed_in_canonical_form(self) -> None:
        body = b'{ "b": 1.5,\n "a": "\\u00e9" }'
        canonical = '{"a":"é","b":1.5}'.encode()
        assert await self.sent(body, self.signs(canonical)) == (200, "alpha.example")

    async def test_a_signature_by_a_key_of_another_server_is_refused(self) -> None:
        gamma = self.homeserver("gamma.example")
        header = gamma.signs("PUT", TARGET, "beta.example", b"{}")["Authorization"]
        header = header.replace("gamma.example", "alpha.example", 1)
        assert await self.sent(b"{}", {"Authorization": header}) == (401, "M_UNAUTHORIZED")

    async def test_who_claims_to_be_ourselves_is_refused(self) -> None:
        headers = self.beta.signs("PUT", TARGET, "beta.example", b"{}")
        assert await self.sent(b"{}", headers) == (401, "M_UNAUTHORIZED")

    async def test_a_server_that_the_operator_keeps_out_is_refused_both_ways(self) -> None:
        signature = encode_base64(b"x" * 64)
        header = (
            f'X-Matrix origin="evil.example",destination="beta.example",key="ed25519:1",sig="{signature}"'
        )
        assert await self.sent(b"{}", {"Authorization": header}) == (403, "M_FORBIDDEN")
        with pytest.raises(Unreachable):
            await self.beta.transport.client.request(
                PROFILE, ServerName("evil.example"), query=ProfileQuery("@a:b")
            )
        assert self.streets.called == [("203.0.113.2", 8448)]

    async def test_nonsense_in_the_header_is_refused(self) -> None:
        for header in (
            "X-Matrix ",
            "X-Matrix origin",
            'X-Matrix origin="alpha.example"',
            'X-Matrix origin="alpha.example",key="ed25519:1",sig="!!!"',
            'X-Matrix origin="alpha.example",key="",sig=""',
            'X-Matrix origin="alpha.example",origin="beta.example",key="ed25519:1",sig="x"',
        ):
            assert await self.sent(b"{}", {"Authorization": header}) == (401, "M_UNAUTHORIZED"), header

    async def test_a_port_that_is_no_number_is_refused(self) -> None:
        header = 'X-Matrix origin="alpha.example:http",key="ed25519:1",sig="x"'
        assert await self.sent(b"{}", {"Authorization": header}) == (400, "M_INVALID_PARAM")

    async def test_a_signed_body_that_is_not_json_is_told_apart(self) -> None:
        assert await self.sent(b"nonsense", self.signs(b"nonsense")) == (400, "M_NOT_JSON")

    async def test_what_a_server_asks_wakes_what_we_owe_it(self) -> None:
        health = self.beta.transport.health
        assert await self.sent(b"{}", self.signs(b"{}")) == (200, "alpha.example")
        health.failed(health.admit(self.alpha.name))
        woken: list[ServerName] = []
        health.listen(woken.append)
        assert await self.sent(b"{}", self.signs(b'{"forged":1}')) == (401, "M_UNAUTHORIZED")
        assert woken == []
        assert await self.sent(b"{}", self.signs(b"{}")) == (200, "alpha.example")
        assert woken == [self.alpha.name]

    async def test_a_server_that_is_away_is_not_asked_again_at_once(self) -> None:
        await self.beta.go_away()
        client = self.alpha.transport.client
        with pytest.raises(Unreachable):
            await client.request(PROFILE, self.beta.name, query=ProfileQuery("@a:b"))
        calls = len(self.streets.called)
        with pytest.raises(Unreachable, match="not answered for some time"):
            await client.request(PROFILE, self.beta.name, query=ProfileQuery("@a:b"))
        assert len(self.streets.called) == calls

    async def test_a_server_does_not_ask_itself(self) -> None:
        with pytest.raises(Unreachable, match="it is this server"):
            await self.alpha.transport.client.request(PROFILE, self.alpha.name, query=ProfileQuery("@a:b"))
