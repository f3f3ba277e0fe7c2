"""Who gets which partitions: the same partition number of all topics together, evenly, and moved in two steps.

kafka-python's own sticky assignor balances the number of partitions over all topics. One worker may then get those that
are idle and another all the work, and a product that was created at one is updated at the other, who does not know what
was answered (`derive_prompt.answered`). Its members also claim what they owned before the group forgot them, so that
after a long freeze one partition has two owners for a moment.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any

from kafka import TopicPartition
from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor, RebalanceProtocol
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

_VERSION = 1  # of the subscription: the first that carries what a member owns (KIP-429)


class EvenAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # kafka-python is untyped
    """Cooperative (KIP-429): a partition that moves is given to nobody until its owner has let go of it."""

    name = "skureel-even"
    version = _VERSION

    def __init__(self, owned: Callable[[], Collection[TopicPartition]]) -> None:
        """`owned` tells what this member owns now, which is nothing after it was expelled."""
        self._owned = owned

    def supported_protocols(self) -> list[RebalanceProtocol]:
        return [RebalanceProtocol.COOPERATIVE]

    def metadata(self, topics: Collection[str]) -> Any:
        """What this member says when it joins."""
        by_topic = defaultdict(list)
        for partition in self._owned():
            by_topic[partition.topic].append(partition.partition)
        owned = [
            ConsumerProtocolSubscription.TopicPartition(topic=topic, partitions=sorted(numbers))
            for topic, numbers in sorted(by_topic.items())
        ]
        return ConsumerProtocolSubscription(
            version=self.version, topics=sorted(topics), user_data=b"", owned_partitions=owned
        )

    def assign(self, cluster: Any, members: Collection[Any]) -> dict[str, Any]:
        """What each member gets; called at the group's leader."""
        subscriptions = {member.member_id: frozenset(member.metadata.topics) for member in members}
        claims = {
            member.member_id: {
                TopicPartition(owned.topic, number)
                for owned in member.metadata.owned_partitions or ()
                for number in owned.partitions
            }
            for member in members
        }
        topics = sorted(set().union(*subscriptions.values()))
        numbers = {topic: cluster.partitions_for_topic(topic) or set() for topic in topics}
        assignments = {}
        for member, partitions in assign_evenly(numbers, subscriptions, claims).items():
            by_topic = defaultdict(list)
            for partition in partitions:
                by_topic[partition.topic].append(partition.partition)
            wire = [(topic, sorted(found)) for topic, found in sorted(by_topic.items())]
            assignments[member] = ConsumerProtocolAssignment(self.version, wire, b"")
        return assignments

    def on_assignment(self, assignment: Any, generation: int) -> None:
        """Nothing is remembered here: the worker's books are the memory."""


def assign_evenly(
    numbers: Mapping[str, Collection[int]],
    subscriptions: Mapping[str, Collection[str]],
    claims: Mapping[str, Collection[TopicPartition]],
) -> dict[str, set[TopicPartition]]:
    """This round's partitions of each member.

    `numbers` are the partition numbers of each topic, `subscriptions` each member's topics, `claims` what each owns.
    Partition n of every topic goes to one member; members get equally many n, give or take one, and keep theirs where
    that allows. A partition claimed by another member is left out until the next round.
    """
    members = sorted(subscriptions)
    shards = sorted({number for found in numbers.values() for number in found})
    owner_of = _owners(shards, members, claims)
    claimants: dict[TopicPartition, set[str]] = defaultdict(set)
    for member, claimed in claims.items():
        for partition in claimed:
            claimants[partition].add(member)
    assigned: dict[str, set[TopicPartition]] = {member: set() for member in members}
    for topic, found in numbers.items():
        subscribed = [member for member in members if topic in subscriptions[member]]
        for number in found:
            owner = owner_of[number]
            if owner not in subscribed:
                # During a roll-out older members do not know a new topic.
                if not subscribed:
                    continue
                owner = subscribed[number % len(subscribed)]
            partition = TopicPartition(topic, number)
            if claimants[partition] <= {owner}:
                assigned[owner].add(partition)
    return assigned


def _owners(shards: list[int], members: list[str], claims: Mapping[str, Collection[TopicPartition]]) -> dict[int, str]:
    """The member of each partition number: its present one if that has not too many, else one that has too few."""
    claimed: dict[int, Counter[str]] = defaultdict(Counter)
    for member, partitions in claims.items():
        for partition in partitions:
            claimed[partition.partition][member] += 1
    held: dict[str, list[int]] = {member: [] for member in members}
    free = []
    for shard in shards:
        if claimed[shard]:
            most = max(claimed[shard].values())
            held[min(member for member, count in claimed[shard].items() if count == most)].append(shard)
        else:
            free.append(shard)
    least, extra = divmod(len(shards), len(members))
    # Who holds most keeps the odd ones, so that fewest move.
    for member in sorted(members, key=lambda member: (-len(held[member]), member)):
        quota = least
        if extra and len(held[member]) > least:
            quota, extra = least + 1, extra - 1
        free += held[member][quota:]
        held[member] = held[member][:quota]
    for shard in sorted(free):
        held[min(members, key=lambda member: (len(held[member]), member))].append(shard)
    return {shard: member for member, shards_held in held.items() for shard in shards_held}
