"""Why no answer came over HTTP, in words: urllib3's own text holds its objects and says the same thing twice."""

import socket
import ssl

import urllib3


def why_silent(error: BaseException) -> str:
    """E.g. "connection refused", "timed out", "certificate verify failed: self-signed certificate"."""
    for cause in _causes(error):
        match cause:
            case urllib3.exceptions.NameResolutionError() | socket.gaierror():
                return "its host name is not known here"
            case urllib3.exceptions.NewConnectionError():
                # urllib3 counts it among its timeouts; its cause says what it is.
                continue
            case urllib3.exceptions.TimeoutError() | TimeoutError():
                return "timed out"
            case urllib3.exceptions.IncompleteRead():
                return "the answer broke off"
            case ssl.SSLCertVerificationError():
                return f"certificate verify failed: {cause.verify_message}"
            case ssl.SSLError():
                return (cause.reason or "TLS failed").lower().replace("_", " ")
            case OSError() if cause.strerror:
                return cause.strerror[0].lower() + cause.strerror[1:]
            case ConnectionError():
                return "it closed the connection without an answer"
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what led to it, which urllib3 hands on as a cause, or as an argument."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one not in found:
            found.append(one)
            waiting += [more for more in (*one.args, one.__cause__) if isinstance(more, BaseException)]
    return found
