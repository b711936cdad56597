"""What a page says of itself: Open Graph (https://ogp.me/), or what can be told without it. Only `media_worker` imports
this, in a process of its own.
"""

import codecs
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

from homeserver.gateways.linked_data import MAX_TEXT as MAX_DATA
from homeserver.gateways.linked_data import told_in

MAX_VALUE: Final = 1000
"""Characters of one value."""
MAX_VALUES: Final = 200
MAX_TEXT: Final = 500
"""Characters of the text that stands in for a description."""
SNIFFED: Final = 2048
SKIPPED: Final = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "nav",
        "header",
        "footer",
        "aside",
        "iframe",
        "button",
        "form",
        "select",
    ]
)
BLOCKS: Final = frozenset(
    ["p", "div", "br", "li", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article", "td", "blockquote"]
)
FALLBACKS: Final = {
    "og:title": ("twitter:title", "dc.title"),
    "og:description": ("twitter:description", "description", "dc.description"),
    "og:image": ("twitter:image", "twitter:image:src"),
    "og:site_name": ("application-name",),
}
_HEADER_CHARSET: Final = re.compile(r"charset[ \t]*=[ \t]*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_PAGE_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,200}?charset[ \t]*=[ \t]*[\"']?([\w.:-]{1,40})", re.IGNORECASE
)
_XML_CHARSET: Final = re.compile(rb"^[ \t\r\n]*<\?xml[^>]{0,100}?encoding=[\"']([\w.:-]{1,40})")
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def page_read(request: dict[str, Any]) -> dict[str, Any]:
    """Read the page in the file `source`, of type `content_type`."""
    content = Path(request["source"]).read_bytes()
    page = _Page()
    try:
        page.read(_decoded(content, request["content_type"]))
    except _Enough:
        pass
    return {"properties": page.properties(), "oembed": page.oembed}


def _decoded(content: bytes, content_type: str) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, "replace")
    said = _HEADER_CHARSET.search(content_type)
    start = content[:SNIFFED]
    written = _PAGE_CHARSET.search(start) or _XML_CHARSET.search(start)
    names = [said[1]] if said else []
    names += [written[1].decode()] if written else []
    for name in (*names, "utf-8"):
        try:
            return _with(content, name)
        except (LookupError, ValueError):
            continue
    return content.decode("cp1252", "replace")


def _with(content: bytes, name: str) -> str:
    """Decode with a named encoding of text; a character that was cut at the very end is no reason to doubt it."""
    found = codecs.lookup("cp1252" if name.lower() in ("iso-8859-1", "latin1", "ascii", "us-ascii") else name)
    if not getattr(found, "_is_text_encoding", True):
        raise LookupError(name)
    try:
        return content.decode(found.name)
    except UnicodeDecodeError as error:
        if error.start < len(content) - 8 and found.name == "utf-8":
            raise
        return content.decode(found.name, "replace")


class _Enough(Exception):
    """Nothing more is needed of the page."""


class _Page:
    def __init__(self) -> None:
        self.oembed: str | None = None
        self._metas: dict[str, str] = {}
        self._title = ""
        self._in_title = False
        self._data: list[str] | None = None
        self._data_left = MAX_DATA
        self._told: dict[str, str] = {}
        self._skipping: list[str] = []
        self._text: list[str] = []
        self._length = 0
        self._image: str | None = None
        self._in_body = False

    def read(self, text: str) -> None:
        """Read the text of a page. Raises _Enough."""
        parser = HTMLParser(convert_charrefs=True)
        for name, function in {
            "handle_starttag": self._opened,
            "handle_startendtag": self._opened_and_closed,
            "handle_endtag": self._closed,
            "handle_data": self._said,
        }.items():
            setattr(parser, name, function)
        parser.feed(text)
        parser.close()

    def _opened(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of what a tag says."""
        values = {name: value or "" for name, value in attrs}
        if tag == "meta":
            self._note(values.get("property") or values.get("name") or values.get("itemprop") or "", values)
        elif tag == "link":
            self._link(values)
        elif tag == "title":
            self._in_title = not self._title
        elif tag == "body":
            self._in_body = True
        elif tag == "img" and self._image is None and values.get("src") and not self._skipping:
            self._image = values["src"]
        elif tag == "script" and values.get("type", "").strip().lower() == "application/ld+json":
            self._data = []
        if tag in SKIPPED:
            self._skipping.append(tag)
        elif tag in BLOCKS:
            self._text.append(" ")

    def _opened_and_closed(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """The same for one that holds nothing."""
        if tag not in SKIPPED:
            self._opened(tag, attrs)

    def _closed(self, tag: str) -> None:
        """Leave what is left out."""
        if tag == "script" and self._data is not None:
            for name, value in told_in("".join(self._data)).items():
                self._told.setdefault(name, _one_line(value)[:MAX_VALUE])
            self._data = None
        if tag == "title":
            self._in_title = False
        elif tag in self._skipping:
            del self._skipping[self._skipping.index(tag) :]

    def _said(self, data: str) -> None:
        """Take text, until there is enough of it."""
        if self._data is not None:
            self._data.append(data[: self._data_left])
            self._data_left = max(0, self._data_left - len(data))
        elif self._in_title:
            self._title = (self._title + data)[:MAX_VALUE]
        elif self._in_body and not self._skipping:
            self._text.append(data[:MAX_TEXT])
            self._length += len(data.strip())
            if self._length > 4 * MAX_TEXT:
                raise _Enough

    def properties(self) -> dict[str, str]:
        """The page's properties, with what stands in for those that it does not state."""
        found = {name: value for name, value in self._metas.items() if name.startswith("og:")}
        for name, others in FALLBACKS.items():
            value = found.get(name) or next((self._metas[one] for one in others if self._metas.get(one)), "")
            if value:
                found[name] = value
        for name, value in self._told.items():
            found.setdefault(name, value)
        found.setdefault("og:title", _one_line(self._title))
        found.setdefault("og:description", _one_line("".join(self._text))[:MAX_TEXT])
        if self._image is not None:
            found.setdefault("og:image", self._image[:MAX_VALUE])
        return {name: value for name, value in found.items() if value}

    def _note(self, name: str, values: dict[str, str]) -> None:
        name = name.strip().lower()[:100]
        value = _one_line(values.get("content", ""))[:MAX_VALUE]
        if name and value and len(self._metas) < MAX_VALUES:
            self._metas.setdefault(name, value)

    def _link(self, values: dict[str, str]) -> None:
        if "alternate" in values.get("rel", "").lower() and self.oembed is None:
            if values.get("type", "").lower() == "application/json+oembed" and values.get("href"):
                self.oembed = values["href"][:MAX_VALUE]


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", "").split())
