"""The file is read strictly: what it may say, and how it is told that it is wrong."""

from ipaddress import ip_network
from pathlib import Path

import pytest

from config.config import Config
from config.errors import ConfigError
from config.loading import defaults, load, parse

HERE = Path("/srv/meridian")

FULL = """
server_name: alpha.example            # host, host:port, IP literals
data_dir: ./data                      # keys, media, embedded PostgreSQL
# database: postgresql://user@host/db # absent: embedded
public_baseurl: http://127.0.0.1:8008/
listeners:
  - {bind: 127.0.0.1, port: 8008, serves: [client, federation, metrics]}   # also unix: PATH; x_forwarded: true
  - {bind: 127.0.0.1, port: 8448, serves: [federation, client], tls: {certificate: tls.crt, private_key: tls.key}}
registration: {mode: open, shared_secret: change-me}   # open | token | closed
rate_limits: {enabled: true}          # each limit by name, with per_second and burst
federation: {enabled: true, ca_file: ca.pem, verify_tls: true, allow_networks: [127.0.0.0/8]}
cache_size: 256MB
"""


def read(text: str, environ: dict[str, str] | None = None, base_dir: Path = HERE) -> Config:
    return parse("server_name: alpha.example\n" + text, base_dir, environ)


def complaint(text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, HERE, environ)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_whole_file_is_understood() -> None:
    config = parse(FULL, HERE)
    plain, secure = config.listeners
    assert config.server_name == "alpha.example"
    assert config.data_dir == HERE / "data"
    assert config.database.dsn is None
    assert config.public_baseurl == "http://127.0.0.1:8008/"
    assert (plain.bind, plain.port, plain.tls) == ("127.0.0.1", 8008, None)
    assert plain.serves == ("client", "federation", "metrics")
    assert secure.tls is not None
    assert secure.tls.certificate == HERE / "tls.crt"
    assert (config.registration.mode, config.registration.shared_secret) == ("open", "change-me")
    assert config.rate_limits.enabled
    assert config.federation.ca_file == HERE / "ca.pem"
    assert config.federation.allow_networks == (ip_network("127.0.0.0/8"),)
    assert config.cache_size_bytes == 256_000_000


def test_what_is_not_said_has_its_default() -> None:
    config = read("")
    assert config.signing_key_path == HERE / "data/signing.key"
    assert config.media.path == HERE / "data/media"
    assert config.public_baseurl == "https://alpha.example/"
    assert config.registration.mode == "closed"
    assert config.access_tokens_in_query is False
    assert [(one.bind, one.port) for one in config.listeners] == [("127.0.0.1", 8008)]


def test_defaults_follow_the_data_directory() -> None:
    config = read("data_dir: /var/lib/meridian")
    assert config.signing_key_path == Path("/var/lib/meridian/signing.key")
    assert config.media.path == Path("/var/lib/meridian/media")


def test_a_server_without_a_file_is_localhost_with_its_data_in_the_working_directory() -> None:
    config = defaults(base_dir=HERE, environ={})
    assert (config.server_name, config.data_dir) == ("localhost", HERE / "data")
    assert config.public_baseurl == "http://127.0.0.1:8008/"
    assert defaults("beta.example:8448", HERE, {}).server_name == "beta.example:8448"


def test_a_local_servers_clients_use_its_own_listener() -> None:
    tls = "tls: {certificate: a, private_key: b}"
    config = parse(f"server_name: localhost:8448\nlisteners: [{{bind: '::1', port: 8448, {tls}}}]", HERE)
    assert config.public_baseurl == "https://[::1]:8448/"


@pytest.mark.parametrize(
    "name", ["localhost", "a.example:8448", "1.2.3.4", "1.2.3.4:80", "[::1]", "[2001:db8::1]:8448"]
)
def test_server_names_of_every_form_are_taken(name: str) -> None:
    assert parse(f"server_name: '{name}'", HERE).server_name == name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty: `server_name` at least has to be there"),
        ("data_dir: x", "line 1: server_name: the key is missing"),
        ("- a", "line 1: expected a mapping of keys to values, got a list"),
        ("server_name: a\nserver_name: b", "line 2: server_name: the key is there twice"),
        ("server_name: a\n\nserver_nam: b", "line 3: server_nam: unknown key; did you mean `server_name`?"),
        ("server_name: a\nlog: {levle: info}", "line 2: log.levle: unknown key; did you mean `level`?"),
        ("server_name: 5", "line 1: server_name: expected text, got the number 5 (put it in quotes)"),
        (
            "server_name: a_b",
            "line 1: server_name: expected a server name: a host, host:port or IP literal, got 'a_b'",
        ),
        ("server_name: a: b", "line 1: not valid YAML: mapping values are not allowed here"),
        (
            "server_name: a\nlisteners: []",
            "line 1: listeners: the list is empty, so that nobody could reach the server",
        ),
        ("server_name: a\nlisteners: 8008", "line 2: listeners: expected a list, got the number 8008"),
        (
            "server_name: a\nlisteners:\n- port: 70000",
            "line 3: listeners[0].port: must be at most 65535, got 70000",
        ),
        (
            "server_name: a\nlisteners:\n- port: eighty",
            "line 3: listeners[0].port: expected a whole number, got 'eighty'",
        ),
        (
            "server_name: a\nlisteners:\n- port: 010",
            "line 3: listeners[0].port: expected a whole number, got 010",
        ),
        (
            "server_name: a\nlisteners:\n- {unix: a, port: 1}",
            "line 3: listeners[0]: `unix` goes with neither `port` nor `tls`",
        ),
        (
            "server_name: a\nlisteners:\n- bind: here",
            "line 3: listeners[0].bind: expected an IP address such as 127.0.0.1, 0.0.0.0 or ::, got 'here'",
        ),
        (
            "server_name: a\nlisteners:\n- {serves: [client]}\n- {serves: [metrics]}",
            "line 1: listeners: 127.0.0.1:8008 is there twice",
        ),
        (
            "server_name: a\nlisteners:\n- {tls: {certificate: a}}",
            "line 3: listeners[0].tls.private_key: the key is missing",
        ),
        (
            "server_name: a\nlisteners:\n- serves: [client, clients]",
            "line 3: listeners[0].serves[1]: expected one of client, federation, metrics, got 'clients'",
        ),
        (
            "server_name: a\nlisteners:\n- serves: [client, client]",
            "line 3: listeners[0].serves[1]: it is in the list twice",
        ),
        (
            "server_name: a\nregistration: {mode: off}",
            "line 2: registration.mode: expected one of open, token, closed, got the truth value off",
        ),
        (
            "server_name: a\nfederation:\n  verify_tls: nope",
            "line 3: federation.verify_tls: expected true or false, got 'nope'",
        ),
        (
            "server_name: a\nfederation:\n  allow_networks: [10.0.0.1/8]",
            "line 3: federation.allow_networks[0]: expected an address range such as 10.0.0.0/8 or fd00::/8, "
            "got '10.0.0.1/8'",
        ),
        (
            "server_name: a\ncache_size: 5 apples",
            "line 2: cache_size: expected a size such as 256MB or 64KiB, got '5 apples'",
        ),
        ("server_name: a\ncache_size: 1KB", "line 2: cache_size: must be at least 1MB, got 1KB"),
        (
            "server_name: a\nlimits: {sync_timeout: 30}",
            "line 2: limits.sync_timeout: expected a duration such as 30s, 5m, 2h or 7d, got the number 30",
        ),
        (
            "server_name: a\nlimits: {sync_timeout: 2h}",
            "line 2: limits.sync_timeout: must be at most 1h, got 2h",
        ),
        ("server_name: a\ndefault_room_version: 13", None),
        (
            "server_name: a\nrate_limits: {joins: {burst: 3}}",
            "line 2: rate_limits.joins.per_second: the key is missing",
        ),
        (
            "server_name: a\nrate_limits: {joins: {burst: 3, per_second: .inf}}",
            "line 2: rate_limits.joins.per_second: expected a number, got .inf",
        ),
        (
            "server_name: a\nturn: {uris: ['stun:turn.example.org'], shared_secret: b}",
            "line 2: turn.uris: expected a TURN address such as turn:turn.example.org?transport=udp, "
            "got 'stun:turn.example.org'",
        ),
        (
            "server_name: a\nturn: {uris: ['turn:turn.example.org']}",
            "line 2: turn: `uris` are of no use without a `shared_secret`",
        ),
        (
            "server_name: a\npublic_baseurl: matrix.example.org",
            "line 2: public_baseurl: expected a URL such as https://matrix.example.org/, got 'matrix.example.org'",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(text: str, said: str | None) -> None:
    if said is None:
        said = "line 2: default_room_version: expected one of " + ", ".join(str(n) for n in range(1, 13))
        said += ", got the number 13"
    assert complaint(text) == said


def test_a_room_version_needs_no_quotes() -> None:
    assert read("default_room_version: 11").default_room_version == "11"


def test_a_limit_is_set_by_its_name() -> None:
    limits = read("rate_limits: {joins: {per_second: 0.5, burst: 3}}").rate_limits
    assert (limits.by_name["joins"].per_second, limits.by_name["joins"].burst) == (0.5, 3)
    assert limits.by_name["messages"] == limits.messages
    assert "enabled" not in limits.by_name


def test_the_name_of_the_file_is_part_of_the_complaint(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: a\ncache: 5\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"^{file}:2: cache: unknown key") as caught:
        load(file, {})
    assert (caught.value.key, caught.value.line) == ("cache", 2)


def test_a_file_that_is_not_there_is_a_complaint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read it: No such file"):
        load(tmp_path / "homeserver.yaml", {})


def test_certificates_must_exist_when_a_file_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "homeserver.yaml"
    file.write_text("server_name: a\nfederation:\n  ca_file: ca.pem\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=rf":3: federation.ca_file: there is no file {tmp_path}/ca.pem"):
        load(file, {})
    (tmp_path / "ca.pem").touch()
    assert load(file, {}).federation.ca_file == tmp_path / "ca.pem"
