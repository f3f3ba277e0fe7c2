"""The delivery runtime: from a polled record to a committed offset. `worker` says how its parts stand together.

Here: membership, flow, the books of each partition, handling, releasing. Not here: what an operator asks Kafka for
(`operating`), and what any client needs (`shared.kafka`).
"""
