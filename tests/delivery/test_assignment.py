"""Partitions are shared out evenly per topic, stay where they are if they may, and never have two owners."""

from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from shared.kafka.runtime.assignment import assign_evenly
from shared.kafka.runtime.membership import names

TOPICS = ("live", "live.retry", "bulk", "bulk.retry")


def everything(partitions: int) -> dict[str, set[int]]:
    return {topic: set(range(partitions)) for topic in TOPICS}


def settled(
    partitions: int, members: list[str], claims: dict[str, set[TopicPartition]]
) -> dict[str, set[TopicPartition]]:
    """Rounds until nothing moves; each round takes away before it gives."""
    subscriptions = dict.fromkeys(members, TOPICS)
    for _ in range(3):
        assigned = assign_evenly(everything(partitions), subscriptions, claims)
        owners = [partition for found in assigned.values() for partition in found]
        assert len(owners) == len(set(owners)), "two owners in one round"
        for member, found in assigned.items():
            for other, claimed in claims.items():
                assert other == member or not found & claimed, "given away before its owner let go"
        if assigned == claims:
            return assigned
        claims = assigned
    raise AssertionError("it never settles")


@given(
    st.integers(1, 12),
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True),
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True),
)
def test_members_come_and_go_and_every_topic_stays_even(partitions: int, before: list[str], after: list[str]) -> None:
    claims = settled(partitions, before, {member: set() for member in before})
    kept = {member: claims.get(member, set()) for member in after}
    now = settled(partitions, after, kept)
    for topic in TOPICS:
        shares = [sum(partition.topic == topic for partition in found) for found in now.values()]
        assert sum(shares) == partitions
        assert max(shares) - min(shares) <= 1
    for number in range(partitions):
        owners = {member for member, found in now.items() for partition in found if partition.partition == number}
        assert len(owners) == 1


@given(st.integers(1, 12), st.integers(1, 8))
def test_nothing_moves_without_need(partitions: int, count: int) -> None:
    members = [f"m{number}" for number in range(count)]
    claims = settled(partitions, members, {member: set() for member in members})
    assert assign_evenly(everything(partitions), dict.fromkeys(members, TOPICS), claims) == claims


def test_a_second_claim_to_a_partition_gives_it_to_nobody() -> None:
    contested = TopicPartition("live", 0)
    assigned = assign_evenly({"live": {0}}, {"a": ["live"], "b": ["live"]}, {"a": {contested}, "b": {contested}})
    assert assigned == {"a": set(), "b": set()}


def test_a_topic_goes_only_to_members_that_read_it() -> None:
    assigned = assign_evenly(
        {"live": {0, 1}, "new": {0, 1}}, {"a": ["live"], "b": ["live", "new"]}, {"a": set(), "b": set()}
    )
    assert {partition.topic for partition in assigned["a"]} == {"live"}
    assert {TopicPartition("new", 0), TopicPartition("new", 1)} <= assigned["b"]


def test_many_partitions_are_few_words() -> None:
    partitions = {TopicPartition(topic, number) for topic in ("a", "b") for number in (0, 1, 2, 10, 4)}
    assert names(partitions) == "a[0-2,4,10], b[0-2,4,10]"
    assert names([TopicPartition("a", 7)]) == "a[7]"
    assert names([]) == "nothing"
