"""What is counted of a reader. No label takes a value from an event or an answer."""

from prometheus_client import Counter, Histogram

from shared.metrics import FUNCTIONS, JOB_BUCKETS_SECONDS

ASKED = Counter(
    "skureel_reader_questions",
    "Products given to the reader, by what came of it (answered, kept: by an earlier answer, unusable, away).",
    ("outcome",),
    registry=FUNCTIONS,
)
REFUSED = Counter(
    "skureel_reader_refused_slots",
    "Entries of answers that the product's own text does not support, by slot.",
    ("slot",),
    registry=FUNCTIONS,
)
SECONDS = Histogram(
    "skureel_reader_seconds",
    "Time that the reader took for one product.",
    buckets=JOB_BUCKETS_SECONDS,
    registry=FUNCTIONS,
)
