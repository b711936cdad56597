"""What can go wrong in Matrix: one class a kind of error, each with its `errcode`.

These are what our code raises. Which HTTP status a kind is answered with is known to
`homeserver/http/errors.py` alone.

https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
"""

from typing import ClassVar


class MatrixError(Exception):
    """The base of all kinds. `message` is for people, `extra` are further fields of the error's
    JSON body.
    """

    errcode: ClassVar[str] = "M_UNKNOWN"
    default_message: ClassVar[str] = "Unknown error"

    def __init_subclass__(cls, *, errcode: str = "", says: str = "") -> None:
        super().__init_subclass__()
        cls.errcode = errcode or cls.errcode
        cls.default_message = says or cls.default_message

    def __init__(self, message: str = "", **extra: object) -> None:
        self.message = message or self.default_message
        self.extra: dict[str, object] = extra
        super().__init__(self.message)

    def body(self) -> dict[str, object]:
        """The JSON body of the error."""
        return {"errcode": self.errcode, "error": self.message, **self.extra}


class Unknown(MatrixError):
    """An error that has no code of its own."""


class BadGateway(MatrixError, says="A remote server could not be reached or answered nonsense"):
    """A remote server failed, so we cannot do what depends on it."""


class RefusedElsewhere(MatrixError, says="Another server refused the request"):
    """Another server took what a client wished for a mistake; its error code is passed on."""

    def __init__(self, message: str = "", *, errcode: str) -> None:
        super().__init__(message)
        self._errcode = errcode

    def body(self) -> dict[str, object]:
        """With the other server's error code."""
        return {**super().body(), "errcode": self._errcode}


# --- The request itself ---------------------------------------------------------------------------


class BadJson(MatrixError, errcode="M_BAD_JSON", says="The JSON is malformed"):
    """JSON of the wrong shape."""


class InvalidEvent(BadJson, says="Not a valid event"):
    """Not an event of its room version: it does not exist for us."""


class ControlledByServer(BadJson, says="Only the server sets this"):
    """Data that a client may read and not set."""


class NotJson(MatrixError, errcode="M_NOT_JSON", says="Content not JSON"):
    """Not JSON at all."""


class InvalidParam(MatrixError, errcode="M_INVALID_PARAM", says="A parameter is invalid"):
    """A parameter has the wrong value."""


class MissingParam(MatrixError, errcode="M_MISSING_PARAM", says="A required parameter is missing"):
    """A required parameter is not there."""


class TooLarge(MatrixError, errcode="M_TOO_LARGE", says="Too large"):
    """The request or the entity in it is too large."""


class EventTooLarge(TooLarge, says="The event is too large"):
    """An event over the size limits of https://spec.matrix.org/v1.19/client-server-api/#size-limits."""


class Unrecognized(MatrixError, errcode="M_UNRECOGNIZED", says="Unrecognized request"):
    """There is no such endpoint."""


class UnrecognizedMethod(Unrecognized, says="Method not allowed"):
    """There is such an endpoint, with another method."""


class NotFound(MatrixError, errcode="M_NOT_FOUND", says="Not found"):
    """No resource was found."""


class AlreadyExists(Unknown, says="Already exists"):
    """What was to be made is there already, and the error has no code of its own."""


class Finalised(Unknown, says="The delayed event was sent or cancelled already"):
    """What is asked for contradicts how a delayed event ended (MSC4140)."""


class UnknownPos(MatrixError, errcode="M_UNKNOWN_POS", says="Unknown position"):
    """A sliding sync position that we do not know (any more): the client starts anew (MSC4186)."""


class LimitExceeded(MatrixError, errcode="M_LIMIT_EXCEEDED", says="Too many requests"):
    """Too many requests; try again after `retry_after_ms` milliseconds."""

    def __init__(self, message: str = "", *, retry_after_ms: int, **extra: object) -> None:
        super().__init__(message, retry_after_ms=retry_after_ms, **extra)
        self.retry_after_ms = retry_after_ms


class UserLimitExceeded(
    MatrixError, errcode="M_USER_LIMIT_EXCEEDED", says="You have reached a limit of your account"
):
    """A limit set on the user's account."""


class ResourceLimitExceeded(
    MatrixError, errcode="M_RESOURCE_LIMIT_EXCEEDED", says="This server has reached a limit"
):
    """A limit set on this server."""


# --- Who asks, and what they may do ---------------------------------------------------------------


class MissingToken(MatrixError, errcode="M_MISSING_TOKEN", says="Missing access token"):
    """No access token."""


class UnknownToken(MatrixError, errcode="M_UNKNOWN_TOKEN", says="Unrecognised access token"):
    """The access token is not recognised. With `soft_logout` the client may refresh or log in again
    as the same device.
    """

    def __init__(self, message: str = "", *, soft_logout: bool = False, **extra: object) -> None:
        super().__init__(message, soft_logout=soft_logout, **extra)
        self.soft_logout = soft_logout


class UnknownDevice(MatrixError, errcode="M_UNKNOWN_DEVICE", says="Unknown device"):
    """An application service named a device that its user does not have."""


class Forbidden(MatrixError, errcode="M_FORBIDDEN", says="Forbidden"):
    """Not allowed."""


class Unauthorized(MatrixError, errcode="M_UNAUTHORIZED", says="Unauthorized"):
    """The request was not correctly authorised; usually a failed login or a bad request signature."""


class InvalidSignature(MatrixError, errcode="M_INVALID_SIGNATURE", says="Invalid signature"):
    """A signature is missing or wrong."""


class InteractiveAuthRequired(
    MatrixError, errcode="M_FORBIDDEN", says="User-interactive authentication required"
):
    """More stages of user-interactive authentication are needed; `body` is the whole answer.

    https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api
    """

    def __init__(self, answer: dict[str, object], message: str = "") -> None:
        super().__init__(message)
        self.answer = answer

    def body(self) -> dict[str, object]:
        """The state of the session, and no `errcode` unless a stage failed."""
        return self.answer


class GuestAccessForbidden(MatrixError, errcode="M_GUEST_ACCESS_FORBIDDEN", says="Guest access not allowed"):
    """The room or the endpoint does not permit guests."""


class UserDeactivated(MatrixError, errcode="M_USER_DEACTIVATED", says="This account has been deactivated"):
    """The account has been deactivated."""


class UserLocked(MatrixError, errcode="M_USER_LOCKED", says="This account is locked"):
    """The account is locked. Clients keep their data: it is a soft logout."""

    def __init__(self, message: str = "", **extra: object) -> None:
        super().__init__(message, soft_logout=True, **extra)


class UserSuspended(MatrixError, errcode="M_USER_SUSPENDED", says="This account is suspended"):
    """The account is suspended and may only do a few things."""


class ServerNotTrusted(MatrixError, errcode="M_SERVER_NOT_TRUSTED", says="Server not trusted"):
    """The request named a server that we do not trust, such as an identity server."""


class ConsentNotGiven(
    MatrixError, errcode="M_CONSENT_NOT_GIVEN", says="You must accept the terms of this server"
):
    """The user must agree to the terms of this server first."""


# --- Accounts -------------------------------------------------------------------------------------


class UserInUse(MatrixError, errcode="M_USER_IN_USE", says="User ID already taken"):
    """The user ID is taken."""


class InvalidUsername(MatrixError, errcode="M_INVALID_USERNAME", says="Invalid user name"):
    """Not a user name that can be registered."""


class Exclusive(MatrixError, errcode="M_EXCLUSIVE", says="Reserved by an application service"):
    """The resource is in the exclusive namespace of an application service, or not in that of the
    one asking.
    """


class WeakPassword(MatrixError, errcode="M_WEAK_PASSWORD", says="The password is too weak"):
    """The password does not meet the policy of this server."""


class AppserviceLoginUnsupported(
    MatrixError, errcode="M_APPSERVICE_LOGIN_UNSUPPORTED", says="Log in by another flow"
):
    """An application service asked for a login that this server does not offer it."""


class CaptchaNeeded(MatrixError, errcode="M_CAPTCHA_NEEDED", says="Captcha required"):
    """A captcha is required."""


class CaptchaInvalid(MatrixError, errcode="M_CAPTCHA_INVALID", says="Captcha failed"):
    """The captcha did not match."""


class ThreepidInUse(MatrixError, errcode="M_THREEPID_IN_USE", says="Already in use"):
    """The third-party identifier belongs to somebody else."""


class ThreepidNotFound(MatrixError, errcode="M_THREEPID_NOT_FOUND", says="Not known to this server"):
    """No account has the third-party identifier."""


class ThreepidAuthFailed(MatrixError, errcode="M_THREEPID_AUTH_FAILED", says="Could not be verified"):
    """The third-party identifier could not be verified."""


class ThreepidDenied(MatrixError, errcode="M_THREEPID_DENIED", says="Not permitted by this server"):
    """This server does not permit the third-party identifier."""


class ThreepidMediumNotSupported(
    MatrixError, errcode="M_THREEPID_MEDIUM_NOT_SUPPORTED", says="This kind of identifier is not supported"
):
    """This server does not support that kind of third-party identifier."""


class KeyTooLarge(MatrixError, errcode="M_KEY_TOO_LARGE", says="The name of the field is too long"):
    """The name of a profile field is too long."""


class ProfileTooLarge(MatrixError, errcode="M_PROFILE_TOO_LARGE", says="The profile is too large"):
    """The profile would be too large."""


class WrongRoomKeysVersion(
    MatrixError, errcode="M_WRONG_ROOM_KEYS_VERSION", says="Wrong version of the backup"
):
    """Not the current version of the key backup; `current_version` is."""

    def __init__(self, message: str = "", *, current_version: str) -> None:
        super().__init__(message, current_version=current_version)


# --- Rooms ----------------------------------------------------------------------------------------


class RoomInUse(MatrixError, errcode="M_ROOM_IN_USE", says="Room alias already taken"):
    """The room alias is taken."""


class InvalidRoomState(MatrixError, errcode="M_INVALID_ROOM_STATE", says="Invalid initial state"):
    """The state a room should be created with is invalid."""


class BadState(MatrixError, errcode="M_BAD_STATE", says="The state does not permit this"):
    """The state of the room, or of the user in it, does not permit the change."""


class BadAlias(MatrixError, errcode="M_BAD_ALIAS", says="The alias does not point to this room"):
    """An alias in `m.room.canonical_alias` does not point to the room."""


class UnsupportedRoomVersion(
    MatrixError, errcode="M_UNSUPPORTED_ROOM_VERSION", says="Unsupported room version"
):
    """A room version that this server does not know."""


class IncompatibleRoomVersion(
    MatrixError,
    errcode="M_INCOMPATIBLE_ROOM_VERSION",
    says="Your homeserver does not support the version of this room",
):
    """The asking server does not support the version of the room, which is `room_version`."""

    def __init__(self, message: str = "", *, room_version: str) -> None:
        super().__init__(message, room_version=room_version)
        self.room_version = room_version


class UnableToAuthoriseJoin(
    MatrixError, errcode="M_UNABLE_TO_AUTHORISE_JOIN", says="Unable to check the conditions of the join rule"
):
    """We cannot tell whether the user satisfies the restricted join rule; another server may."""


class UnableToGrantJoin(
    MatrixError, errcode="M_UNABLE_TO_GRANT_JOIN", says="No user of this server can let you in"
):
    """The user satisfies the restricted join rule, but none of our users may invite them; another
    server's may.
    """


class InviteBlocked(MatrixError, errcode="M_INVITE_BLOCKED", says="The user does not accept this invite"):
    """The invited user does not take invites of this sender."""


class CannotLeaveServerNoticeRoom(
    MatrixError, errcode="M_CANNOT_LEAVE_SERVER_NOTICE_ROOM", says="You cannot leave this room"
):
    """The room of the server's notices cannot be left."""


class DuplicateAnnotation(
    MatrixError, errcode="M_DUPLICATE_ANNOTATION", says="You have already sent this reaction"
):
    """The user has already reacted so."""


# --- Media and application services ---------------------------------------------------------------


class NotYetUploaded(MatrixError, errcode="M_NOT_YET_UPLOADED", says="Media has not been uploaded yet"):
    """The media has an ID and no content yet."""


class CannotOverwriteMedia(
    MatrixError, errcode="M_CANNOT_OVERWRITE_MEDIA", says="Media ID already has content"
):
    """The media ID has content already."""


class ElsewhereTooLarge(TooLarge, says="Another server's content is too large"):
    """Content of another server that is larger than this one passes on."""


class NoThumbnail(Unknown, says="Cannot generate thumbnails for the requested content"):
    """The content is no picture, or a broken one."""


class UrlNotSet(MatrixError, errcode="M_URL_NOT_SET", says="The application service has no URL"):
    """The application service has no URL to ping."""


class BadStatus(MatrixError, errcode="M_BAD_STATUS", says="The application service answered with an error"):
    """The application service answered a ping with a wrong status, given with its body."""

    def __init__(self, message: str = "", *, status: int, body: str) -> None:
        super().__init__(message, status=status, body=body)


class ConnectionFailed(
    MatrixError, errcode="M_CONNECTION_FAILED", says="The application service could not be reached"
):
    """The application service could not be reached."""


class ConnectionTimeout(
    MatrixError, errcode="M_CONNECTION_TIMEOUT", says="The application service did not answer in time"
):
    """The application service did not answer in time."""
