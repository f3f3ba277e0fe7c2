"""How a model is sampled: its manifest says it, its sampler follows it. Read without torch."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

TRAINED_TIMESTEPS = 1000


class SamplerConfig(BaseModel):
    """UniPC with a shift, or the levels that a distilled model was trained for; checked when made (ValueError)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["unipc", "few-step"]
    shift: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0
    """unipc: above 1 spends more steps on high noise."""
    timesteps: tuple[Annotated[int, Field(ge=1, le=TRAINED_TIMESTEPS)], ...] = ()
    """few-step: the levels that the checkpoint was distilled for, falling."""

    @model_validator(mode="after")
    def _few_steps_are_named(self) -> Self:
        if (self.kind == "few-step") != bool(self.timesteps):
            raise ValueError(f"a {self.kind} sampler has timesteps {self.timesteps}; only few-step is given any")
        if any(later >= earlier for earlier, later in pairwise(self.timesteps)):
            raise ValueError(f"timesteps {self.timesteps} must fall")
        return self
