"""What becomes of rooms."""

from dataclasses import dataclass

from config.fields import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomsConfig:
    """What becomes of rooms that users leave."""

    forget_on_leave: bool = setting(
        "Forget a room for a user who leaves it, is removed from it or banned, or rejects an invite to it, as if they "
        "had asked for that too: then nobody reads the history of rooms that they have left. Clients are told so "
        "(`m.forget_forced_upon_leave`). Rooms left before it is switched on are not forgotten.",
        default=False,
    )
