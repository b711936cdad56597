"""What a page says of itself in JSON-LD, in the words of https://schema.org/; pure."""

import json
from collections.abc import Iterator
from typing import Any, Final

MAX_TEXT: Final = 128 * 1024
"""Characters of all such data of a page that are looked at."""
_MOST_THINGS: Final = 50
_PAGES: Final = frozenset(
    [
        *("article", "newsarticle", "blogposting", "report", "techarticle", "scholarlyarticle", "webpage"),
        *(
            "product",
            "recipe",
            "videoobject",
            "audioobject",
            "imageobject",
            "event",
            "book",
            "movie",
            "course",
        ),
        *(
            "profilepage",
            "discussionforumposting",
            "howto",
            "softwareapplication",
            "podcastepisode",
            "tvepisode",
        ),
    ]
)


def told_in(text: str) -> dict[str, str]:
    """Properties, as Open Graph calls them, of the page or of what it shows."""
    try:
        data: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    things = [each for each in _things(data) if _types(each) & _PAGES]
    thing = next((each for each in things if "webpage" not in _types(each)), things[0] if things else {})
    found = {
        "og:title": _text(thing.get("headline")) or _text(thing.get("name")),
        "og:description": _text(thing.get("description")),
        "og:image": _address(thing.get("image")) or _address(thing.get("thumbnailUrl")),
        "og:site_name": _name(thing.get("publisher")) or _name(thing.get("isPartOf")),
        "og:article:author": _name(thing.get("author")),
        "og:article:published_time": _text(thing.get("datePublished")),
    }
    return {name: value for name, value in found.items() if value}


def _things(data: Any) -> Iterator[dict[str, Any]]:
    """The things that are described, at the top, in a list or in a graph."""
    for each in (data if isinstance(data, list) else [data])[:_MOST_THINGS]:
        if isinstance(each, dict):
            yield each
            graph = each.get("@graph")
            if isinstance(graph, list):
                yield from (one for one in graph[:_MOST_THINGS] if isinstance(one, dict))


def _types(thing: dict[str, Any]) -> set[str]:
    stated = thing.get("@type")
    names = stated if isinstance(stated, list) else [stated]
    return {each.rpartition("/")[2].lower() for each in names if isinstance(each, str)}


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _text(value: Any) -> str:
    value = _first(value)
    return value if isinstance(value, str) else ""


def _address(value: Any) -> str:
    value = _first(value)
    return _text(value.get("url") or value.get("contentUrl")) if isinstance(value, dict) else _text(value)


def _name(value: Any) -> str:
    value = _first(value)
    return _text(value.get("name")) if isinstance(value, dict) else _text(value)
