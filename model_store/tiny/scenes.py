"""Product clips, drawn: a scene is a few named choices and numbers, and rendering it is a pure function of them.

Axis legend: F frames, H W pixels, N points. Colours are linear light in [0, 1] until `_develop` makes them display
values. The distance field of a shape is baked once into a grid, so that marching costs the same for a mug and a sofa.
"""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from model_store.tiny.shapes import BOUNDS, KINDS, Part

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (200, 32, 36),
    "orange": (238, 118, 20),
    "yellow": (250, 212, 40),
    "green": (44, 140, 66),
    "teal": (24, 156, 156),
    "blue": (40, 112, 222),
    "navy": (22, 36, 104),
    "purple": (118, 56, 168),
    "pink": (244, 148, 178),
    "brown": (112, 66, 36),
    "beige": (228, 210, 178),
    "grey": (110, 112, 116),
    "silver": (182, 187, 195),
    "gold": (200, 148, 52),
    "black": (22, 22, 24),
    "white": (240, 240, 238),
}
"""Display values (sRGB, 0 to 255) of the colours the model is taught."""

MATERIALS = ("matte", "glossy", "metal", "fabric")
MOTIONS = ("turntable", "push-in", "light")

BACKGROUNDS: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "studio": ((232, 233, 235), (246, 246, 246)),
    "cool": ((128, 142, 160), (176, 188, 202)),
    "warm": ((226, 204, 176), (242, 228, 208)),
    "dark": ((30, 32, 38), (58, 60, 68)),
    "wood": ((214, 206, 196), (150, 104, 66)),
    "sky": ((150, 196, 226), (206, 226, 238)),
}
"""Display values of the wall and of the floor before it."""

TONES: dict[str, tuple[int, int, int]] = {
    "dark": (38, 38, 42),
    "light": (236, 234, 228),
    "steel": (176, 180, 186),
    "gold": (206, 168, 92),
    "wood": (160, 110, 66),
    "glow": (255, 240, 205),
}

FIRST_YAW: dict[str, float] = {
    "mug": -0.75, "kettle": 0.3, "headphones": 0.5, "phone": 0.45, "watch": 0.4, "bag": 0.4, "suitcase": 0.5,
    "shoe": -0.35, "chair": 0.6, "sofa": 0.35, "pillow": 0.3, "shirt": 0.3, "box": 0.6,
    "bottle": -0.6, "jar": -0.6, "bowl": -0.6, "lamp": -0.6,
}  # fmt: skip
"""The yaw, in radians, at which a kind shows best while it stands; on the turntable it turns past its front instead, so
that what is flat is never seen edge-on."""

GRID = 104
MARCH_STEPS = 40


@dataclass(frozen=True)
class Scene:
    """Everything a clip shows. Angles in radians; `proportions` are the shape's a, b, c in [-1, 1]."""

    kind: str
    colour: str
    material: str
    background: str
    motion: str
    proportions: tuple[float, float, float]
    rgb: tuple[float, float, float]
    yaw: float
    elevation: float
    distance: float
    light: float
    sweep: float


def draw_scene(
    seed: int,
    *,
    kind: str | None = None,
    colour: str | None = None,
    material: str | None = None,
    background: str | None = None,
    motion: str | None = None,
) -> Scene:
    """A scene from a seed; what is not named is drawn. Equal arguments give an equal scene."""
    generator = np.random.default_rng(seed)
    chosen_kind = str(generator.choice(list(KINDS)))
    chosen_colour = str(generator.choice(list(COLOURS)))
    chosen_material = str(generator.choice(MATERIALS))
    chosen_background = str(generator.choice(list(BACKGROUNDS)))
    chosen_motion = str(generator.choice(MOTIONS))
    kind = kind or chosen_kind
    colour = colour or chosen_colour
    motion = motion or chosen_motion
    a, b, c, tint, shade, yaw, elevation, distance, light, sweep = generator.uniform(-1, 1, 10).tolist()
    return Scene(
        kind=kind,
        colour=colour,
        material=material or chosen_material,
        background=background or chosen_background,
        motion=motion,
        proportions=(a, b, c),
        rgb=_vary(COLOURS[colour], tint, shade),
        yaw=(0.0 if motion == "turntable" else FIRST_YAW[kind]) + 0.1 * yaw,
        elevation=0.30 + 0.04 * elevation,
        distance=5.9 + 0.2 * distance,
        light=-0.7 + 0.15 * light,
        sweep=1.0 + 0.15 * sweep,
    )


def with_look(base: Scene, look: Scene) -> Scene:
    """A scene in the colour, material and background of another."""
    return replace(base, colour=look.colour, rgb=look.rgb, material=look.material, background=look.background)


def render(scene: Scene, *, width: int, height: int, frames: int, only: Sequence[int] | None = None) -> Tensor:
    """The clip as uint8 [F, H, W, 3]. `only` picks frames of the clip by index; the motion still spans all `frames`."""
    indices = list(range(frames)) if only is None else list(only)
    geometry = trace(scene, width=width, height=height, frames=frames, only=indices)
    return shade(scene, geometry)


@dataclass(frozen=True)
class Geometry:
    """What the rays of a clip met, before anything has a colour. `pixel` indexes the flattened [F, H, W]."""

    frames: int
    height: int
    width: int
    pixel: Tensor  # [N] int64
    cover: Tensor  # [N] share of the pixel that the product covers
    world: Tensor  # [N, 3]
    normal: Tensor  # [N, 3] in world axes
    view: Tensor  # [N, 3] unit, towards the camera
    tones: tuple[str, ...]
    share: Tensor  # [N, tones]
    occlusion: Tensor  # [N]
    shadow: Tensor  # [N]
    floor: Tensor  # [F, H, W] light that reaches the floor, 1 where nothing stands before it
    horizon: Tensor  # [F, H, W] 0 on the wall, 1 on the floor
    ground: Tensor  # [F, H, W, 2] where the ray meets the floor
    lights: Tensor  # [F, 3] unit, towards the light


def trace(scene: Scene, *, width: int, height: int, frames: int, only: Sequence[int]) -> Geometry:
    """March every ray of the chosen frames. Colour, material and background play no part in it."""
    field = _bake(scene.kind, tuple(round(value, 1) for value in scene.proportions))
    yaw, distance, light = _choreograph(scene, frames, only)
    count = len(only)
    origin, direction, pixel_angle = _rays(scene.elevation, distance, width, height)

    # The product turns; to the field it is the camera and the light that turn about it.
    cos, sin = torch.cos(-yaw), torch.sin(-yaw)
    spin = torch.zeros(count, 3, 3)
    spin[:, 0, 0], spin[:, 0, 2], spin[:, 1, 1], spin[:, 2, 0], spin[:, 2, 2] = cos, sin, 1.0, -sin, cos
    lights = torch.stack([torch.sin(light) * 0.72, torch.full_like(light, 0.78), torch.cos(light) * 0.72], -1)
    lights = functional.normalize(lights, dim=-1)
    field_lights = torch.einsum("fij,fj->fi", spin, lights)

    ray_origin = torch.einsum("fij,fj->fi", spin, origin)
    ray_direction = torch.einsum("fij,fnj->fni", spin, direction)
    frame_of = torch.arange(count).repeat_interleave(height * width)
    pixel, depth, cover = _march(field, ray_origin, ray_direction.flatten(0, 1), frame_of, pixel_angle)
    owner = frame_of[pixel]
    ray = ray_direction.flatten(0, 1)[pixel]
    point = ray_origin[owner] + depth[:, None] * ray

    normal = _normal(field, point)
    openness = [((_look_up(field, point + normal * reach) + 0.02) / reach).clamp(0, 1) for reach in (0.12, 0.34)]
    occlusion = torch.stack(openness).mean(0)
    shadow = _soft_shadow(field, point + normal * 0.03, field_lights[owner])
    tones, share = _tones(scene, point, pixel_angle * distance.mean().item())

    unspin = spin.transpose(1, 2)
    to_world = unspin[owner]
    floor, horizon, ground = _floor(field, origin, direction, spin, field_lights, count, height, width)
    return Geometry(
        frames=count,
        height=height,
        width=width,
        pixel=pixel,
        cover=cover,
        world=torch.einsum("nij,nj->ni", to_world, point),
        normal=torch.einsum("nij,nj->ni", to_world, normal),
        view=-direction.flatten(0, 1)[pixel],
        tones=tones,
        share=share,
        occlusion=occlusion,
        shadow=shadow,
        floor=floor,
        horizon=horizon,
        ground=ground,
        lights=lights,
    )


def shade(scene: Scene, geometry: Geometry) -> Tensor:
    """Colour, material, background and light over a traced clip: uint8 [F, H, W, 3]."""
    g = geometry
    canvas = _background(scene, g)
    light = g.lights[g.pixel // (g.height * g.width)]

    palette = torch.stack([_linear(scene.rgb if tone == "main" else TONES[tone]) for tone in g.tones])
    albedo = g.share @ palette
    main = g.share[:, [index for index, tone in enumerate(g.tones) if tone == "main"]].sum(-1, keepdim=True)
    glow = g.share[:, [index for index, tone in enumerate(g.tones) if tone == "glow"]].sum(-1, keepdim=True)

    lambert = (g.normal * light).sum(-1).clamp(min=0) * g.shadow
    up = 0.5 + 0.5 * g.normal[:, 1]
    ambient = (0.30 + 0.34 * up) * (0.35 + 0.65 * g.occlusion)
    facing = (g.normal * g.view).sum(-1).clamp(0, 1)
    mirrored = 2 * (g.normal * g.view).sum(-1, keepdim=True) * g.normal - g.view
    halfway = functional.normalize(light + g.view, dim=-1)
    highlight = (g.normal * halfway).sum(-1).clamp(min=0)
    # A studio in two softboxes: a bright sky overhead and a strip at the light's side.
    strip = torch.exp(-((mirrored * light).sum(-1) - 0.9).square() / 0.045)
    studio = 0.22 + 0.55 * torch.sigmoid((mirrored[:, 1] - 0.15) * 7.0) + 0.75 * strip
    fresnel = (1 - facing).pow(4)

    diffuse = ambient + 0.82 * lambert
    if scene.material == "glossy":
        body = albedo * diffuse[:, None]
        gloss = 0.75 * highlight.pow(70) * g.shadow + (0.05 + 0.5 * fresnel) * studio * g.occlusion
        surface = body + gloss[:, None] * 0.85
    elif scene.material == "metal":
        body = albedo * (0.55 * diffuse + (0.3 + 0.7 * g.occlusion) * (0.2 + 0.75 * studio))[:, None]
        surface = body + (0.5 * highlight.pow(40) * g.shadow)[:, None] * (0.4 + 0.6 * albedo)
    elif scene.material == "fabric":
        wrap = ((g.normal * light).sum(-1) * 0.7 + 0.3).clamp(min=0) * (0.35 + 0.65 * g.shadow)
        x, y, z = (g.world * 42.0).unbind(-1)
        weave = 1.0 + 0.07 * torch.sin(x + z) * torch.sin(y * 1.1 + x - z)
        sheen = 0.22 * (1 - facing).pow(2.5)
        surface = albedo * ((ambient + 0.75 * wrap) * weave)[:, None] + sheen[:, None] * (0.25 + 0.5 * albedo)
    else:
        surface = albedo * diffuse[:, None]
    trim = albedo * diffuse[:, None] + (0.3 * highlight.pow(40) * g.shadow + 0.12 * fresnel)[:, None]
    surface = torch.lerp(trim, surface, main)
    surface = torch.lerp(surface, albedo * 1.15, glow)

    flat = canvas.view(-1, 3)
    flat[g.pixel] = torch.lerp(flat[g.pixel], surface, g.cover[:, None])
    return _develop(canvas)


def _vary(colour: tuple[int, int, int], tint: float, shade: float) -> tuple[float, float, float]:
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    value = min(1.0, value * (1 + 0.06 * shade))
    red, green, blue = colorsys.hsv_to_rgb((hue + 0.008 * tint) % 1.0, saturation, value)
    return red * 255, green * 255, blue * 255


def _linear(rgb: Sequence[float]) -> Tensor:
    return (torch.tensor([float(channel) for channel in rgb]) / 255).pow(2.2)


def _develop(light: Tensor) -> Tensor:
    """Display values of linear light, with a shoulder so that highlights roll off instead of clipping."""
    soft = torch.where(light < 0.8, light, 0.8 + 0.2 * (1 - torch.exp(-(light - 0.8) / 0.2)))
    return (soft.clamp(0, 1).pow(1 / 2.2) * 255 + 0.5).to(torch.uint8)


def _choreograph(scene: Scene, frames: int, only: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Yaw, camera distance and light angle of the chosen frames, each [F]."""
    share = torch.tensor([index / max(frames - 1, 1) for index in only])
    still = torch.ones_like(share)
    yaw, distance, light = scene.yaw * still, scene.distance * still, scene.light * still
    if scene.motion == "turntable":
        yaw = scene.yaw + 1.7 * scene.sweep * (share - 0.5)
    elif scene.motion == "push-in":
        distance = scene.distance * (1.16 - 0.3 * scene.sweep * share)
    else:
        light = scene.light + 1.9 * scene.sweep * share
    return yaw, distance, light


def _rays(elevation: float, distance: Tensor, width: int, height: int) -> tuple[Tensor, Tensor, float]:
    """Camera positions [F, 3], unit directions [F, H*W, 3], and the angle one pixel spans."""
    rise, back = math.sin(elevation), math.cos(elevation)
    origin = torch.stack([torch.zeros_like(distance), 0.92 + rise * distance, back * distance], -1)
    half = math.tan(0.25)
    v, u = torch.meshgrid(
        (1 - (torch.arange(height) + 0.5) * 2 / height) * half,
        ((torch.arange(width) + 0.5) * 2 / width - 1) * half * width / height,
        indexing="ij",
    )
    right = torch.tensor([1.0, 0.0, 0.0])
    up = torch.tensor([0.0, back, -rise])
    ahead = torch.tensor([0.0, -rise, -back])
    direction = functional.normalize(ahead + u[..., None] * right + v[..., None] * up, dim=-1).view(1, -1, 3)
    return origin, direction.expand(len(distance), -1, -1), 2 * half / height


@lru_cache(maxsize=20)  # 4.5 MB each; whoever draws many takes shape after shape
def _bake(kind: str, proportions: tuple[float, ...]) -> Tensor:
    """The distance field of a shape on a grid [1, 1, D, H, W] over `BOUNDS`."""
    low, high = BOUNDS
    axes = [torch.linspace(a, b, GRID) for a, b in zip(low, high, strict=True)]
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    points = torch.stack([x, y, z], -1).view(-1, 3)
    parts = KINDS[kind](dict(zip("abc", proportions, strict=True)))
    return torch.stack([part.distance(points) for part in parts]).amin(0).view(1, 1, GRID, GRID, GRID)


_LOW = torch.tensor(BOUNDS[0])
_SPAN = torch.tensor(BOUNDS[1]) - _LOW


def _look_up(field: Tensor, points: Tensor) -> Tensor:
    where = (points - _LOW) / _SPAN * 2 - 1
    outside = (where.abs() - 1).clamp(min=0) * _SPAN / 2
    inside = functional.grid_sample(field, where.view(1, 1, 1, -1, 3), padding_mode="border", align_corners=True)
    return inside.view(-1) + outside.square().sum(-1).sqrt()


def _normal(field: Tensor, points: Tensor) -> Tensor:
    step = 0.03
    offsets = torch.eye(3) * step
    slopes = [_look_up(field, points + offset) - _look_up(field, points - offset) for offset in offsets]
    return functional.normalize(torch.stack(slopes, -1), dim=-1)


def _march(
    field: Tensor, origin: Tensor, direction: Tensor, frame_of: Tensor, pixel_angle: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Which rays meet the product (indices), at what depth, and how much of their pixel it covers."""
    start = origin[frame_of]
    low, high = (_LOW - start) / direction, (_LOW + _SPAN - start) / direction
    enter = torch.minimum(low, high).amax(-1)
    leave = torch.maximum(low, high).amin(-1)
    alive = torch.nonzero(leave > enter).squeeze(-1)
    start, ray, depth, leave = start[alive], direction[alive], enter[alive] + 1e-3, leave[alive]

    found, depths, covers = [], [], []
    best, best_depth = torch.full_like(depth, 9.0), depth.clone()
    for step in range(MARCH_STEPS):
        distance = _look_up(field, start + depth[:, None] * ray)
        clearance = distance / (pixel_angle * depth)
        closer = clearance < best
        best, best_depth = torch.where(closer, clearance, best), torch.where(closer, depth, best_depth)
        depth = depth + distance.clamp(min=-0.02) * 0.9
        done = (clearance < 0.05) | (depth > leave)
        if step == MARCH_STEPS - 1:
            done = torch.ones_like(done)
        if step % 3 == 2 or step == MARCH_STEPS - 1:
            seen = done & (best < 1.0)
            found.append(alive[seen])
            depths.append(best_depth[seen])
            covers.append((1.0 - best[seen]).clamp(0, 1).mul(1.08).clamp(max=1))
            left = ~done
            alive, start, ray, depth, leave = alive[left], start[left], ray[left], depth[left], leave[left]
            best, best_depth = best[left], best_depth[left]
        else:
            depth = torch.where(done, depth - distance.clamp(min=-0.02) * 0.9 * (clearance < 0.05), depth)
    return torch.cat(found), torch.cat(depths), torch.cat(covers)


def _soft_shadow(field: Tensor, points: Tensor, towards: Tensor) -> Tensor:
    light = torch.ones(len(points))
    for reach in (0.06, 0.14, 0.26, 0.42, 0.62, 0.9):
        light = torch.minimum(light, _look_up(field, points + towards * reach) * 5.5 / reach + 0.25)
    return light.clamp(0, 1)


def _tones(scene: Scene, points: Tensor, pixel: float) -> tuple[tuple[str, ...], Tensor]:
    """Which tone each point has; near a border between parts the tones mix over about a pixel."""
    parts: list[Part] = KINDS[scene.kind](
        dict(zip("abc", (round(value, 1) for value in scene.proportions), strict=True))
    )
    distances = torch.stack([part.distance(points) for part in parts], -1)
    return tuple(part.tone for part in parts), torch.softmax(-distances / (0.5 * pixel), -1)


def _floor(
    field: Tensor,
    origin: Tensor,
    direction: Tensor,
    spin: Tensor,
    field_lights: Tensor,
    count: int,
    height: int,
    width: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Light on the floor, floor against wall, and floor position; shadows at half size, since they are soft."""
    rays = direction.view(count, height, width, 3)
    depth = -origin[:, 1].view(-1, 1, 1) / rays[..., 1].clamp(max=-1e-3)
    ground = (origin.view(-1, 1, 1, 3) + depth[..., None] * rays)[..., [0, 2]]
    horizon = torch.sigmoid((ground[..., 1] + 3.4) * 2.2)

    coarse = ground[:, ::2, ::2]
    near = coarse.square().sum(-1) < 2.6**2
    index = torch.nonzero(near.flatten()).squeeze(-1)
    frame = torch.arange(count).view(-1, 1, 1).expand_as(near).flatten()[index]
    flat = coarse.reshape(-1, 2)[index]
    world = torch.stack([flat[:, 0], torch.full_like(flat[:, 0], 0.005), flat[:, 1]], -1)
    points = torch.einsum("nij,nj->ni", spin[frame], world)
    contact = ((_look_up(field, points + torch.tensor([0.0, 0.10, 0.0])) + 0.02) / 0.30).clamp(0, 1)
    cast = torch.ones(len(points))
    for reach in (0.12, 0.28, 0.5, 0.8, 1.15, 1.6):
        cast = torch.minimum(cast, _look_up(field, points + field_lights[frame] * reach) * 3.0 / reach + 0.35)
    light = torch.ones(near.numel())
    light[index] = (0.55 + 0.45 * contact) * (0.62 + 0.38 * cast.clamp(0, 1))
    full = functional.interpolate(
        light.view(count, 1, *near.shape[1:]), size=(height, width), mode="bilinear", align_corners=False
    )
    return full[:, 0], horizon, ground


def _background(scene: Scene, g: Geometry) -> Tensor:
    wall, floor = (_linear(rgb) for rgb in BACKGROUNDS[scene.background])
    fall = torch.linspace(1.04, 0.92, g.height).view(1, -1, 1)
    floor_light = g.floor
    if scene.background == "wood":
        planks = 1.0 + 0.05 * torch.sin(g.ground[..., 0] * 1.3) + 0.035 * torch.sin(g.ground[..., 1] * 9.0)
        floor_light = floor_light * planks
    # The light leaves a soft pool on the floor and drifts with it.
    centre = g.lights[:, [0, 2]].view(-1, 1, 1, 2) * 0.8
    pool = 0.86 + 0.2 * torch.exp(-(g.ground - centre).square().sum(-1) / 7.0)
    on_floor = floor * (floor_light * pool)[..., None]
    on_wall = wall * (fall * torch.ones_like(g.floor))[..., None]
    return torch.lerp(on_wall, on_floor, g.horizon[..., None]).contiguous()
