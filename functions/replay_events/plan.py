"""What a replay will do and what it will cost, before it does anything. No I/O but the lookups it is handed."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from functions.replay_events.pace import Rate
from functions.replay_events.selection import LatestEvents, Selection
from shared.clips import ClipRecord
from shared.errors import PermanentError, TemporaryError
from shared.events import Event, Product, RenderSpec, VideoReady, VideoRejected, VideoRequested
from shared.kafka import Past

Derive = Callable[[Event[Product]], Sequence[Event[VideoRequested] | Event[VideoRejected]]]
"""A product's request, as if its clip were not there, or its rejection."""

Find = Callable[[str], ClipRecord | None]
"""The record of a video id, or None."""

GPU_STAGES = ("denoise", "decode")


@dataclass(frozen=True, slots=True)
class Step:
    """One product to be answered: with the clip that is there, or by asking for one."""

    past: Past
    request: VideoRequested
    is_there: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """What is to be drawn. `seconds` is for the videos that recent ones of their kind tell something about."""

    videos: int
    seconds: float
    unknown: int
    samples: int


@dataclass(slots=True)
class Plan:
    """What a replay will send, and what it leaves out and why."""

    steps: list[Step] = field(default_factory=list)
    done_before: int = 0
    out_of_date: int = 0
    rejected: int = 0
    in_review: int = 0
    other_template: int = 0
    failed: list[str] = field(default_factory=list)
    """A sentence for each product whose request could not be derived."""

    @property
    def products(self) -> int:
        """How many products there are, whatever becomes of them. Those of other categories are not among them."""
        left_out = self.out_of_date + self.rejected + self.in_review + self.other_template + len(self.failed)
        return len(self.steps) + self.done_before + left_out

    def specs(self) -> list[RenderSpec]:
        """The specs to be drawn, each once, however many products share it."""
        return list({step.request.video_id: step.request.spec for step in self.steps if not step.is_there}.values())


def make_plan(
    latest: LatestEvents,
    selection: Selection,
    derive: Derive,
    find: Find,
    *,
    generation: int,
    is_done: Callable[[Past], bool],
) -> Plan:
    """Decide for each product. A failed lookup is raised: without the store there is nothing to decide by."""
    plan = Plan()
    outcomes: dict[str, str | None] = {}
    for past in latest:
        try:
            (answer,) = derive(past.event)
        except (TemporaryError, PermanentError) as error:
            if selection.wants_category(past.event.data, None):
                plan.failed.append(f"{past.event.data.product_id}: {error}")
            continue
        request = answer.data if isinstance(answer.data, VideoRequested) else None
        if not selection.wants_category(past.event.data, request.spec.template.id if request else None):
            continue
        if request is None:
            plan.rejected += 1
        elif selection.template_version not in (None, request.spec.template.version):
            plan.other_template += 1
        elif is_done(past):
            plan.done_before += 1
        elif latest.is_out_of_date(past):
            plan.out_of_date += 1
        else:
            request = _of_generation(request, generation)
            if request.video_id not in outcomes:
                record = find(request.video_id)
                outcomes[request.video_id] = record.outcome if record else None
            outcome = outcomes[request.video_id]
            if outcome == "review":
                plan.in_review += 1
            else:
                plan.steps.append(Step(past, request, is_there=outcome == "ready"))
    return plan


def cost_of(specs: Iterable[RenderSpec], recent: Iterable[VideoReady]) -> Cost:
    """What drawing these takes the GPU, by the median of recent clips of the same weights, size and steps."""
    measured: dict[tuple[object, ...], list[float]] = {}
    for ready in recent:
        seconds = [ready.timings_seconds[stage] for stage in GPU_STAGES if stage in ready.timings_seconds]
        if seconds:
            clip = ready.master
            kind = (ready.model, clip.width, clip.height, clip.frames, ready.steps, ready.guidance > 1)
            measured.setdefault(kind, []).append(sum(seconds))
    videos = unknown = 0
    total = 0.0
    used: set[tuple[object, ...]] = set()
    for spec in specs:
        kind = (spec.model, spec.width, spec.height, spec.frames, spec.steps, spec.guidance > 1)
        videos += 1
        if kind in measured:
            used.add(kind)
            total += median(measured[kind])
        else:
            unknown += 1
    return Cost(videos, total, unknown, sum(len(measured[kind]) for kind in used))


def describe(plan: Plan, cost: Cost, rate: Rate, *, unreadable: int = 0) -> Iterator[str]:
    """The plan in a few lines for people."""
    if unreadable:
        yield f"unread    {unreadable} records that are no events"
    yield f"products  {plan.products}"
    if plan.done_before:
        yield f"done      {plan.done_before} were answered before this replay was interrupted"
    left_out = {
        "have a newer event, which is left to answer them": plan.out_of_date,
        "are rejected by the screening of today": plan.rejected,
        "have a clip that waits for a person's decision": plan.in_review,
        "have a template of another version": plan.other_template,
        "could not be derived": len(plan.failed),
    }
    for reason, number in left_out.items():
        if number:
            yield f"left out  {number} {reason}"
    for sentence in plan.failed[:3]:
        yield f"          {sentence}"
    there = sum(step.is_there for step in plan.steps)
    yield f"to send   {len(plan.steps) - there} requests into the bulk lane, {there} answers whose clip is there"
    yield f"to draw   {cost.videos} videos"
    yield f"GPU time  {_gpu_time(cost)}"
    yield f"sending   takes {_duration(len(plan.steps) / rate.per_second)} at {rate}"


def _of_generation(request: VideoRequested, generation: int) -> VideoRequested:
    if not generation:
        return request
    spec = request.spec.model_copy(update={"generation": generation})
    # Not copied from the old spec: its id may be remembered there.
    spec = RenderSpec.model_validate(spec.model_dump())
    return request.model_copy(update={"spec": spec, "video_id": spec.video_id})


def _gpu_time(cost: Cost) -> str:
    known = cost.videos - cost.unknown
    if not cost.videos:
        return "none"
    if not known:
        return "unknown: no recent video.ready tells how long this model takes for this size and these steps"
    told = f"about {cost.seconds:.0f} s by the median of {cost.samples} recent clips of their kind"
    return told if not cost.unknown else f"{told} for {known} of them, unknown for {cost.unknown}"


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"
