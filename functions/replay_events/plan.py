"""What a replay will do and what it will cost, before it does anything. No I/O but the lookups and the notebook it is
handed."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

from functions.replay_events.notebook import Cause, Mark, Notebook, Step
from functions.replay_events.pace import Rate
from functions.replay_events.selection import LatestEvents, Selection
from shared.clips import ClipRecord
from shared.errors import PermanentError, PhotoNotYet, TemporaryError
from shared.events import Event, Product, RenderSpec, VideoReady, VideoRejected, VideoRequested
from shared.kafka import Past
from shared.plural import counted

Derive = Callable[[Event[Product]], VideoRequested | VideoRejected]
"""A product's request, whether its clip is there or not, or its rejection."""

Find = Callable[[str], ClipRecord | None]
"""The record of a video id, or None."""

GPU_STAGES = ("denoise", "decode")


Kind = tuple[object, ...]
"""What decides how long drawing takes: weights, size, length, steps, and whether guidance draws everything twice."""

TOLD_FAILURES = 3
"""Of so many products whose request could not be derived it is said why; a million would say the same."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What is to be drawn. `seconds` is for the videos that recent ones of their kind tell something about."""

    videos: int
    seconds: float
    unknown: int
    samples: int


@dataclass(slots=True)
class Plan:
    """What a replay will send, and what it leaves out and why. What it says of each product is in the notebook."""

    notebook: Notebook = field(repr=False)
    requests: int = 0
    answers: int = 0
    """Products whose clip is there."""
    to_draw: Counter[Kind] = field(default_factory=Counter)
    """Videos to be drawn, by kind, each once, however many products share it."""
    done_before: int = 0
    out_of_date: int = 0
    rejected: int = 0
    in_review: int = 0
    other_template: int = 0
    without_photo: int = 0
    """Products that name a photo which is not there, or not given: their merchants' matter."""
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    """A sentence for each of the first products whose request could not be derived."""

    @property
    def to_send(self) -> int:
        """How many products are to be answered."""
        return self.requests + self.answers

    @property
    def products(self) -> int:
        """How many products there are, whatever becomes of them. Those of other categories are not among them."""
        left_out = (
            self.out_of_date + self.rejected + self.in_review + self.other_template + self.without_photo + self.failed
        )
        return self.to_send + self.done_before + left_out

    def steps(self) -> Iterator[Step]:
        """What is to be answered, in the log's order of each partition."""
        return self.notebook.steps()


def make_plan(
    latest: LatestEvents,
    selection: Selection,
    derive: Derive,
    find: Find,
    notebook: Notebook,
    *,
    generation: int,
    is_done: Callable[[Mark], bool],
) -> Plan:
    """Decide for each product. A failed lookup is raised: without the store there is nothing to decide by."""
    plan = Plan(notebook)
    for past in latest:
        request = _request(plan, past, selection, derive)
        if request is None:
            continue
        if is_done(Mark.of(past)):
            plan.done_before += 1
        elif latest.is_out_of_date(request.product_id, Mark.of(past)):
            plan.out_of_date += 1
        else:
            _take(plan, past, _of_generation(request, generation), find)
    return plan


def _request(plan: Plan, past: Past, selection: Selection, derive: Derive) -> VideoRequested | None:
    """What a product asks for, if it is one that is wanted and can be filmed."""
    product: Product = past.event.data
    try:
        answer = derive(past.event)
    except (TemporaryError, PermanentError) as error:
        if selection.wants_category(product, None):
            if isinstance(error, PhotoNotYet):
                plan.without_photo += 1
            else:
                plan.failed += 1
            if len(plan.failures) < TOLD_FAILURES:
                plan.failures.append(f"{product.product_id}: {error}")
        return None
    request = answer if isinstance(answer, VideoRequested) else None
    if not selection.wants_category(product, request.spec.template.id if request else None):
        return None
    if request is None:
        plan.rejected += 1
    elif selection.template_version not in (None, request.spec.template.version):
        plan.other_template += 1
        return None
    return request


def _take(plan: Plan, past: Past, request: VideoRequested, find: Find) -> None:
    """Note what becomes of a request: its clip is there, waits for a person, or is to be drawn."""
    known = plan.notebook.outcome_of(request.video_id)
    if known is None:
        record = find(request.video_id)
        known = (record.outcome if record else None,)
        plan.notebook.keep_outcome(request.video_id, *known)
        if record is None:
            plan.to_draw[_kind(request.spec)] += 1
    (outcome,) = known
    if outcome == "review" or (outcome == "ready" and request.review):
        plan.in_review += 1
        return
    event = past.event
    cause = Cause(event.source, event.id, event.subject, event.extensions.get("traceparent"))
    plan.notebook.keep_step(Step(Mark.of(past), cause, request, is_there=outcome == "ready"))
    if outcome == "ready":
        plan.answers += 1
    else:
        plan.requests += 1


def _kind(spec: RenderSpec) -> Kind:
    return (spec.model, spec.width, spec.height, spec.frames, spec.steps, spec.guidance > 1)


def cost_of(to_draw: Mapping[Kind, int], recent: Iterable[VideoReady]) -> Cost:
    """What drawing these takes one device, by the median of recent clips of the same weights, size and steps."""
    measured: dict[Kind, list[float]] = {}
    for ready in recent:
        seconds = [ready.timings_seconds[stage] for stage in GPU_STAGES if stage in ready.timings_seconds]
        if seconds:
            clip = ready.master
            kind = (ready.model, clip.width, clip.height, clip.frames, ready.steps, ready.guidance > 1)
            measured.setdefault(kind, []).append(sum(seconds))
    known = to_draw.keys() & measured.keys()
    return Cost(
        videos=sum(to_draw.values()),
        seconds=sum(to_draw[kind] * median(measured[kind]) for kind in known),
        unknown=sum(number for kind, number in to_draw.items() if kind not in known),
        samples=sum(len(measured[kind]) for kind in known),
    )


def describe(plan: Plan, cost: Cost, rate: Rate, *, unreadable: int = 0) -> Iterator[str]:
    """The plan in a few lines for people."""
    if unreadable:
        yield f"unread    {unreadable}: records of whatever product that are no events"
    yield f"products  {plan.products}"
    if plan.done_before:
        yield f"done      {plan.done_before}: answered before this replay was interrupted"
    left_out = {
        "a newer event is left to answer them": plan.out_of_date,
        "rejected by the screening of today": plan.rejected,
        "their clip waits for a person's decision": plan.in_review,
        "their template has another version": plan.other_template,
        "their photo cannot be had": plan.without_photo,
        "could not be derived": plan.failed,
    }
    for reason, number in left_out.items():
        if number:
            yield f"left out  {number}: {reason}"
    for sentence in plan.failures:
        yield f"          {sentence}"
    requests, answers = counted(plan.requests, "request"), counted(plan.answers, "answer")
    yield f"to send   {requests} into the bulk lane, {answers} for which there is a clip"
    yield f"to draw   {counted(cost.videos, 'video')}"
    yield f"drawing   {_drawing_time(cost)}"
    yield f"sending   takes {_duration(plan.to_send / rate.per_second)} at {rate}"


def _of_generation(request: VideoRequested, generation: int) -> VideoRequested:
    if not generation:
        return request
    spec = request.spec.model_copy(update={"generation": generation})
    # Not copied from the old spec: its id may be remembered there.
    spec = RenderSpec.model_validate(spec.model_dump())
    return request.model_copy(update={"spec": spec, "video_id": spec.video_id})


def _drawing_time(cost: Cost) -> str:
    known = cost.videos - cost.unknown
    if not cost.videos:
        return "takes no time"
    if not known:
        return "takes an unknown time: no recent video.ready tells it of this model, this size and these steps"
    told = (
        f"takes about {_duration(cost.seconds)} by the median of {counted(cost.samples, 'recent clip')} of their kind"
    )
    return told if not cost.unknown else f"{told} for {known} of them, unknown for {cost.unknown}"


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
