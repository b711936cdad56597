import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.http.authentication import ServerSignature, bearer_token, server_signatures
from homeserver.protocol.errors import InvalidParam, MissingToken, Unauthorized, UnknownToken
from homeserver.protocol.identifiers import ServerName

SIGNATURE = ServerSignature(
    ServerName("origin.hs"), ServerName("destination.hs"), "ed25519:key1", "ABC+def/12="
)


@pytest.mark.parametrize(
    "header",
    [
        'X-Matrix origin="origin.hs",destination="destination.hs",key="ed25519:key1",sig="ABC+def/12="',
        "X-Matrix origin=origin.hs,destination=destination.hs,key=ed25519:key1,sig=ABC+def/12=",
        'x-matrix ORIGIN=origin.hs, Destination="destination.hs" ,\tkey = "ed25519:key1" , sig="ABC+def/12="',
        'X-Matrix sig="ABC+def/12=",key="ed25519:key1",destination="destination.hs",origin="origin.hs",new="x,y=z"',
        r'X-Matrix origin="orig\in.hs",destination="destination.hs",key="ed25519:key1",sig="ABC\+def/12="',
        'X-Matrix   origin="origin.hs",,destination="destination.hs",key="ed25519:key1",sig="ABC+def/12="',
    ],
)
def test_every_spelling_of_a_server_signature_is_read(header: str) -> None:
    assert server_signatures([header]) == (SIGNATURE,)


def test_older_servers_name_no_destination() -> None:
    (signature,) = server_signatures(['X-Matrix origin=a,key="ed25519:1",sig="s"'])
    assert signature.destination is None


def test_several_keys_sign_by_several_headers() -> None:
    headers = [f'X-Matrix origin=a,destination=b,key="ed25519:{n}",sig="s{n}"' for n in (1, 2)]
    assert [each.key_id for each in server_signatures(headers)] == ["ed25519:1", "ed25519:2"]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["Bearer token"],
        ["X-Matrix"],
        ["X-Matrix "],
        ['X-Matrix origin=a,key="ed25519:1"'],
        ['X-Matrix origin=a,key="ed25519:1,sig="s"'],
        ['X-Matrix origin="a,key=k,sig=s'],
        ["X-Matrix origin=a b,key=k,sig=s"],
        ["X-Matrix origin=a,origin=b,key=k,sig=s"],
        ["X-Matrix origin=a,destination=b c,key=k,sig=s"],
        ["X-Matrix origin=a,key=k,sig=s", "X-Matrix origin=b,key=k,sig=s"],
        ["X-Matrix origin=a,destination=x,key=k,sig=s", "X-Matrix origin=a,destination=y,key=k,sig=s"],
    ],
)
def test_anything_else_is_unauthorized(headers: list[str]) -> None:
    with pytest.raises(Unauthorized):
        server_signatures(headers)


@pytest.mark.parametrize(
    "header",
    [
        'X-Matrix origin="a/../b",key=k,sig=s',
        'X-Matrix origin="a:http",key=k,sig=s',
        'X-Matrix origin=a,destination="b:http",key=k,sig=s',
    ],
)
def test_what_is_no_server_name_is_an_invalid_parameter(header: str) -> None:
    with pytest.raises(InvalidParam):
        server_signatures([header])


@given(st.text(max_size=80))
def test_no_header_breaks_the_parser(text: str) -> None:
    try:
        server_signatures(["X-Matrix " + text])
    except (Unauthorized, InvalidParam):
        pass


@given(
    st.text(
        st.characters(codec="ascii", exclude_characters='"\\', exclude_categories=["Cc"]),
        min_size=1,
        max_size=30,
    )
)
def test_quoted_values_come_back_whole(signature: str) -> None:
    (parsed,) = server_signatures([f'X-Matrix origin=a,key="k",sig="{signature}"'])
    assert parsed.signature == signature


@pytest.mark.parametrize("header", ["Bearer token", "bearer token", "BEARER  token "])
def test_the_bearer_token_is_read(header: str) -> None:
    assert bearer_token([header]) == "token"


@pytest.mark.parametrize("header", ["", "token", "Bearer", "Bearer ", "Basic dXNlcg=="])
def test_other_schemes_are_no_token(header: str) -> None:
    with pytest.raises(MissingToken):
        bearer_token([header])


def test_no_token_is_missing() -> None:
    with pytest.raises(MissingToken):
        bearer_token([])


def test_a_token_in_the_query_counts_where_the_caller_passes_it() -> None:
    assert bearer_token([], ["token"]) == "token"
    assert bearer_token(["Bearer token"], ["token"]) == "token"


def test_two_different_tokens_are_refused() -> None:
    with pytest.raises(UnknownToken):
        bearer_token(["Bearer one"], ["two"])
