"""Whatever stands in a log: records are read, and what cannot be read is passed over with its place and its reason."""

import struct
import sys
import time
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kafka.batches import EndUnknown, Fetched, Limits, UnreadableBatch
from shared.kafka.codecs import CodecMissing
from shared.kafka.log_format import GarbledName
from tests.reading.made import (
    AT,
    CODECS,
    HEADER_BYTES,
    LIMITS,
    batch,
    fetched,
    flipped,
    marker,
    message,
    read,
    sealed,
    set_field,
)

TEN = [b"value %d of ten values that repeat themselves" % number for number in range(10)]


def values(given_: list[Any]) -> list[bytes]:
    return [record.value for record in given_ if not isinstance(record, UnreadableBatch)]


def ranges(given_: list[Any]) -> list[tuple[int, int]]:
    return [(record.offset, record.last_offset) for record in given_ if isinstance(record, UnreadableBatch)]


def only_unreadable(given_: list[Any]) -> UnreadableBatch:
    [found] = [record for record in given_ if isinstance(record, UnreadableBatch)]
    return found


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
def test_every_codec_is_read_with_all_that_a_record_has(codec: int) -> None:
    [first, *_, last] = read(batch(5, [None, *TEN], codec, headers=[("a", b"1"), ("ä", None)]), position=5)
    assert (first.offset, first.timestamp, first.key, first.value) == (5, 1_000, b"key", None)
    assert first.headers == [("a", b"1"), ("ä", None)]
    assert (last.offset, last.timestamp, last.value) == (15, 1_010, TEN[9])


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
def test_a_flipped_bit_anywhere_in_the_records_costs_its_batch_alone(codec: int) -> None:
    good, bad, behind = batch(0, TEN, codec), batch(10, TEN, codec), batch(20, TEN, codec)
    for place in range(HEADER_BYTES, len(bad), 3):
        found = fetched(good + flipped(bad, place, place % 8) + behind)
        given_ = list(found)
        assert values(given_) == TEN
        assert ranges(given_) == [(10, 19)]
        assert only_unreadable(given_).value == flipped(bad, place, place % 8)
        # What lies behind is fetched anew: an unreadable batch may have been a marker.
        assert found.position == 20


def test_a_flipped_bit_in_the_header_costs_its_batch_alone() -> None:
    good, bad, behind = batch(0, TEN), batch(10, TEN), batch(20, TEN)
    for place in range(HEADER_BYTES):
        for bit in range(8):
            found = fetched(good + flipped(bad, place, bit) + behind)
            given_ = list(found)
            assert values(given_)[:10] == TEN
            if ranges(given_):
                assert ranges(given_) == [(10, 19)]
                assert found.position == 20
            elif AT["epoch"] <= place < AT["magic"]:
                assert values(given_) == TEN * 3, "the epoch is no part of the records"
            else:
                assert found.position == 10, f"byte {place}, bit {bit}: it is left to the next fetch"
                with pytest.raises(EndUnknown):
                    read(flipped(bad, place, bit)[: len(bad)], position=10)


def test_a_last_offset_that_lies_moves_nobody_to_where_the_log_has_not_come() -> None:
    bad = flipped(batch(10, TEN), AT["last"], 6)
    assert ranges(read(bad + batch(20, TEN), position=10, high_watermark=30)) == [(10, 19)]
    with pytest.raises(EndUnknown, match="checksum, and where it ends is not known"):
        read(bad, position=10, high_watermark=20)


def test_an_unreadable_batch_is_read_on_from_where_reading_stood() -> None:
    assert ranges(read(flipped(batch(10, TEN), 80), position=14)) == [(14, 19)]


def test_whoever_stops_at_an_unreadable_batch_goes_on_behind_it() -> None:
    """A poll may end with it. And the epoch of a batch before it is none to ask behind it in: the broker would take the
    place for one that the log never had, and have it read again."""
    sound = set_field(batch(0, [b"a", b"b"]), AT["epoch"], ">i", 3, checked=False)
    found = fetched(sound + flipped(batch(2, [b"c"]), HEADER_BYTES))
    records = iter(found)
    assert [next(records).offset, next(records).offset] == [0, 1]
    assert (found.position, found.leader_epoch) == (2, 3)
    assert isinstance(next(records), UnreadableBatch)
    assert (found.position, found.leader_epoch) == (3, -1)


def test_a_fetch_that_is_cut_off_is_read_as_far_as_it_goes() -> None:
    two = batch(0, TEN) + batch(10, TEN)
    for cut in range(len(two) // 2, len(two)):
        assert values(read(two[:cut])) == TEN
    with pytest.raises(EndUnknown, match="a length that it does not have"):
        read(two[: len(two) // 2 - 1])
    assert read(b"") == []


@pytest.mark.parametrize("length", [-(2**31), -12, -1, 0, 13, 2**31 - 1])
def test_a_length_that_cannot_be_stops_at_its_batch(length: int) -> None:
    bad = set_field(batch(10, TEN), AT["length"], ">i", length, checked=False)
    found = fetched(batch(0, TEN) + bad)
    assert values(list(found)) == TEN
    assert found.position == 10
    with pytest.raises(EndUnknown):
        read(bad, position=10)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_a_codec_that_kafka_does_not_have_is_named(codec: int) -> None:
    given_ = read(set_field(batch(0, TEN), AT["attributes"], ">h", codec) + batch(10, TEN))
    assert only_unreadable(given_).why == f"is packed with codec {codec}, which Kafka does not have"
    assert ranges(given_) == [(0, 9)]
    assert values(given_) == TEN


@pytest.mark.parametrize("codec", CODECS.values(), ids=list(CODECS))
@pytest.mark.parametrize(
    ("count", "why"), [(11, "within the 11th"), (9, "holds more"), (2**31 - 1, "1000000 are counted")]
)
def test_a_wrong_count_makes_its_batch_unreadable_as_a_whole(codec: int, count: int, why: str) -> None:
    given_ = read(set_field(batch(0, TEN, codec), AT["count"], ">i", count) + batch(10, TEN))
    assert ranges(given_) == [(0, 9)]
    assert why in only_unreadable(given_).why
    assert values(given_) == TEN


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_packed_records_that_are_cut_off_or_garbled_are_unreadable_as_a_whole(codec: str) -> None:
    whole = batch(0, TEN * 50, CODECS[codec])
    for cut in (1, 9, 40):
        assert ranges(read(sealed(whole[:-cut]))) == [(0, 499)]
    for place in range(HEADER_BYTES, len(whole), 7):
        found = read(sealed(flipped(whole, place, 5)))
        assert [*values(found), *ranges(found)], "it is read or passed over, never neither"


def one_record(raw: bytes, count: int = 1) -> bytes:
    """A batch of one record, given as its bytes behind its length."""
    assert len(raw) < 64
    return sealed(set_field(batch(0, [b"v"])[:HEADER_BYTES] + bytes([len(raw) * 2]) + raw, AT["count"], ">i", count))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x00\x00" + b"\x7f" + b"key",  # a key longer than the record
        b"\x00\x00\x00\x01\xfe\xff\xff\xff\x0f" + b"v",  # a value of two gigabytes
        b"\x00\x00\x00\x01\x01\xfe\xff\xff\xff\x0f",  # as many headers
        b"\x00\x00\x00\x01\x01\x01",  # fewer than none
        b"\x00\x00\x00\x01\x01\x02\x01\x01",  # a header without a name
        b"\x00\x00\x00\x01\x01\x00surplus",
        b"\x00\x00\x02\x01\x01\x00",  # an offset behind its batch's last
        b"\x00\x00\x01\x01\x01\x00",  # and one before its first
        b"\x00" + b"\xff" * 12,  # a number that does not end
        b"\x00",
    ],
)
def test_a_record_whose_parts_lie_is_unreadable(raw: bytes) -> None:
    given_ = read(one_record(raw) + batch(1, TEN))
    assert ranges(given_) == [(0, 0)]
    assert values(given_) == TEN


def test_what_comes_before_a_record_that_lies_is_kept() -> None:
    raw = batch(0, TEN)
    place = raw.index(TEN[7]) - 1
    lying = sealed(raw[:place] + bytes([2 * 63]) + raw[place + 1 :])
    given_ = read(lying + batch(10, TEN))
    assert values(given_) == TEN[:7] + TEN
    assert ranges(given_) == [(7, 9)]


def test_a_header_name_that_is_not_utf8_is_kept_as_it_is() -> None:
    made = batch(0, [b"v"], headers=[("abcd", b"1")]).replace(b"abcd", b"a\xff\xfed")
    [record] = read(sealed(made))
    [(name, _)] = record.headers
    assert isinstance(name, GarbledName)
    assert name.encode() == b"a\xff\xfed"


# Transactions and compaction.


class Aborted(NamedTuple):
    producer_id: int
    first_offset: int


def test_aborted_transactions_and_markers_are_left_out_and_their_offsets_passed() -> None:
    log = (
        batch(0, TEN, producer=7)
        + batch(10, [b"else"], producer=8)
        + marker(11, 7, abort=True)
        + batch(12, [b"then"], producer=7)
        + marker(13, 7, abort=False)
        + marker(14, 8, abort=False)
    )
    found = fetched(log, aborted=[Aborted(7, 0)])
    assert [(record.offset, record.value) for record in found] == [(10, b"else"), (12, b"then")]
    assert found.position == 15
    assert len(read(log, aborted=None)) == 12


def test_behind_a_damaged_marker_nothing_is_taken_for_aborted() -> None:
    start, end = batch(0, TEN, producer=7), marker(10, 7, abort=True)
    rest = batch(11, [b"then"], producer=7) + marker(12, 7, abort=False)
    found = fetched(start + flipped(end, len(end) - 3) + rest, aborted=[Aborted(7, 0)])
    assert ranges(list(found)) == [(10, 10)]
    assert found.position == 11
    # The broker, asked again from there, names no aborted transaction any more.
    assert values(read(rest, position=11, aborted=[])) == [b"then"]


def test_a_marker_that_says_nothing_is_passed_over() -> None:
    end = set_field(one_record(b"\x00\x00\x00\x01\x01\x00"), AT["attributes"], ">h", 0x30)
    end = set_field(set_field(end, AT["producer"], ">q", 7), 0, ">q", 10, checked=False)
    found = fetched(batch(0, TEN, producer=7) + end + batch(11, TEN, producer=7), aborted=[])
    assert ranges(list(found)) == [(10, 10)]


def test_an_aborted_batch_that_cannot_be_unpacked_is_nobodys_concern() -> None:
    bad = set_field(batch(0, TEN, producer=7), AT["attributes"], ">h", 0x15)
    assert read(bad, aborted=[Aborted(7, 0)]) == []


def test_gaps_of_compaction_are_stepped_over() -> None:
    shorter = set_field(batch(20, TEN), AT["last"], ">i", 15)
    empty = sealed(set_field(batch(50, [b"v"])[:HEADER_BYTES], AT["count"], ">i", 0))
    found = fetched(shorter + empty + batch(60, TEN), position=3)
    assert [record.offset for record in found] == [*range(20, 30), *range(60, 70)]
    assert found.position == 70
    found = fetched(shorter)
    assert len(list(found)) == 10
    assert found.position == 36


def test_an_offset_far_from_its_place_is_damage() -> None:
    """The checksum leaves it out: a batch taken at its word would skip what lies between, or come twice."""
    astray = set_field(batch(10, TEN), 0, ">q", 14, checked=False)
    given_ = read(astray + batch(20, TEN), position=10)
    assert ranges(given_) == [(10, 19)]
    back = set_field(batch(10, TEN), 0, ">q", 4, checked=False)
    assert ranges(read(batch(0, TEN) + back + batch(20, TEN))) == [(10, 19)]


@pytest.mark.parametrize("offset", [84, 1 << 40])
def test_a_batch_that_gives_itself_out_for_a_later_one_hides_none_behind_it(offset: int) -> None:
    """A broker that looks for what follows it comes upon it again and again."""
    ahead = set_field(batch(10, TEN), 0, ">q", offset, checked=False)
    found = fetched(ahead + batch(20, TEN) + batch(30, TEN), position=10, high_watermark=200)
    assert ranges(list(found)) == [(10, 19)]
    assert found.position == 20
    found = fetched(ahead + batch(20, TEN) + batch(30, TEN), position=23, high_watermark=200)
    assert [record.offset for record in found] == list(range(23, 40))
    with pytest.raises(EndUnknown):
        read(ahead, position=10, high_watermark=20)


# The formats before batches.


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy"])
def test_messages_of_old_brokers_are_read(magic: int, codec: str) -> None:
    log = message(0, TEN, magic, CODECS[codec]) + message(10, TEN, magic, CODECS[codec])
    if magic == 0 and codec != "none":
        return  # there each message has its own offset, which the writer leaves to the broker
    start = 3 if codec != "none" else 0
    found = fetched(log, position=start)
    assert [(record.offset, record.value) for record in found] == list(enumerate(TEN + TEN))[start:]
    assert found.position == 20


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("codec", ["none", "gzip", "snappy"])
def test_a_damaged_message_of_an_old_broker_costs_itself_alone(magic: int, codec: str) -> None:
    one = message(0, [b"one" * 30], magic, CODECS[codec])
    for place in range(12, len(one)):
        found = fetched(flipped(one, place, place % 8) + message(1, [b"two"], magic), high_watermark=2)
        if place == 16 or one[16] != flipped(one, place, place % 8)[16]:
            continue  # another format, by which it is read
        assert ranges(list(found)) == [(0, 0)]
        assert found.position == 1


# Anything at all.


@given(
    data=st.data(),
    codec=st.sampled_from(list(CODECS.values())),
    legacy=st.sampled_from([None, 0, 1]),
    seal=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_any_change_of_a_log_yields_records_or_passes_on_or_holds(
    data: st.DataObject, codec: int, legacy: int | None, seal: bool
) -> None:
    parts = [batch(0, TEN, codec), batch(10, [b"x" * 3_000], codec, producer=3), marker(11, 3, abort=False)]
    if legacy is not None:
        parts = [message(0, TEN, legacy, min(codec, 2)), message(10, [b"y" * 3_000], legacy), message(11, TEN, legacy)]
    changed = bytearray(parts[data.draw(st.integers(0, 2))])
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(changed) - 1))
        kind = data.draw(st.sampled_from(["byte", "cut", "insert", "number"]))
        if kind == "byte":
            changed[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del changed[place : place + data.draw(st.integers(1, 40))]
        elif kind == "insert":
            changed[place:place] = data.draw(st.binary(min_size=1, max_size=40))
        elif place + 4 <= len(changed):
            struct.pack_into(">i", changed, place, data.draw(st.sampled_from([-1, 0, 1, 2**31 - 1, -(2**31)])))
        if not changed:
            break
    raw = sealed(bytes(changed)) if seal and len(changed) > HEADER_BYTES else bytes(changed)
    found = fetched(raw + batch(12, TEN), high_watermark=22)
    before = found.position
    try:
        for record in found:
            assert before <= record.offset < 22
            last = record.last_offset if isinstance(record, UnreadableBatch) else record.offset
            assert record.offset <= last < 22
            before = last + 1
            assert found.position == before or isinstance(record, UnreadableBatch)
    except EndUnknown:
        assert found.position == 0
    assert 0 <= found.position <= 22


def test_a_codec_that_is_not_installed_holds_and_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    with pytest.raises(CodecMissing, match="packed with lz4; install lz4"):
        read(batch(0, TEN, CODECS["lz4"]))
    found = fetched(batch(0, TEN) + batch(10, TEN, CODECS["lz4"]))
    assert values(list(found)) == TEN
    assert found.position == 10


def test_a_fetch_of_a_hundred_thousand_bad_lengths_is_read_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(EndUnknown):
        read(struct.pack(">qi", 0, -12) * 100_000)
    assert time.monotonic() - began < 5


def test_limits_are_said_where_they_are_met() -> None:
    small = Limits(unpacked_bytes=1_000, raw_bytes=10)
    given_ = list(Fetched(batch(0, [b"v" * 2_000]), "t", 0, position=0, limits=small))
    assert only_unreadable(given_).why == "unpacks to more than 1000 bytes"
    assert len(only_unreadable(given_).value or b"") == 10
    assert LIMITS.unpacked_bytes > 1_000
