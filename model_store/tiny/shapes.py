"""The things the scenes show: product shapes as signed-distance functions, one builder for each kind.

Axes: x right, y up, z towards the camera; one unit is about half a product's height. Every shape stands on y = 0 and
keeps inside the box of `BOUNDS`. Points are [N, 3], distances [N], negative inside. Distances may be a little too
small far away (ellipsoids, tapers), never too large by more than the marching factor in `scenes` allows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

BOUNDS = ((-1.25, -0.06, -1.25), (1.25, 2.24, 1.25))

Distance = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Part:
    """A piece of a product. Tone `main` takes the named colour; the others are what such pieces usually are."""

    tone: str
    distance: Distance


Proportions = Mapping[str, float]
"""Names `a`, `b`, `c`, each in [-1, 1]: how this one product departs from its kind's usual proportions."""


def length(*components: Tensor) -> Tensor:
    return torch.stack(components, -1).square().sum(-1).add(1e-9).sqrt()


def sphere(p: Tensor, centre: tuple[float, float, float], radius: float) -> Tensor:
    x, y, z = _about(p, centre)
    return length(x, y, z) - radius


def ellipsoid(p: Tensor, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Tensor:
    x, y, z = _about(p, centre)
    k0 = length(x / radii[0], y / radii[1], z / radii[2])
    k1 = length(x / radii[0] ** 2, y / radii[1] ** 2, z / radii[2] ** 2)
    return k0 * (k0 - 1.0) / k1


def box(
    p: Tensor, centre: tuple[float, float, float], half: tuple[float, float, float], rounding: float = 0.03
) -> Tensor:
    x, y, z = _about(p, centre)
    qx, qy, qz = (v.abs() - h + rounding for v, h in zip((x, y, z), half, strict=True))
    outside = length(qx.clamp(min=0), qy.clamp(min=0), qz.clamp(min=0))
    inside = torch.maximum(qx, torch.maximum(qy, qz)).clamp(max=0)
    return outside + inside - rounding


def cylinder(
    p: Tensor,
    centre: tuple[float, float, float],
    radius: float,
    half_height: float,
    rounding: float = 0.03,
    axis: int = 1,
) -> Tensor:
    parts = _about(p, centre)
    along = parts[axis]
    u, v = (part for index, part in enumerate(parts) if index != axis)
    dr = length(u, v) - radius + rounding
    dh = along.abs() - half_height + rounding
    return length(dr.clamp(min=0), dh.clamp(min=0)) + torch.maximum(dr, dh).clamp(max=0) - rounding


def cone(p: Tensor, low: float, high: float, radius_low: float, radius_high: float, rounding: float = 0.02) -> Tensor:
    """An upright truncated cone on the y axis, between two heights."""
    x, y, z = p.unbind(-1)
    share = ((y - low) / (high - low)).clamp(0, 1)
    radius = radius_low + (radius_high - radius_low) * share
    slope = (radius_high - radius_low) / (high - low)
    dr = (length(x, z) - radius + rounding) / (1 + slope * slope) ** 0.5
    dh = (y - (low + high) / 2).abs() - (high - low) / 2 + rounding
    return length(dr.clamp(min=0), dh.clamp(min=0)) + torch.maximum(dr, dh).clamp(max=0) - rounding


def capsule(p: Tensor, start: tuple[float, float, float], end: tuple[float, float, float], radius: float) -> Tensor:
    a = torch.tensor(start, dtype=p.dtype)
    ab = torch.tensor(end, dtype=p.dtype) - a
    share = (((p - a) @ ab) / (ab @ ab)).clamp(0, 1)
    return (p - a - share[:, None] * ab).square().sum(-1).add(1e-9).sqrt() - radius


def ring(
    p: Tensor,
    centre: tuple[float, float, float],
    radii: tuple[float, float],
    thickness: float,
    axis: int = 2,
    depth: float = 0.0,
) -> Tensor:
    """An elliptic ring in the plane across `axis`; `depth` stretches its tube along the axis into a band."""
    parts = _about(p, centre)
    along = parts[axis]
    u, v = (part for index, part in enumerate(parts) if index != axis)
    stretch = length(u / radii[0], v / radii[1])
    gradient = length(u / radii[0] ** 2, v / radii[1] ** 2)
    from_ellipse = stretch * (stretch - 1.0) / gradient
    return length(from_ellipse, (along.abs() - depth).clamp(min=0)) - thickness


def blend(a: Tensor, b: Tensor, width: float) -> Tensor:
    """The union of two shapes with a soft seam."""
    share = (0.5 + 0.5 * (b - a) / width).clamp(0, 1)
    return b + (a - b) * share - width * share * (1 - share)


def cut(a: Tensor, b: Tensor, rounding: float = 0.02) -> Tensor:
    """`a` without `b`, the edge rounded a little."""
    return -blend(-a, b, rounding)


def tilt(p: Tensor, angle: float, pivot: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Tensor:
    """Points as seen by a shape that leans back by `angle` radians about the x axis through `pivot`."""
    x, y, z = _about(p, pivot)
    cos, sin = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    return torch.stack([x + pivot[0], cos * y - sin * z + pivot[1], sin * y + cos * z + pivot[2]], -1)


def _about(p: Tensor, centre: tuple[float, float, float]) -> tuple[Tensor, Tensor, Tensor]:
    x, y, z = p.unbind(-1)
    return x - centre[0], y - centre[1], z - centre[2]


def label(body: Distance, height: float, half: tuple[float, float]) -> list[Part]:
    """A printed patch on the front of a body that looks the same from all sides, so that one sees it turn."""

    def patch(p: Tensor, half_width: float, half_height: float, raised: float) -> Tensor:
        x, y, z = p.unbind(-1)
        skin = body(p).abs() - raised
        sides = torch.maximum(x.abs() - half_width, (y - height).abs() - half_height)
        return torch.maximum(torch.maximum(skin, sides), -z)

    return [
        Part("light", lambda p: patch(p, half[0], half[1], 0.01)),
        Part("dark", lambda p: patch(p, half[0] * 0.6, half[1] * 0.6, 0.03)),
    ]


def mug(s: Proportions) -> list[Part]:
    radius, height = 0.62 + 0.05 * s["a"], 1.3 + 0.15 * s["b"]

    def vessel(p: Tensor) -> Tensor:
        wall = cylinder(p, (-0.12, height / 2, 0), radius, height / 2, 0.07)
        handle = ring(p, (-0.12 + radius, height * 0.5, 0), (0.36, 0.4 + 0.04 * s["c"]), 0.085)
        x, _, z = _about(p, (-0.12, 0, 0))
        handle = torch.maximum(handle, radius - 0.06 - length(x, z))
        hollow = cylinder(p, (-0.12, height * 0.5 + 0.16, 0), radius - 0.09, height / 2, 0.05)
        return cut(blend(wall, handle, 0.06), hollow, 0.05)

    return [Part("main", vessel)]


def bottle(s: Proportions) -> list[Part]:
    radius, shoulder = 0.4 + 0.04 * s["a"], 1.2 + 0.12 * s["b"]

    def body(p: Tensor) -> Tensor:
        trunk = cylinder(p, (0, shoulder / 2, 0), radius, shoulder / 2, 0.1)
        neck = cone(p, shoulder - 0.14, shoulder + 0.42, radius - 0.05, 0.17)
        return blend(trunk, neck, 0.12)

    return [
        Part("main", body),
        Part("dark", lambda p: cylinder(p, (0, shoulder + 0.52, 0), 0.22, 0.16, 0.04)),
        *label(body, 0.52 * shoulder, (0.24, 0.3)),
    ]


def kettle(s: Proportions) -> list[Part]:
    def body(p: Tensor) -> Tensor:
        belly = cone(p, 0.0, 1.15, 0.78 + 0.05 * s["a"], 0.48, 0.12)
        spout = capsule(p, (0.55, 0.5, 0), (1.02, 1.08, 0), 0.11)
        return blend(belly, spout, 0.14)

    def handle(p: Tensor) -> Tensor:
        loop = ring(p, (-0.52, 0.78, 0), (0.52, 0.5 + 0.04 * s["b"]), 0.075)
        return torch.maximum(loop, p[:, 0] + 0.5)

    def lid(p: Tensor) -> Tensor:
        return blend(cylinder(p, (0, 1.18, 0), 0.43, 0.06, 0.05), sphere(p, (0, 1.35, 0), 0.12), 0.06)

    return [Part("main", body), Part("dark", handle), Part("dark", lid)]


def bowl(s: Proportions) -> list[Part]:
    depth = 0.82 + 0.1 * s["a"]

    def outside(p: Tensor) -> Tensor:
        return ellipsoid(p, (0, depth + 0.1, 0), (1.02, depth, 1.02))

    def shell(p: Tensor) -> Tensor:
        outer = outside(p)
        inner = ellipsoid(p, (0, depth + 0.12, 0), (0.93, depth - 0.09, 0.93))
        cup = torch.maximum(outer, p[:, 1] - depth - 0.08)
        foot = cylinder(p, (0, 0.1, 0), 0.42, 0.1, 0.03)
        return cut(blend(cup, foot, 0.05), inner, 0.03)

    return [Part("main", shell), *label(outside, 0.78 * depth, (0.42, 0.2))]


def headphones(s: Proportions) -> list[Part]:
    spread, cup = 0.72 + 0.04 * s["a"], 0.44 + 0.03 * s["b"]

    def band(p: Tensor) -> Tensor:
        arc = ring(p, (0, 0.95, 0), (spread + 0.06, 0.98), 0.075, depth=0.07)
        return torch.maximum(arc, 0.85 - p[:, 1])

    def shells(p: Tensor) -> Tensor:
        mirrored = torch.cat([p[:, :1].abs(), p[:, 1:]], -1)
        return cylinder(mirrored, (spread + 0.1, 0.56, 0), cup, 0.15, 0.1, axis=0)

    def pads(p: Tensor) -> Tensor:
        mirrored = torch.cat([p[:, :1].abs(), p[:, 1:]], -1)
        return cylinder(mirrored, (spread - 0.12, 0.56, 0), cup - 0.03, 0.13, 0.11, axis=0)

    return [Part("main", band), Part("main", shells), Part("dark", pads)]


def phone(s: Proportions) -> list[Part]:
    width, height = 0.52 + 0.03 * s["a"], 1.02 + 0.05 * s["b"]

    def back(p: Tensor) -> Tensor:
        q = tilt(p, 0.12)
        return box(q, (0, height, 0), (width, height, 0.075), 0.07)

    def screen(p: Tensor) -> Tensor:
        q = tilt(p, 0.12)
        return box(q, (0, height, -0.06), (width - 0.05, height - 0.05, 0.03), 0.02)

    def island(p: Tensor) -> Tensor:
        q = tilt(p, 0.12)
        return box(q, (-width + 0.27, 2 * height - 0.32, 0.08), (0.2, 0.24, 0.06), 0.05)

    def lenses(p: Tensor) -> Tensor:
        q = tilt(p, 0.12)
        upper = cylinder(q, (-width + 0.27, 2 * height - 0.22, 0.14), 0.085, 0.03, 0.01, axis=2)
        lower = cylinder(q, (-width + 0.27, 2 * height - 0.43, 0.14), 0.085, 0.03, 0.01, axis=2)
        return torch.minimum(upper, lower)

    return [Part("main", back), Part("main", island), Part("dark", screen), Part("dark", lenses)]


def watch(s: Proportions) -> list[Part]:
    radius = 0.5 + 0.04 * s["a"]
    height = 0.92

    def strap(p: Tensor) -> Tensor:
        return ring(p, (0, height, -0.42), (0.86, 0.6), 0.05, axis=0, depth=0.2 + 0.02 * s["b"])

    def case(p: Tensor) -> Tensor:
        rim = cylinder(p, (0, height, 0.2), radius, 0.12, 0.05, axis=2)
        crown = cylinder(p, (radius + 0.04, height, 0.2), 0.06, 0.06, 0.02, axis=0)
        return torch.minimum(rim, crown)

    def face(p: Tensor) -> Tensor:
        return cylinder(p, (0, height, 0.3), radius - 0.09, 0.035, 0.01, axis=2)

    def hands(p: Tensor) -> Tensor:
        hour = capsule(p, (0, height, 0.34), (-0.16, height + 0.13, 0.34), 0.035)
        minute = capsule(p, (0, height, 0.34), (0.17, height + 0.24, 0.34), 0.028)
        return torch.minimum(hour, minute)

    return [Part("main", strap), Part("steel", case), Part("light", face), Part("dark", hands)]


def bag(s: Proportions) -> list[Part]:
    width, height = 0.88 + 0.06 * s["a"], 0.62 + 0.05 * s["b"]

    def body(p: Tensor) -> Tensor:
        x, y, z = p.unbind(-1)
        taper = 1.0 + 0.16 * (1.0 - y / (2 * height)).clamp(0, 1)
        q = torch.stack([x / taper, y, z / taper], -1)
        return box(q, (0, height, 0), (width - 0.1, height, 0.34), 0.13) * 0.9

    def handle(p: Tensor) -> Tensor:
        loop = ring(p, (0, 2 * height - 0.06, 0), (0.44, 0.68 + 0.05 * s["c"]), 0.055)
        return torch.maximum(loop, 2 * height - 0.1 - p[:, 1])

    def clasp(p: Tensor) -> Tensor:
        return box(p, (0, height * 1.25, 0.4), (0.12, 0.09, 0.05), 0.03)

    return [Part("main", body), Part("main", handle), Part("gold", clasp)]


def suitcase(s: Proportions) -> list[Part]:
    width, height = 0.6 + 0.05 * s["a"], 0.8 + 0.05 * s["b"]

    def shell(p: Tensor) -> Tensor:
        ribs = 0.016 * torch.cos(p[:, 0] * 24.0) * (p[:, 2].abs() > 0.2)
        return box(p, (0, height + 0.13, 0), (width, height, 0.32), 0.12) - ribs

    def pole(p: Tensor) -> Tensor:
        top = 2 * height + 0.4
        left = capsule(p, (-0.24, 1.5, -0.1), (-0.24, top, -0.1), 0.035)
        right = capsule(p, (0.24, 1.5, -0.1), (0.24, top, -0.1), 0.035)
        return torch.minimum(left, right)

    def grip(p: Tensor) -> Tensor:
        top = 2 * height + 0.4
        return capsule(p, (-0.26, top, -0.1), (0.26, top, -0.1), 0.065)

    def wheels(p: Tensor) -> Tensor:
        x, y, z = p.unbind(-1)
        q = torch.stack([x.abs(), y, z.abs()], -1)
        return cylinder(q, (width - 0.14, 0.11, 0.2), 0.11, 0.05, 0.02, axis=0)

    return [Part("main", shell), Part("steel", pole), Part("dark", grip), Part("dark", wheels)]


def shoe(s: Proportions) -> list[Part]:
    def upper(p: Tensor) -> Tensor:
        toe = ellipsoid(p, (0.55, 0.36, 0), (0.58, 0.3 + 0.02 * s["a"], 0.38))
        middle = ellipsoid(p, (0.02, 0.42, 0), (0.6, 0.45, 0.37))
        heel = ellipsoid(p, (-0.52, 0.55, 0), (0.5, 0.58 + 0.04 * s["b"], 0.38))
        form = blend(blend(toe, middle, 0.2), heel, 0.25)
        opening = ellipsoid(p, (-0.5, 1.12, 0), (0.33, 0.5, 0.25))
        form = cut(form, opening, 0.06)
        return torch.maximum(form, 0.14 - p[:, 1])

    def sole(p: Tensor) -> Tensor:

        front = cylinder(p, (0.62, 0.11, 0), 0.43, 0.11, 0.07)
        back = cylinder(p, (-0.62, 0.11, 0), 0.41, 0.11, 0.07)
        bridge = box(p, (0, 0.11, 0), (0.62, 0.11, 0.39), 0.07)
        return torch.minimum(torch.minimum(front, back), bridge)

    def laces(p: Tensor) -> Tensor:
        rows = [capsule(p, (x, y, -0.2), (x, y, 0.2), 0.04) for x, y in ((0.38, 0.67), (0.2, 0.77), (0.03, 0.87))]
        return torch.stack(rows).amin(0)

    return [Part("main", upper), Part("light", sole), Part("light", laces)]


def lamp(s: Proportions) -> list[Part]:
    low = 1.2 + 0.06 * s["a"]

    def outside(p: Tensor) -> Tensor:
        return cone(p, low, 2.12, 0.74 + 0.05 * s["b"], 0.4, 0.03)

    def shade(p: Tensor) -> Tensor:
        outer = outside(p)
        inner = cone(p, low - 0.1, 2.05, 0.7 + 0.05 * s["b"], 0.35, 0.02)
        return cut(outer, inner, 0.02)

    def stand(p: Tensor) -> Tensor:
        base = cylinder(p, (0, 0.06, 0), 0.46, 0.06, 0.04)
        pole = capsule(p, (0, 0.08, 0), (0, 1.9, 0), 0.06)
        return blend(base, pole, 0.08)

    return [
        Part("main", shade),
        Part("steel", stand),
        Part("glow", lambda p: sphere(p, (0, low + 0.25, 0), 0.2)),
        *label(outside, (low + 2.12) / 2, (0.26, 0.2)),
    ]


def chair(s: Proportions) -> list[Part]:
    seat_height = 0.92 + 0.05 * s["a"]

    def seat(p: Tensor) -> Tensor:
        cushion = box(p, (0, seat_height, 0.02), (0.62, 0.1, 0.6), 0.08)
        q = tilt(p, -0.12, (0.0, seat_height, -0.54))
        rest = box(q, (0, seat_height + 0.62, -0.54), (0.6, 0.56 + 0.03 * s["b"], 0.075), 0.07)
        return blend(cushion, rest, 0.1)

    def legs(p: Tensor) -> Tensor:
        x, y, z = p.unbind(-1)
        q = torch.stack([x.abs(), y, z.abs()], -1)
        return capsule(q, (0.6, 0.04, 0.58), (0.46, seat_height, 0.44), 0.06)

    return [Part("main", seat), Part("wood", legs)]


def sofa(s: Proportions) -> list[Part]:
    arm = 0.2 + 0.02 * s["a"]

    def frame(p: Tensor) -> Tensor:
        mirrored = torch.cat([p[:, :1].abs(), p[:, 1:]], -1)
        base = box(p, (0, 0.36, 0), (1.1, 0.22, 0.55), 0.08)
        back = box(p, (0, 0.72, -0.45), (1.1, 0.55 + 0.05 * s["b"], 0.17), 0.13)
        arms = box(mirrored, (1.1 - arm / 2, 0.55, 0), (arm, 0.38, 0.57), 0.13)
        return torch.minimum(torch.minimum(base, back), arms)

    def cushions(p: Tensor) -> Tensor:
        mirrored = torch.cat([p[:, :1].abs(), p[:, 1:]], -1)
        return box(mirrored, (0.42, 0.66, 0.1), (0.41, 0.13, 0.47), 0.1)

    def legs(p: Tensor) -> Tensor:
        x, y, z = p.unbind(-1)
        q = torch.stack([x.abs(), y, z.abs()], -1)
        return capsule(q, (0.95, 0.04, 0.42), (0.93, 0.2, 0.4), 0.05)

    return [Part("main", frame), Part("main", cushions), Part("wood", legs)]


def pillow(s: Proportions) -> list[Part]:
    half = 0.92 + 0.05 * s["a"]

    def cushion(p: Tensor) -> Tensor:
        q = tilt(p, 0.42, (0.0, 0.0, 0.25))
        x, y, z = _about(q, (0, half * 0.86, 0.25))
        u, v = x / half, y / (half * 0.84)
        swell = ((1 - u.square()).clamp(min=0) * (1 - v.square()).clamp(min=0)).add(1e-4).sqrt()
        pinch = 1.0 - 0.13 * (1 - v.square()).clamp(min=0), 1.0 - 0.13 * (1 - u.square()).clamp(min=0)
        side = torch.maximum(u.abs() - pinch[0], v.abs() - pinch[1]) * half * 0.8
        thick = z.abs() - (0.05 + (0.36 + 0.05 * s["b"]) * swell)
        return blend(-blend(-side, -thick, 0.1), torch.maximum(side, thick) + 0.02, 0.02) * 0.6

    return [Part("main", cushion)]


def shirt(s: Proportions) -> list[Part]:
    width = 0.6 + 0.04 * s["a"]

    def cloth(p: Tensor) -> Tensor:
        x, y, z = p.unbind(-1)
        q = torch.stack([x.abs(), y, z], -1)
        torso = box(q, (0, 1.03, 0), (width, 1.0, 0.2), 0.15)
        end = (width + 0.5, 1.24 + 0.06 * s["b"], 0.0)
        sleeve = capsule(torch.cat([q[:, :2], q[:, 2:] * 1.4], -1), (width - 0.22, 1.72, 0.0), end, 0.22) * 0.75
        cuff = (q[:, 0] - end[0]) * 0.72 - (y - end[1]) * 0.69
        shoulder = (y + 0.3 * q[:, 0] - 2.02) / 1.05
        form = torch.maximum(blend(torso, torch.maximum(sleeve, cuff), 0.08), shoulder)
        neck = ellipsoid(p, (0, 2.02, 0.05), (0.26, 0.26, 0.3))
        return cut(form, neck, 0.03)

    return [Part("main", cloth)]


def jar(s: Proportions) -> list[Part]:
    radius = 0.72 + 0.05 * s["a"]

    def vessel(p: Tensor) -> Tensor:
        return cylinder(p, (0, 0.44, 0), radius, 0.44, 0.12)

    def lid(p: Tensor) -> Tensor:
        return cylinder(p, (0, 1.02 + 0.03 * s["b"], 0), radius - 0.03, 0.2, 0.05)

    return [Part("main", vessel), Part("gold", lid), *label(vessel, 0.46, (0.36, 0.24))]


def gift_box(s: Proportions) -> list[Part]:
    half, height = 0.76 + 0.05 * s["a"], 0.6 + 0.06 * s["b"]

    def carton(p: Tensor) -> Tensor:
        return torch.minimum(
            box(p, (0, height, 0), (half, height, half), 0.04),
            box(p, (0, 2 * height - 0.1, 0), (half + 0.06, 0.17, half + 0.06), 0.04),
        )

    def ribbon(p: Tensor) -> Tensor:
        x, _, z = p.unbind(-1)
        hull = box(p, (0, height + 0.02, 0), (half + 0.075, height + 0.075, half + 0.075), 0.04)
        bands = torch.minimum(x.abs(), z.abs()) - 0.1
        mirrored = torch.cat([p[:, :1].abs(), p[:, 1:]], -1)
        bow = ellipsoid(mirrored, (0.24, 2 * height + 0.2, 0), (0.25, 0.15, 0.14))
        return torch.minimum(torch.maximum(hull, bands), bow)

    return [Part("main", carton), Part("light", ribbon)]


KINDS: dict[str, Callable[[Proportions], list[Part]]] = {
    "mug": mug,
    "bottle": bottle,
    "kettle": kettle,
    "bowl": bowl,
    "headphones": headphones,
    "phone": phone,
    "watch": watch,
    "bag": bag,
    "suitcase": suitcase,
    "shoe": shoe,
    "lamp": lamp,
    "chair": chair,
    "sofa": sofa,
    "pillow": pillow,
    "shirt": shirt,
    "jar": jar,
    "box": gift_box,
}
