"""Who makes a client's request."""

from dataclasses import dataclass

from homeserver.protocol.identifiers import DeviceID, UserID


@dataclass(frozen=True, slots=True)
class Requester:
    """The authenticated user of a request, and by what they were authenticated.

    `device_id` is None for an application service that names no device and for tokens without one;
    `token_id` is the row of the access token, None for an application service's own token;
    `appservice_id` names the application service that acts as the user;
    users who are `is_suspended` may read, leave and log out, but not write, join, invite or change their profile.
    """

    user_id: UserID
    device_id: DeviceID | None
    token_id: int | None
    is_guest: bool = False
    is_admin: bool = False
    appservice_id: str | None = None
    is_suspended: bool = False
