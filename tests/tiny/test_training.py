"""Training: a stopped run goes on where it was, coarse errors count more, and attention starts on words."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import UMT5EncoderModel

from model_store.tiny import training
from model_store.tiny.train_denoiser import Learner, text_config, velocity_loss
from model_store.tiny.train_vae import change_loss
from model_store.tiny.training import Budget, Run, save_state

BUDGET = Budget(steps=6, learning_rate=0.01)


def line() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 4)


def descend(run: Run, most: int) -> None:
    for _ in range(most):
        if not run.goes_on():
            return
        inputs = torch.randn(3, 4, generator=torch.Generator().manual_seed(run.step))
        loss: Tensor = run.weights.module(inputs).square().mean()
        loss.backward()
        run.descend("loss", loss.item())


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole", line(), BUDGET, ("loss",), report_every=2)
    descend(whole, 10)
    stopped = Run(tmp_path / "stopped", line(), BUDGET, ("loss",), report_every=2)
    descend(stopped, 4)
    stopped.goes_on()  # reports the fourth step, and then the machine goes down
    resumed = Run(tmp_path / "stopped", line(), BUDGET, ("loss",), report_every=2)
    assert resumed.step == 4
    descend(resumed, 10)
    assert resumed.step == whole.step == 6
    for mine, theirs in zip(resumed.weights.average, whole.weights.average, strict=True):
        assert torch.equal(mine, theirs)


def test_a_run_logs_each_report_once(tmp_path: Path) -> None:
    descend(Run(tmp_path, line(), BUDGET, ("loss",), report_every=2), 10)
    steps = [row.split(",")[0] for row in (tmp_path / "log.csv").read_text(encoding="utf-8").splitlines()]
    assert steps == ["2", "4", "6"]


def test_the_last_steps_are_kept_though_one_series_had_none(tmp_path: Path) -> None:
    run = Run(tmp_path, line(), Budget(steps=1, learning_rate=0.01), ("loss", "other"), report_every=200)
    descend(run, 10)
    resumed = Run(tmp_path, line(), Budget(steps=1, learning_rate=0.01), ("loss", "other"), report_every=200)
    assert resumed.step == 1
    assert not resumed.goes_on()
    for mine, theirs in zip(run.weights.masters, resumed.weights.masters, strict=True):
        assert torch.equal(mine, theirs)
    assert (tmp_path / "average.pt").exists()
    assert (tmp_path / "log.csv").read_text(encoding="utf-8").endswith(",nan\n")


def test_a_stop_between_the_saves_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Run(tmp_path / "whole", line(), BUDGET, ("loss",), report_every=2)
    descend(whole, 10)
    saved: list[Path] = []

    def stop_after_one(path: Path, state: dict[str, Any]) -> None:
        saved.append(path)
        if len(saved) == 2:
            raise KeyboardInterrupt
        save_state(path, state)

    with monkeypatch.context() as patched:
        patched.setattr(training, "save_state", stop_after_one)
        with pytest.raises(KeyboardInterrupt):
            descend(Run(tmp_path / "stopped", line(), BUDGET, ("loss",), report_every=6), 10)
    descend(Run(tmp_path / "stopped", line(), BUDGET, ("loss",), report_every=6), 10)
    mine, theirs = (training.load_state(tmp_path / name / "average.pt") for name in ("stopped", "whole"))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_an_error_of_colour_costs_more_than_the_same_error_of_grain() -> None:
    even = torch.ones(1, 2, 3, 8, 8)
    checks = torch.arange(8)[:, None] + torch.arange(8)[None]
    grain = even * (1 - 2 * (checks % 2))
    (coarse_loss, coarse_plain), (fine_loss, fine_plain) = velocity_loss(even), velocity_loss(grain)
    assert coarse_plain == fine_plain == fine_loss == 1
    assert coarse_loss == 5


def test_an_error_that_comes_and_goes_costs_more_than_one_that_stays() -> None:
    stays = torch.ones(1, 2, 4, 8, 8)
    flickers = stays * torch.tensor([1.0, -1.0, 1.0, -1.0]).view(1, 1, -1, 1, 1)
    (steady_loss, steady_plain), (flicker_loss, flicker_plain) = velocity_loss(stays), velocity_loss(flickers)
    assert steady_plain == flicker_plain
    assert flicker_loss > 2 * steady_loss


def test_a_jump_after_the_first_frame_costs_the_decoder_more_than_a_later_one() -> None:
    true = torch.zeros(1, 3, 6, 16, 16)
    early, late, steady = true.clone(), true.clone(), true + 0.5
    early[:, :, 1:], late[:, :, 3:] = 0.5, 0.5
    assert change_loss(steady, true) == 0
    assert change_loss(early, true) > 2 * change_loss(late, true) > 0


@pytest.mark.parametrize("words", [8, 60])
def test_an_untaught_denoiser_does_not_spend_its_attention_on_padding(words: int) -> None:
    padding_by_number = (512 - words) / 512  # what an even start would spend: 98 % or 88 %
    assert max(attention_to_padding(words)) < 0.65 * padding_by_number


def attention_to_padding(words: int) -> list[float]:
    torch.manual_seed(0)
    taught = {name: weight.detach() for name, weight in UMT5EncoderModel(text_config(64)).named_parameters()}
    learner = Learner(64, taught).float()
    on_padding: list[float] = []

    def watched(queries: Tensor, keys: Tensor, values: Tensor, key_bias: Tensor | None = None) -> Tensor:
        logits = torch.einsum("bqnd,bknd->bnqk", queries * queries.shape[-1] ** -0.5, keys)
        if key_bias is not None:
            logits = logits + key_bias
            on_padding.append(float(logits.softmax(-1)[..., words:].sum(-1).mean()))
        return torch.einsum("bnqk,bknd->bqnd", logits.softmax(-1), values)

    for name, module in learner.named_modules():
        if name.endswith("cross_attn"):
            module.attention = watched  # type: ignore[assignment]
    tokens = torch.randint(3, 64, (1, words), generator=torch.Generator().manual_seed(0))
    noise = torch.randn(1, 24, 1, 8, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        learner(noise, torch.tensor([900.0]), tokens, [words], False)
    assert len(on_padding) == 8
    return on_padding
