"""How the directory shows rooms, to clients and to other servers alike.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3publicrooms
"""

from typing import Any

from homeserver.services.rooms.directory import DirectoryPage
from storage.tables.directory import PublicRoomRow


def directory_answer(page: DirectoryPage) -> dict[str, Any]:
    """A page of the directory as JSON."""
    answer: dict[str, Any] = {
        "chunk": [public_room(row) for row in page.rooms],
        "total_room_count_estimate": page.total,
    }
    if page.next_batch is not None:
        answer["next_batch"] = page.next_batch
    if page.prev_batch is not None:
        answer["prev_batch"] = page.prev_batch
    return answer


def public_room(row: PublicRoomRow) -> dict[str, Any]:
    """One room."""
    shown: dict[str, Any] = {
        "room_id": row.room_id,
        "num_joined_members": row.joined_members,
        "world_readable": row.history_visibility == "world_readable",
        "guest_can_join": row.guest_access == "can_join",
        "join_rule": row.join_rule or "invite",
        "name": row.name,
        "topic": row.topic,
        "avatar_url": row.avatar_url,
        "canonical_alias": row.canonical_alias,
        "room_type": row.room_type,
    }
    return {key: value for key, value in shown.items() if value is not None}
