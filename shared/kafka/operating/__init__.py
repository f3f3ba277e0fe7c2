"""What operators and commands ask of Kafka: publish, tail, topics, lag, dead letters, the past.

Outside any function's consumer group; the runtime does without it.
"""
