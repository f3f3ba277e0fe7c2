"""Every way the Kafka client fails, as one of our errors. Nothing above shared.kafka sees its errors."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from kafka.errors import (
    AuthorizationError,
    InvalidProducerEpochError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFencedError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)

from shared.errors import ConfigurationError, PermanentError, SkureelError, TemporaryError
from shared.settings import KafkaSettings

MAKE_TOPICS = "run `skureel topics create`, or check SKUREEL_KAFKA__TOPIC_PREFIX and ACLs"
"""What to do where topics are missing."""


@contextmanager
def translated(settings: KafkaSettings, subject: str, next_step: str = "try again") -> Iterator[None]:
    """Run the block; what the client raises leaves it as TemporaryError, PermanentError or ConfigurationError.

    `subject` begins the message, e.g. "lag of derive_prompt"; `next_step` ends that of a failure that may pass.
    """
    try:
        yield
    except KafkaError as error:
        raise translation(settings, subject, error, next_step) from error


def translation(
    settings: KafkaSettings, subject: str, error: BaseException, next_step: str = "try again"
) -> SkureelError:
    """The error of ours for one of the client's."""
    where = f"{subject}: Kafka at {settings.bootstrap_servers}"
    match error:
        case SaslAuthenticationFailedError() | UnsupportedSaslMechanismError():
            return ConfigurationError(
                f"{where} refuses the credentials ({_told(error)}); check SKUREEL_KAFKA__SASL_MECHANISM, "
                "__SASL_USERNAME and __SASL_PASSWORD"
            )
        case AuthorizationError():
            return ConfigurationError(f"{where} does not allow it ({_told(error)}); check credentials and ACLs")
        case UnknownTopicOrPartitionError() | InvalidTopicError():
            return ConfigurationError(f"{where} lacks a topic ({_told(error)}); {MAKE_TOPICS}")
        case ProducerFencedError() | InvalidProducerEpochError():
            return PermanentError(
                f"{subject}: the same was started elsewhere and goes on there; this one ends", reason="superseded"
            )
        case MessageSizeTooLargeError() | RecordListTooLargeError():
            return PermanentError(
                f"{subject}: {_told(error)}; send less, or raise max.message.bytes and "
                "SKUREEL_KAFKA__MAX_REQUEST_SIZE_BYTES",
                reason="too-large",
            )
        case _:
            return TemporaryError(f"{where} did not do it: {_told(error)}; {next_step}")


def missing_topics(settings: KafkaSettings, names: Iterable[str]) -> ConfigurationError:
    """The error for topics, by their full names, none of which is there."""
    return ConfigurationError(f"Kafka at {settings.bootstrap_servers} {lacks(names)}; {MAKE_TOPICS}")


def lacks(names: Iterable[str]) -> str:
    """What is said of a Kafka that has none of these topics."""
    first, *more = names
    if more:
        return f"has none of the topics {', '.join((first, *more))}, or does not let this user see them"
    return f"has no topic {first}, or does not let this user see it"


def _told(error: BaseException) -> str:
    """What the client says, with the error's name once."""
    text, name = str(error), type(error).__name__
    return text if text.startswith(name) else f"{name}: {text}" if text else name
