"""Recognition: what words of a catalogue mean, and what a product is. Pure: no store, no Kafka, no model."""

from functions.derive_prompt.recognise.mentions import find_mentions


def read_vocabulary() -> None:
    """Read every table now, about a second's work, and not when the first product waits for it."""
    find_mentions("马克杯 mug")
