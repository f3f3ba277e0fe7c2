"""Headers tell the story of a record's failures once, however many hops it makes."""

from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PermanentError, TemporaryError
from shared.kafka import story as stories
from shared.kafka.story import Story

OWN = [("ce_id", b"1"), ("ce_id", b"2"), ("x", b"\xff\x00"), ("traceparent", b"old"), ("traceparent", b"new")]


def hop(headers: list[tuple[str, bytes]], number: int) -> list[tuple[str, bytes]]:
    told = stories.read(headers)
    told = stories.failed(
        told,
        TemporaryError("later " * 1000),
        reason="temporary",
        stage="handle",
        attempts=3,
        now=1_800_000_000.0 + number,
        defect=True,
    )
    return stories.written(headers, told, group="g", client_id="c")


def test_headers_do_not_grow_over_hops() -> None:
    first = hop(OWN, 0)
    headers = first
    for number in range(1, 30):
        headers = hop(headers, number)
    assert [name for name, _ in headers] == [name for name, _ in first]
    assert sum(len(raw) for _, raw in headers) <= sum(len(raw) for _, raw in first) + 2
    assert dict(headers)["skureel.attempts"] == b"90"


def test_the_first_failure_is_remembered_and_the_last_error_told() -> None:
    headers = hop(hop(OWN, 0), 500)
    assert stories.read(headers).first_failed_at == "2027-01-15T08:00:00.000Z"
    assert stories.read(headers).message.startswith("later later")
    assert len(stories.read(headers).message) == 2_000


def test_trace_context_is_kept_once_and_it_is_the_last() -> None:
    headers = hop(OWN, 0)
    assert [raw for name, raw in headers if name == "traceparent"] == [b"new"]


def test_own_headers_stay_as_they_are_duplicates_and_bytes_included() -> None:
    assert stories.original(hop(OWN, 0))[:3] == OWN[:3]


def test_a_null_header_value_becomes_an_empty_one() -> None:
    assert stories.original([("x", None)]) == [("x", b"")]


def test_a_replay_counts_and_tells_where_the_record_first_was_alone() -> None:
    place = [("__connect.errors.topic", b"t"), ("__connect.errors.partition", b"3"), ("__connect.errors.offset", b"7")]
    dead = hop([*OWN, *place], 0)
    headers = stories.replayed(dead, stories.read(dead))
    again = stories.read(headers)
    assert again == Story(topic="t", partition=3, offset=7, replays=1, first_failed_at="2027-01-15T08:00:00.000Z")
    assert stories.read(stories.replayed(headers, again)).replays == 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [stories.ATTEMPTS, stories.WRITTEN_AT, stories.ROUNDS, stories.REPLAYS, "__connect.errors.offset"]
            ),
            st.none() | st.binary() | st.integers().map(lambda number: str(number).encode()),
        )
    )
)
def test_a_forged_story_never_makes_poison(headers: list[tuple[str, bytes | None]]) -> None:
    told = stories.read(headers)
    assert told.attempts >= 0
    assert told.written_at_ms >= 0
    failure = PermanentError("no", reason="r")
    told = stories.failed(told, failure, reason="r", stage="decode", attempts=0, now=0.0, defect=False)
    stories.written(headers, told, group="g", client_id="c")
