"""Whom the server deals with."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from config.federation import FederationConfig
from config.loading import parse


def federation(text: str) -> FederationConfig:
    return parse(f"server_name: a\nfederation: {text}", Path("/srv")).federation


@pytest.mark.parametrize(
    ("text", "server", "permitted"),
    [
        ("{}", "anyone.example:8448", True),
        ("{enabled: false}", "anyone.example", False),
        ("{deny_domains: [spam.example]}", "SPAM.example:8448", False),
        ("{deny_domains: [spam.example]}", "not-spam.example", True),
        ("{deny_domains: ['*.spam.example']}", "a.b.spam.example", False),
        ("{deny_domains: ['*.spam.example']}", "spam.example", True),
        ("{allow_domains: [ours.example]}", "theirs.example", False),
        ("{allow_domains: ['*.ours.example'], deny_domains: ['b?.ours.example']}", "a.ours.example", True),
        ("{allow_domains: ['*.ours.example'], deny_domains: ['b?.ours.example']}", "b1.ours.example", False),
        ("{allow_domains: ['[fd00::1]']}", "[fd00::1]:8448", True),
        ("{allow_domains: ['[fd00::1]']}", "f", False),
        ("{allow_domains: []}", "anyone.example", False),
    ],
)
def test_domains_are_permitted_by_pattern(text: str, server: str, permitted: bool) -> None:
    assert federation(text).permits(server) is permitted


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "::1", "fd00::1", "fe80::1"]
)
def test_private_addresses_are_denied_unless_somebody_says_otherwise(address: str) -> None:
    assert any(ip_address(address) in network for network in federation("{}").deny_networks)
