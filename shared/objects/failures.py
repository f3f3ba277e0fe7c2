"""Every way the MinIO client and urllib3 fail, as one of our errors. Nothing above shared.objects sees theirs."""

from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from shared.errors import ConfigurationError, PermanentError, SkureelError, TemporaryError

REFUSED_REASON = "object-store-refused"

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
_TEMPORARY_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "TooManyRequests",
        "XMinioServerNotInitialized",
    }
)
_TEMPORARY_STATUSES = frozenset({408, 425, 429})


@contextmanager
def translated(subject: str, bucket: str) -> Iterator[None]:
    """Run the block; what the client raises leaves it as TemporaryError, PermanentError or ConfigurationError.

    `subject` begins the message, e.g. "object store 10.0.0.5:9000, reading videos/1f/record.json".
    """
    try:
        yield
    except (MinioException, urllib3.exceptions.HTTPError, ElementTree.ParseError, UnicodeDecodeError) as error:
        raise _translation(subject, bucket, error) from error


def _translation(subject: str, bucket: str, error: Exception) -> SkureelError:
    match error:
        case S3Error():
            return _from_code(subject, bucket, error.code or "", error.message or "", error.response.status)
        case ServerError():
            return _from_status(subject, error.status_code)
        case InvalidResponseError():
            return _from_status(subject, error._code)
        case urllib3.exceptions.SSLError():
            return ConfigurationError(
                f"{subject}: no TLS connection: {error}; check SKUREEL_OBJECTS__SECURE, and that the authority of the "
                "store's certificate is trusted here (SSL_CERT_FILE)"
            )
        case urllib3.exceptions.LocationValueError():
            return ConfigurationError(f"{subject}: {error}; SKUREEL_OBJECTS__ENDPOINT is host:port without scheme")
        case _:
            return TemporaryError(f"{subject}: {_first_line(error)}; to be tried again")


def _from_code(subject: str, bucket: str, code: str, message: str, status: int) -> SkureelError:
    if code == "NoSuchBucket":
        return missing_bucket(subject, bucket)
    if code in _NOT_ALLOWED:
        return ConfigurationError(
            f"{subject}: access refused ({code}: {message}); check SKUREEL_OBJECTS__ACCESS_KEY, __SECRET_KEY and "
            f"__REGION, and that their policy allows s3:ListBucket, s3:GetObject and s3:PutObject on {bucket}"
        )
    if code == "RequestTimeTooSkewed":
        return ConfigurationError(f"{subject}: {message}; set this machine's clock")
    if code in _TEMPORARY_CODES or status >= 500 or status in _TEMPORARY_STATUSES:
        return TemporaryError(f"{subject}: {code}: {message}; to be tried again")
    return PermanentError(
        f"{subject}: refused with {code}: {message}; the same request fails again", reason=REFUSED_REASON
    )


def _from_status(subject: str, status: int) -> SkureelError:
    if status >= 500 or status in _TEMPORARY_STATUSES:
        return TemporaryError(f"{subject}: HTTP status {status}; to be tried again")
    return ConfigurationError(
        f"{subject}: HTTP status {status} and no S3 answer; SKUREEL_OBJECTS__ENDPOINT must name the S3 port, "
        "and SKUREEL_OBJECTS__SECURE must say whether it speaks TLS"
    )


def missing_bucket(subject: str, bucket: str) -> ConfigurationError:
    """The error for a bucket that is not there."""
    return ConfigurationError(
        f"{subject}: bucket {bucket} does not exist; create it, name another in SKUREEL_OBJECTS__BUCKET, "
        "or set SKUREEL_OBJECTS__CREATE_BUCKET=true"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
