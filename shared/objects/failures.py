"""Every way the MinIO client and urllib3 fail, as one of our errors. Nothing above shared.objects sees theirs.

Three questions decide. Does the store as such answer, as a store does? If not: Unavailable, whatever was asked for. Are
the credentials, the bucket or the clock wrong? ConfigurationError: no object will fare better. Else it is the one
object's own matter: TemporaryError or PermanentError. A denied object may be either of the last two, so whoever asks
for one object decides (`is_denied`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from shared.errors import ConfigurationError, PermanentError, SkureelError, TemporaryError, Unavailable
from shared.objects.answers import UnbelievableAnswer
from shared.objects.mends import status_of
from shared.objects.silence import why_silent

REFUSED_REASON = "object-store-refused"
DENIED_REASON = "object-denied"
"""One object may not be read; the bucket is open otherwise."""

_NOT_ALLOWED = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AllAccessDisabled",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidTokenId",
        "NotSignedUp",
        "PermanentRedirect",
        "Redirect",
        "SignatureDoesNotMatch",
    }
)
_NO_ANSWER_CODES = frozenset(
    {
        "InternalError",
        "QuotaExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "TooManyRequests",
        "XMinioAdminBucketQuotaExceeded",
        "XMinioServerNotInitialized",
        "XMinioStorageFull",
    }
)
"""Down, too busy or full: the next object would be answered the same."""
_NO_ANSWER_STATUSES = frozenset({408, 425, 429})
_TEMPORARY_CODES = frozenset({"ConditionalRequestConflict", "OperationAborted"})
"""Another write of the same object was under way."""
_LOOK_AT_IT = "look at the store, which takes nothing for now"


@contextmanager
def translated(subject: str, bucket: str) -> Iterator[None]:
    """Run the block; what the client raises leaves it as one of our errors.

    `subject` begins the message, e.g. "object store 10.0.0.5:9000, reading videos/1f/record.json".
    """
    try:
        yield
    except (
        MinioException,
        urllib3.exceptions.HTTPError,
        UnbelievableAnswer,
        ElementTree.ParseError,
        UnicodeDecodeError,
    ) as error:
        raise _translation(subject, bucket, error) from error


def is_denied(error: S3Error) -> bool:
    """Whether a request for one object was refused for who asks. Answers to HEAD do not say why.

    Signatures count: the key may have been changed on its way, and then no other object is concerned.
    """
    return error.response.status in (401, 403) and error.code != "RequestTimeTooSkewed"


def denied(subject: str) -> PermanentError:
    """The error for an object that may not be read where the bucket is open otherwise."""
    return PermanentError(
        f"{subject}: access denied to this object alone; look at the bucket's policy, or at who owns the object",
        reason=DENIED_REASON,
    )


def _translation(subject: str, bucket: str, error: Exception) -> SkureelError:
    match error:
        case S3Error():
            return _from_code(subject, bucket, error.code or "", error.message or "", error.response.status)
        case ServerError():
            return _from_status(subject, error.status_code)
        case InvalidResponseError():
            return _from_status(subject, status_of(error))
        case urllib3.exceptions.SSLError():
            return Unavailable(
                f"{subject}: no TLS connection: {why_silent(error)}; check SKUREEL_OBJECTS__SECURE, and that the "
                "store's certificate is of today and its authority trusted here (SSL_CERT_FILE)"
            )
        case urllib3.exceptions.LocationValueError():
            return ConfigurationError(f"{subject}: {error}; give SKUREEL_OBJECTS__ENDPOINT host:port without http://")
        case UnbelievableAnswer() | ElementTree.ParseError():
            return Unavailable(
                f"{subject}: this is not the store's answer: {error}; look at what stands between, and at "
                "SKUREEL_OBJECTS__ENDPOINT"
            )
        case _:
            return Unavailable(
                f"{subject}: {why_silent(error)}; check that the store runs, and SKUREEL_OBJECTS__ENDPOINT"
            )


def _from_code(subject: str, bucket: str, code: str, message: str, status: int) -> SkureelError:
    if code == "NoSuchBucket":
        return ConfigurationError(
            f"{subject}: bucket {bucket} does not exist; create it, name another in SKUREEL_OBJECTS__BUCKET, "
            "or set SKUREEL_OBJECTS__CREATE_BUCKET=true"
        )
    if code == "RequestTimeTooSkewed":
        return ConfigurationError(f"{subject}: {message}; set this machine's clock")
    if code in _NOT_ALLOWED or status in (401, 403):
        return ConfigurationError(
            f"{subject}: access refused ({code}: {message}); check SKUREEL_OBJECTS__ACCESS_KEY, __SECRET_KEY and "
            f"__REGION, and that their policy allows s3:ListBucket, s3:GetObject, "
            f"s3:PutObject and s3:AbortMultipartUpload on {bucket}"
        )
    if status == 501:
        return ConfigurationError(
            f"{subject}: {code}: {message}; skureel needs a store that knows conditional writes (If-None-Match)"
        )
    if code in _NO_ANSWER_CODES or status >= 500 or status in _NO_ANSWER_STATUSES:
        return Unavailable(f"{subject}: {code}: {message}; {_LOOK_AT_IT}")
    if code in _TEMPORARY_CODES:
        return TemporaryError(f"{subject}: {code}: {message}; another write was under way, try again")
    return PermanentError(
        f"{subject}: refused with {code}: {message}; the same request fails again", reason=REFUSED_REASON
    )


def _from_status(subject: str, status: int) -> SkureelError:
    if status >= 500 or status in _NO_ANSWER_STATUSES:
        return Unavailable(f"{subject}: HTTP status {status}; {_LOOK_AT_IT}")
    return Unavailable(
        f"{subject}: HTTP status {status} and no S3 answer, but a proxy's or another server's; "
        "SKUREEL_OBJECTS__ENDPOINT must name the S3 port, and SKUREEL_OBJECTS__SECURE say whether it speaks TLS"
    )
