"""The one place that knows which HTTP status each kind of error is answered with."""

from collections.abc import Mapping
from typing import Final

from homeserver.http.encoding import Response, encode_json
from homeserver.protocol import errors
from homeserver.protocol.errors import LimitExceeded, MatrixError
from homeserver.protocol.partial_state import NotYetWhole, UnableDueToPartialState

STATUS: Final[Mapping[type[MatrixError], int]] = {
    errors.MatrixError: 400,
    errors.Unknown: 400,
    errors.AlreadyExists: 409,
    errors.Finalised: 409,
    errors.BadGateway: 502,
    errors.RefusedElsewhere: 400,
    errors.BadJson: 400,
    errors.InvalidEvent: 400,
    errors.ControlledByServer: 405,
    errors.NotJson: 400,
    errors.InvalidParam: 400,
    errors.MissingParam: 400,
    errors.TooLarge: 413,
    errors.EventTooLarge: 413,
    errors.Unrecognized: 404,
    errors.UnrecognizedMethod: 405,
    errors.NotFound: 404,
    errors.UnknownPos: 400,
    errors.LimitExceeded: 429,
    errors.UserLimitExceeded: 403,
    errors.ResourceLimitExceeded: 403,
    errors.MissingToken: 401,
    errors.UnknownToken: 401,
    errors.UnknownDevice: 400,
    errors.Forbidden: 403,
    errors.Unauthorized: 401,
    errors.InvalidSignature: 400,
    errors.InteractiveAuthRequired: 401,
    errors.GuestAccessForbidden: 403,
    errors.UserDeactivated: 403,
    errors.UserLocked: 401,
    errors.UserSuspended: 403,
    errors.ServerNotTrusted: 400,
    errors.ConsentNotGiven: 403,
    errors.UserInUse: 400,
    errors.InvalidUsername: 400,
    errors.Exclusive: 400,
    errors.WeakPassword: 400,
    errors.AppserviceLoginUnsupported: 400,
    errors.CaptchaNeeded: 400,
    errors.CaptchaInvalid: 400,
    errors.ThreepidInUse: 400,
    errors.ThreepidNotFound: 400,
    errors.ThreepidAuthFailed: 403,
    errors.ThreepidDenied: 403,
    errors.ThreepidMediumNotSupported: 400,
    errors.KeyTooLarge: 400,
    errors.ProfileTooLarge: 400,
    errors.WrongRoomKeysVersion: 403,
    errors.RoomInUse: 400,
    errors.InvalidRoomState: 400,
    errors.BadState: 403,
    errors.BadAlias: 400,
    errors.UnsupportedRoomVersion: 400,
    errors.IncompatibleRoomVersion: 400,
    errors.UnableToAuthoriseJoin: 400,
    errors.UnableToGrantJoin: 400,
    errors.InviteBlocked: 403,
    errors.CannotLeaveServerNoticeRoom: 403,
    errors.DuplicateAnnotation: 400,
    UnableDueToPartialState: 404,
    NotYetWhole: 504,
    errors.NotYetUploaded: 504,
    errors.CannotOverwriteMedia: 409,
    errors.ElsewhereTooLarge: 502,
    errors.NoThumbnail: 400,
    errors.UrlNotSet: 400,
    errors.BadStatus: 502,
    errors.ConnectionFailed: 502,
    errors.ConnectionTimeout: 504,
}

_DATABASE_PAUSE: Final = 5  # seconds


def status_of(kind: type[MatrixError]) -> int:
    """Return the status of a kind; one declared elsewhere has the status of the kind it refines."""
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def error_response(error: MatrixError) -> Response:
    """Return the answer to a request that failed.

    https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
    """
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, LimitExceeded):
        headers = (("Retry-After", str(-(-error.retry_after_ms // 1000))),)
    return Response(status_of(type(error)), headers, encode_json(error.body()))


def unavailable_response() -> Response:
    """Return the answer to a request that the database did not let us serve: the same request may do later."""
    body = {"errcode": "M_UNKNOWN", "error": "The server cannot reach its database; try again"}
    return Response(503, (("Retry-After", str(_DATABASE_PAUSE)),), encode_json(body))


def incident_response(incident: str) -> Response:
    """Return the answer to a request that hit a bug: it names the incident, whose details are in the log alone."""
    body = {"errcode": "M_UNKNOWN", "error": f"Internal server error; the log has it as incident {incident}"}
    return Response(500, (), encode_json(body))
