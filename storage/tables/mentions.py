"""Whom of our users events mention."""

from storage.query import bulk

MENTIONS = bulk(
    "mentions",
    ("user_id", "pos", "room_id", "event_nid"),
    "on conflict (user_id, pos) do nothing",
    refers=("pos",),
    key=("user_id", "pos"),
)
