import zlib

import pytest
from structlog.testing import capture_logs

from homeserver.http.authentication import access_token
from homeserver.http.endpoint import collect
from homeserver.http.metrics import Metrics, ReactorLag
from homeserver.http.pipeline import Pipeline
from homeserver.http.rate_limits import RateLimits
from storage.database import Database
from tests.client_api.rooms_site import V3
from tests.client_api.sync_site import SyncSite
from tests.harness.memory import SeededRandom, SteppingClock, at_once
from tests.http.sample import AUTHENTICATORS, FEDERATION_AT_ONCE, Sample, SampleApi, pipeline

CORS = "access-control-allow-origin"
JOIN = "/_matrix/client/v3/join/!room:test"


def test_a_request_is_authenticated_decoded_called_and_encoded() -> None:
    reply = Sample().client.post(JOIN, {"reason": "hello"}, {"via": ["a.test", "b.test"]})
    assert (reply.status, reply.json) == (
        200,
        {"room_id": "!room:test", "via": ["a.test", "b.test"], "reason": "hello"},
    )
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers[CORS] == "*"


def test_every_alternative_path_is_served() -> None:
    assert Sample().client.post("/_matrix/client/r0/join/!room:test").status == 200


def test_without_a_token() -> None:
    reply = Sample().client.with_token(None).post(JOIN)
    assert (reply.status, reply.errcode, reply.headers[CORS]) == (401, "M_MISSING_TOKEN", "*")


def test_with_an_unknown_token() -> None:
    reply = Sample().client.with_token("bad").post(JOIN)
    assert (reply.status, reply.errcode) == (401, "M_UNKNOWN_TOKEN")


def test_who_asks_is_checked_before_what_is_asked() -> None:
    assert (
        Sample().client.with_token("bad").post("/_matrix/client/v3/join/nonsense", b"{").errcode
        == "M_UNKNOWN_TOKEN"
    )


def test_a_token_may_be_optional() -> None:
    sample = Sample()
    path = "/_matrix/client/v3/whoami"
    assert sample.client.get(path).json["user_id"] == "@alice:test"
    assert sample.client.with_token(None).get(path, User_Agent="x").json == {"user_id": None, "agent": "x"}


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"dir": "sideways"}, "M_INVALID_PARAM"),
        ({"dir": "b", "limit": "many"}, "M_INVALID_PARAM"),
        ({"dir": "b", "lazy": "yes"}, "M_INVALID_PARAM"),
        ({"dir": "b", "order": "random"}, "M_INVALID_PARAM"),
    ],
)
def test_bad_queries(query: dict[str, str | int | bool | list[str]], errcode: str) -> None:
    reply = Sample().client.get("/_matrix/client/v3/rooms/!r:test/messages", query)
    assert (reply.status, reply.errcode) == (400, errcode)


def test_a_query_that_is_not_utf8() -> None:
    reply = Sample().client.start("GET", "/_matrix/client/v3/big")
    assert reply.reply.errcode == "M_MISSING_PARAM"
    connection = Sample().client.start("GET", "/_matrix/client/v3/raw").connection
    connection.send(b"GET /_matrix/client/v3/big?size=%ff HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"M_INVALID_PARAM" in connection.received()


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        (b"{", "M_NOT_JSON"),
        (b"", "M_NOT_JSON"),
        (b"[]", "M_BAD_JSON"),
        (b'{"name":1}', "M_BAD_JSON"),
        (b"{}", "M_MISSING_PARAM"),
    ],
)
def test_bad_bodies(body: bytes, errcode: str) -> None:
    reply = Sample().client.post("/_matrix/client/v3/named", body)
    assert (reply.status, reply.errcode) == (400, errcode)


def test_no_body_at_all_where_that_is_allowed() -> None:
    assert Sample().client.request("POST", JOIN).status == 200


def test_a_path_parameter_that_is_no_identifier() -> None:
    assert Sample().client.post("/_matrix/client/v3/join/nonsense").errcode == "M_INVALID_PARAM"


def test_unknown_endpoints_are_unrecognized() -> None:
    reply = Sample().client.get("/_matrix/client/v3/nothing")
    assert (reply.status, reply.errcode, reply.headers[CORS]) == (404, "M_UNRECOGNIZED", "*")


def test_known_endpoints_with_another_method_are_unrecognized() -> None:
    reply = Sample().client.delete(JOIN)
    assert (reply.status, reply.errcode, reply.headers[CORS]) == (405, "M_UNRECOGNIZED", "*")


def test_preflights_are_answered_for_any_path() -> None:
    for path in (JOIN, "/_matrix/client/v3/nothing"):
        reply = Sample().client.with_token(None).options(path)
        assert (reply.status, reply.headers[CORS]) == (200, "*")
        assert "Authorization" in reply.headers["access-control-allow-headers"]
        assert "PUT" in reply.headers["access-control-allow-methods"]


def test_federation_and_metrics_are_not_for_browsers() -> None:
    sample = Sample()
    assert CORS not in sample.client.put("/_matrix/federation/v1/send/1", {}).headers
    assert CORS not in sample.client.get("/metrics").headers


def test_errors_of_services_reach_the_client() -> None:
    reply = Sample().client.get("/_matrix/client/v3/fail/missing")
    assert (reply.status, reply.json) == (404, {"errcode": "M_NOT_FOUND", "error": "No such thing"})


def test_limits_of_services_reach_the_client() -> None:
    reply = Sample().client.get("/_matrix/client/v3/fail/limited")
    assert (reply.status, reply.headers["retry-after"], reply.json["retry_after_ms"]) == (429, "2", 1500)


def test_declared_limits_count_by_user() -> None:
    sample = Sample()
    statuses = [sample.client.post(JOIN).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    sample.clock.advance(1.1)
    assert sample.client.post(JOIN).status == 200


def test_a_bug_tells_the_client_an_incident_and_the_log_the_rest() -> None:
    with capture_logs() as lines:
        reply = Sample().client.get("/_matrix/client/v3/fail/bug")
    assert (reply.status, reply.errcode) == (500, "M_UNKNOWN")
    assert "secret" not in reply.text
    (incident,) = [line for line in lines if "incident" in line]
    assert incident["incident"] in reply.json["error"]
    assert isinstance(incident["exc_info"], ZeroDivisionError)


def test_without_its_database_the_server_says_so_and_when_to_try_again(database: Database) -> None:
    site = SyncSite(database)
    alice = site.person("alice")
    database.close()
    with capture_logs() as lines:
        reply = alice.http.get(f"{V3}/profile/@somebody:test")
    assert (reply.status, reply.errcode, reply.headers["retry-after"]) == (503, "M_UNKNOWN", "5")
    assert "the database is not available" in {line["event"] for line in lines}


def test_one_line_of_log_a_request() -> None:
    sample = Sample()
    with capture_logs() as lines:
        sample.client.post(JOIN, {})
        sample.client.with_token(None).get("/_matrix/client/v3/nothing?access_token=secret")
    first, second = lines
    assert first == {
        "event": "request",
        "log_level": "info",
        "method": "POST",
        "path": "/_matrix/client/v3/join/{room_id_or_alias}",
        "status": 200,
        "errcode": None,
        "user": "@alice:test",
        "ms": 0.0,
        "bytes": 47,
        "address": "192.0.2.1",
        "request_id": first["request_id"],
    }
    assert (second["status"], second["errcode"], second["path"]) == (
        404,
        "M_UNRECOGNIZED",
        "/_matrix/client/v3/nothing",
    )
    assert first["request_id"] != second["request_id"]


def test_big_answers_are_compressed_for_clients_that_can_read_them() -> None:
    client = Sample().client
    reply = client.get("/_matrix/client/v3/big", {"size": 300_000}, Accept_Encoding="deflate, gzip;q=0.8, br")
    assert reply.headers["content-encoding"] == "gzip"
    assert int(reply.headers["content-length"]) < 10_000
    assert len(reply.json["text"]) == 300_000


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0", "*;q=0"])
def test_answers_are_plain_for_other_clients(accepted: str) -> None:
    reply = Sample().client.get("/_matrix/client/v3/big", {"size": 300_000}, Accept_Encoding=accepted)
    assert "content-encoding" not in reply.headers


def test_small_answers_are_not_compressed() -> None:
    reply = Sample().client.get("/_matrix/client/v3/big", {"size": 100}, Accept_Encoding="gzip")
    assert "content-encoding" not in reply.headers


def test_what_does_not_shrink_is_not_compressed() -> None:
    sample = Sample()
    data = zlib.compress(b"x" * 100_000) * 20
    reply = sample.client.post(
        "/_matrix/media/v3/upload", data, Content_Type="image/png", Accept_Encoding="gzip"
    )
    assert (reply.body, "content-encoding" in reply.headers) == (data, False)


def test_raw_json_html_and_bodies_of_any_kind() -> None:
    client = Sample().client
    assert client.get("/_matrix/client/v3/raw").json == {"raw": True}
    page = client.get("/_matrix/client/v3/fallback")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (
        client.post("/_matrix/media/v3/upload", b"\x00\xff", Content_Type="x/y").headers["content-type"]
        == "x/y"
    )


def test_a_header_of_an_answer_cannot_start_another() -> None:
    sample = Sample()
    body = b"x"
    reply = sample.client.post("/_matrix/media/v3/upload", body, Content_Type="a\tb")
    assert reply.headers["content-type"] == "a\tb"


def test_head_has_the_headers_of_get_and_no_body() -> None:
    reply = Sample().client.request("HEAD", "/_matrix/client/v3/raw")
    assert (reply.status, reply.headers["content-length"], reply.body) == (200, "12", b"")


def test_server_signatures_give_their_origin() -> None:
    sample = Sample()
    signed = 'X-Matrix origin="other.test",destination="test",key="ed25519:1",sig="s"'
    reply = sample.client.put("/_matrix/federation/v1/send/7", {"pdus": []}, Authorization=signed)
    assert reply.json == {"origin": "other.test", "txn": "7", "size": 1}
    assert sample.client.with_token(None).put("/_matrix/federation/v1/send/7", {}).errcode == "M_UNAUTHORIZED"


def test_servers_are_limited_without_an_endpoint_saying_so() -> None:
    client = Sample().client

    def send_as(server: str) -> int:
        signed = f'X-Matrix origin="{server}",destination="test",key="ed25519:1",sig="s"'
        return client.put("/_matrix/federation/v1/send/7", {"pdus": []}, Authorization=signed).status

    statuses = [send_as("one.test") for _ in range(FEDERATION_AT_ONCE + 1)]
    assert statuses == [200] * FEDERATION_AT_ONCE + [429]
    assert send_as("two.test") == 200


def test_metrics_count_requests_by_endpoint_and_status() -> None:
    sample = Sample()
    sample.client.post(JOIN)
    sample.client.get("/_matrix/client/v3/nothing")
    text = sample.client.get("/_meridian/metrics").text
    assert 'meridian_http_requests_total{endpoint="sample.join_room",status="200"} 1.0' in text
    assert 'meridian_http_requests_total{endpoint="unrecognized",status="404"} 1.0' in text
    assert 'meridian_http_request_seconds_count{endpoint="sample.join_room"} 1.0' in text
    assert "meridian_http_connections 1.0" in text


def test_reactor_lag_is_how_late_a_call_comes() -> None:
    clock, metrics = SteppingClock(), Metrics()
    lag = ReactorLag(clock, metrics)
    lag.start()
    clock.twisted.advance(1.0)
    clock.twisted.advance(1.7)
    lag.stop()
    clock.twisted.advance(9.0)
    text = metrics.render().decode()
    assert 'meridian_reactor_lag_seconds_bucket{le="0.001"} 1.0' in text
    assert 'meridian_reactor_lag_seconds_bucket{le="1.0"} 2.0' in text
    assert "meridian_reactor_lag_seconds_count 2.0" in text


def test_health() -> None:
    assert Sample().client.with_token(None).get("/health").json == {"status": "ok", "failing": []}


def test_an_endpoint_with_an_unknown_limit_is_refused_at_composition() -> None:
    with pytest.raises(ValueError, match="no rate limit"):
        pipeline(SteppingClock(), Metrics(), {}).routes(collect(SampleApi()))


def test_an_endpoint_that_nothing_authenticates_is_refused_at_composition() -> None:
    clock, metrics = SteppingClock(), Metrics()
    authenticators = {marker: each for marker, each in AUTHENTICATORS.items() if marker != access_token}
    bare = Pipeline(
        authenticators, RateLimits({}, clock), {"default": 1}, metrics, clock, SeededRandom(), at_once
    )
    with pytest.raises(ValueError, match=r"nothing authenticates|no rate limit"):
        bare.routes(collect(SampleApi()))
