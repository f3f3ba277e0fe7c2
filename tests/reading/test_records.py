"""What the books, the bounds and the handlers ask of what a poll gives."""

import pytest
from kafka.consumer.fetcher import ConsumerRecord

from shared.errors import ConfigurationError, PermanentError
from shared.kafka.mends import check_release
from shared.kafka.reading import UnreadableBatch, event_of, next_offset, size_of

BATCH = UnreadableBatch("product.created", 2, 100, 149, "does not have its own checksum", b"raw")


def record(**fields: object) -> ConsumerRecord:
    return ConsumerRecord(**{**dict.fromkeys(ConsumerRecord._fields), "headers": [], "offset": 7, **fields})


def test_a_record_counts_with_its_headers() -> None:
    assert size_of(record()) == 0
    assert size_of(record(key=b"four", value=b"12345", headers=[("ab", b"123"), ("ä", None)])) == 4 + 5 + 5 + 1
    assert size_of(BATCH) == 3


def test_what_follows_an_unreadable_batch_is_behind_its_last_offset() -> None:
    assert next_offset(record()) == 8
    assert next_offset(BATCH) == 150


def test_an_unreadable_batch_is_no_event_and_says_where_it_lay_and_why() -> None:
    with pytest.raises(PermanentError) as refused:
        event_of(BATCH)
    assert refused.value.reason == "unreadable-batch"
    assert str(refused.value).startswith(
        "product.created[2] cannot be read at the offsets 100 to 149, which are 50 records at most: the batch there "
        "does not have its own checksum; have "
    )


def test_another_release_of_the_client_is_refused_by_name() -> None:
    check_release("3.0.12")
    with pytest.raises(ConfigurationError, match=r"kafka-python 3\.0\.13 is installed.*proved with 3\.0\.12.*install"):
        check_release("3.0.13")
