"""Numbers of things as people read them."""


def counted(number: int, thing: str) -> str:
    """ "1 event", "2 events"."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
