"""What can be searched."""

from dataclasses import dataclass

from config.fields import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """Searching messages, names and topics of rooms that are not encrypted."""

    enabled: bool = setting(
        "Keep an index of messages and let users search it. Without it searches are not offered; when it is "
        "switched on again, the index catches up.",
        default=True,
    )
    max_results: int = setting(
        "The most results on one page, whatever a client asks for.", default=100, minimum=1, maximum=500
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDirectoryConfig:
    """Finding users by their names."""

    enabled: bool = setting("Let users search for others.", default=True)
    search_all_users: bool = setting(
        "Let them find everybody that this server knows. Otherwise they find who shares a room with them, and who "
        "is in a room that anybody may join or read.",
        default=False,
    )
