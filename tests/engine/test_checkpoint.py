"""Checkpoints load strictly, from every layout, to the same bits."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors.torch import load_file, save_file
from transformers import UMT5Config, UMT5EncoderModel

from model_store.manifest import write_manifest
from model_store.sampling import SamplerConfig
from model_store.wan.architectures import DenoiserConfig, TextEncoderConfig, VAEConfig
from model_store.wan.checkpoint import (
    ORIGINAL_DENOISER,
    ORIGINAL_TEXT_ENCODER,
    ORIGINAL_VAE,
    REPACK_PREFIX,
    Checkpoint,
)
from model_store.wan.denoiser import Denoiser
from model_store.wan.engine import Engine
from model_store.wan.names import checkpoint_names
from model_store.wan.precision import DENOISER_FLOAT32
from model_store.wan.text_encoder import TextEncoder
from model_store.wan.vae import VAE
from shared.errors import CheckpointError, ConfigurationError
from tests.engine.folders import shard, write_hollow, write_index, write_original
from tests.painting import MANIFEST

CPU = torch.device("cpu")
META = torch.device("meta")


@pytest.fixture
def folder(diffusers_folder, tmp_path):
    """A copy of the diffusers layout that a test may spoil."""
    return shutil.copytree(diffusers_folder, tmp_path / "model")


@pytest.fixture
def original_folder(diffusers_folder, tmp_path):
    return write_original(diffusers_folder, tmp_path / "original")


def networks(folder):
    checkpoint = Checkpoint.open(folder)
    return (
        checkpoint.load_denoiser(CPU, torch.float32),
        checkpoint.load_vae(CPU, torch.float32),
        checkpoint.load_text_encoder(CPU, torch.float32),
    )


def assert_same_bits(ours, others):
    for one, other in zip(ours, others, strict=True):
        assert one.state_dict().keys() == other.state_dict().keys()
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


# Layouts


def test_both_layouts_load_to_the_same_bits(folder, original_folder):
    assert Checkpoint.open(original_folder).layout == "original"
    assert_same_bits(networks(original_folder), networks(folder))


def test_the_original_names_are_those_that_the_public_converter_knows(folder, original_folder):
    converted = convert_wan_transformer_to_diffusers(load_file(original_folder / f"{ORIGINAL_DENOISER}.safetensors"))
    published = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    assert converted.keys() == published.keys()
    assert all(torch.equal(converted[key], value) for key, value in published.items())


def test_shards_load_to_the_same_bits_as_one_file(folder, diffusers_folder):
    shard(folder / "transformer" / "diffusion_pytorch_model.safetensors", 3)
    shard(folder / "text_encoder" / "model.safetensors", 2)
    assert_same_bits(networks(folder), networks(diffusers_folder))


@pytest.mark.parametrize("name", ["wan2.2_ti2v_5B_fp32.safetensors", f"{ORIGINAL_DENOISER}.safetensors"])
def test_a_prefixed_repack_loads_to_the_same_bits(original_folder, diffusers_folder, name):
    file = original_folder / f"{ORIGINAL_DENOISER}.safetensors"
    repacked = {REPACK_PREFIX + key: value for key, value in load_file(file).items()}
    file.unlink()
    save_file(repacked, original_folder / name)
    assert_same_bits(networks(original_folder), networks(diffusers_folder))


def test_the_text_embedding_may_be_stored_twice(folder, diffusers_folder):
    file = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "encoder.embed_tokens.weight": tensors["shared.weight"].clone()}, file)
    assert_same_bits(networks(folder), networks(diffusers_folder))


def test_bf16_leaves_what_the_policy_names_in_float32(folder):
    checkpoint = Checkpoint.open(folder)
    for name, parameter in checkpoint.load_denoiser(CPU, torch.bfloat16).named_parameters():
        kept = any(part in name for part in ("modulation", "time_", "norm3"))
        assert bool(DENOISER_FLOAT32.match(name)) == kept
        assert parameter.dtype == (torch.float32 if kept else torch.bfloat16), name
    for name, parameter in checkpoint.load_vae(CPU, torch.bfloat16).named_parameters():
        encodes = name.startswith(("encoder", "to_moments"))
        assert parameter.dtype == (torch.float32 if encodes else torch.bfloat16), name


def test_loading_on_a_cpu_copies_no_matrix(folder):
    """Memory-mapped: the file's bytes are the weights, held once."""
    checkpoint = Checkpoint.open(folder)
    one = checkpoint.load_denoiser(CPU, torch.float32).blocks[0].ffn[0].weight
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    before = one.clone()
    with file.open("r+b") as stream:
        stream.seek(8 + int.from_bytes(stream.read(8), "little"))
        stream.write(b"\0" * (file.stat().st_size - stream.tell()))
    assert before.any()
    assert not one.any()


# The published sizes


def published_denoiser():
    with META:
        return WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=24,
            attention_head_dim=128,
            in_channels=48,
            out_channels=48,
            text_dim=4096,
            freq_dim=256,
            ffn_dim=14336,
            num_layers=30,
        )


def published_vae():
    config = VAEConfig.wan22().to_diffusers()
    with META:
        return AutoencoderKLWan(**config)


def published_text_encoder():
    config = UMT5Config(vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64)
    with META:
        return UMT5EncoderModel(config)


def shapes_of(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.fixture(scope="module")
def hollow_diffusers(diffusers_folder, tmp_path_factory):
    """The published model in the diffusers layout, every tensor of the published shape, without its 17 GB."""
    folder = tmp_path_factory.mktemp("hollow") / "diffusers"
    shutil.copytree(diffusers_folder, folder)
    for part, network, stem in (
        ("transformer", published_denoiser(), "diffusion_pytorch_model"),
        ("vae", published_vae(), "diffusion_pytorch_model"),
        ("text_encoder", published_text_encoder(), "model"),
    ):
        (folder / part / f"{stem}.safetensors").unlink()
        (folder / part / "config.json").write_text(
            json.dumps(dict(network.config.to_dict() if part == "text_encoder" else network.config))
        )
        shapes = shapes_of(network)
        if part == "text_encoder":
            shapes.pop("encoder.embed_tokens.weight", None)  # tied; saved once
        halves = [dict(list(shapes.items())[half::2]) for half in (0, 1)]
        names = [f"{stem}-0000{number}-of-00002.safetensors" for number in (1, 2)]
        for name, half in zip(names, halves, strict=True):
            write_hollow(folder / part / name, half)
        write_index(
            folder / part / f"{stem}.safetensors", {k: n for n, half in zip(names, halves, strict=True) for k in half}
        )
    return folder


@pytest.fixture(scope="module")
def hollow_original(hollow_diffusers, tmp_path_factory):
    """The same in the original layout, where no file states the sizes."""
    folder = tmp_path_factory.mktemp("hollow") / "original"
    folder.mkdir()
    with META:
        ours = (
            (ORIGINAL_DENOISER, Denoiser(DenoiserConfig.wan22())),
            (ORIGINAL_VAE, VAE(VAEConfig.wan22())),
            (ORIGINAL_TEXT_ENCODER, TextEncoder(TextEncoderConfig.umt5_xxl())),
        )
    for stem, network in ours:
        shapes = shapes_of(network)
        stored = {theirs: shapes[name] for theirs, name in checkpoint_names(network, "original").items()}
        write_hollow(folder / f"{stem}.safetensors", stored)
    return folder


@pytest.mark.slow  # each tensor costs a page fault with its read-ahead, on holes as well
@pytest.mark.parametrize("layout", ["hollow_diffusers", "hollow_original"])
def test_every_tensor_of_the_published_model_is_placed(layout, request):
    checkpoint = Checkpoint.open(request.getfixturevalue(layout))
    assert checkpoint.denoiser_config == DenoiserConfig.wan22()
    assert checkpoint.vae_config == VAEConfig.wan22()
    assert checkpoint.text_encoder_config == TextEncoderConfig.umt5_xxl()
    loaded = (
        checkpoint.load_denoiser(META, torch.bfloat16),
        checkpoint.load_vae(META, torch.bfloat16),
        checkpoint.load_text_encoder(META, torch.bfloat16),
    )
    counts = [(len(network.state_dict()), sum(p.numel() for p in network.parameters())) for network in loaded]
    assert counts == [(825, 4_999_787_712), (196, 704_688_668), (242, 5_680_910_336)]
    assert not any(
        p.requires_grad or p.dtype not in (torch.bfloat16, torch.float32) for n in loaded for p in n.parameters()
    )


# Which sampler


def test_the_scheduler_says_which_sampler(folder):
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "flow_shift": 3.5}))
    assert Checkpoint.open(folder).sampler == SamplerConfig(kind="unipc", shift=3.5)


def test_a_distilled_pipeline_takes_its_few_steps(folder):
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "_class_name": "WanDMDPipeline"}))
    assert Checkpoint.open(folder).sampler == SamplerConfig(kind="few-step", timesteps=(1000, 757, 522))


def test_the_original_layout_samples_with_the_published_shift(original_folder):
    assert Checkpoint.open(original_folder).sampler == SamplerConfig(kind="unipc", shift=5.0)


@pytest.mark.parametrize("layout", ["folder", "original_folder"])
def test_the_manifest_has_the_last_word_on_the_sampler(layout, request):
    path = request.getfixturevalue(layout)
    wanted = SamplerConfig(kind="few-step", shift=1.0, timesteps=(1000, 500))
    write_manifest(path, MANIFEST.model_copy(update={"sampler": wanted}))
    assert Checkpoint.open(path).sampler == wanted
    (path / "manifest.json").write_text(json.dumps({"sampler": {"kind": "few-step", "timesteps": [1000, 500]}}))
    with pytest.raises(ConfigurationError, match=r"manifest\.json: name: Field required"):
        Checkpoint.open(path)


def test_the_caller_overrules_the_folder(folder):
    wanted = SamplerConfig(kind="unipc", shift=9.0)
    assert Engine.load(folder, sampler=wanted).sampler == wanted


# What is refused, and how


def complaint(folder):
    with pytest.raises(CheckpointError) as caught:
        Engine.load(folder)
    assert isinstance(caught.value, ConfigurationError)
    return str(caught.value)


DENOISER_FILE = "transformer/diffusion_pytorch_model.safetensors"


def edit_tensors(file, change):
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def test_a_truncated_file_is_named(folder):
    file = folder / DENOISER_FILE
    file.write_bytes(file.read_bytes()[:-100])
    assert f"{file} is no complete safetensors file" in complaint(folder)


def test_a_truncated_shard_is_named(folder):
    _, second = shard(folder / DENOISER_FILE, 2)
    second.write_bytes(second.read_bytes()[:5000])
    assert f"{second} is no complete safetensors file" in complaint(folder)


def test_a_file_of_something_else_is_named(folder):
    (folder / DENOISER_FILE).write_bytes(b"<html>404</html>" * 100)
    assert f"{folder / DENOISER_FILE} is no complete safetensors file" in complaint(folder)


def test_a_missing_tensor_is_named_as_the_file_calls_it(folder):
    edit_tensors(folder / DENOISER_FILE, lambda tensors: tensors.pop("blocks.1.attn1.to_out.0.bias"))
    assert f"{folder / DENOISER_FILE}: blocks.1.attn1.to_out.0.bias is missing" in complaint(folder)


def test_a_surplus_tensor_is_named(folder):
    edit_tensors(folder / DENOISER_FILE, lambda tensors: tensors.update({"blocks.2.extra": torch.zeros(1)}))
    assert f"{folder / DENOISER_FILE}: blocks.2.extra belongs to no layer" in complaint(folder)


def test_a_misshapen_tensor_is_named_with_both_shapes(folder):
    edit_tensors(
        folder / "vae/diffusion_pytorch_model.safetensors", lambda t: t.update({"post_quant_conv.bias": torch.zeros(9)})
    )
    assert "post_quant_conv.bias has shape (9,), the configuration says (6,)" in complaint(folder)


def test_quantised_numbers_are_not_taken_for_weights(folder):
    edit_tensors(folder / DENOISER_FILE, lambda t: t.update({"proj_out.weight": t["proj_out.weight"].to(torch.int8)}))
    assert f"{folder / DENOISER_FILE}: proj_out.weight is stored as torch.int8" in complaint(folder)


def test_a_shard_that_the_index_names_but_nobody_downloaded_is_named(folder):
    first, _ = shard(folder / DENOISER_FILE, 2)
    first.unlink()
    assert f"into {first.name}, which is missing" in complaint(folder)


@pytest.mark.parametrize("promise", ["../../secret.safetensors", "/etc/passwd", 7])
def test_an_index_that_points_elsewhere_is_refused(folder, promise):
    shard(folder / DENOISER_FILE, 2)
    index = write_index(folder / DENOISER_FILE, {"proj_out.bias": promise})
    assert f"{index} puts proj_out.bias into {promise!r}, not a file beside it" in complaint(folder)


def test_an_index_that_disagrees_with_its_shards_is_refused(folder):
    first, second = shard(folder / DENOISER_FILE, 2)
    index = folder / f"{DENOISER_FILE}.index.json"
    written = json.loads(index.read_text())["weight_map"]
    moved = next(key for key, name in written.items() if name == first.name)
    write_index(folder / DENOISER_FILE, {**written, moved: second.name})
    assert f"promises {moved} in {second.name}, but it is in {first.name}" in complaint(folder)
    write_index(folder / DENOISER_FILE, {**written, "blocks.9.bias": second.name})
    assert f"promises blocks.9.bias in {second.name}, which lacks it" in complaint(folder)
    write_index(folder / DENOISER_FILE, {key: name for key, name in written.items() if key != moved})
    assert f"holds {moved}, which {index} does not list" in complaint(folder)


def test_an_index_without_a_map_is_refused(folder):
    shard(folder / DENOISER_FILE, 2)
    (folder / f"{DENOISER_FILE}.index.json").write_text("{}")
    assert "has no weight_map" in complaint(folder)


def test_one_file_and_shards_together_are_ambiguous(folder):
    shutil.copy(folder / DENOISER_FILE, folder / "copy")
    shard(folder / DENOISER_FILE, 2)
    shutil.move(folder / "copy", folder / DENOISER_FILE)
    assert "holds both" in complaint(folder)


def test_a_pickle_is_not_loaded_but_explained(original_folder):
    (original_folder / f"{ORIGINAL_VAE}.safetensors").rename(original_folder / f"{ORIGINAL_VAE}.pth")
    assert "Wan2.2_VAE.pth is a pickle" in complaint(original_folder)
    assert "skureel models import" in complaint(original_folder)


def test_networks_of_different_models_do_not_mix(folder):
    path = folder / "vae" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "z_dim": 2, "latents_mean": [0.0, 0.0], "latents_std": [1.0, 1.0]}))
    assert "mixes models: the VAE has latent channels: 2; the denoiser takes: 6" in complaint(folder)


def test_weights_under_another_configuration_are_refused(folder):
    path = folder / "transformer" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_layers": 3}))
    assert "blocks.2" in complaint(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_layers": 2, "ffn_dim": 65}))
    assert "the configuration says (65" in complaint(folder)


def test_files_in_each_others_folders_are_named(folder):
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    vae.rename(folder / "kept")
    (folder / DENOISER_FILE).rename(vae)
    (folder / "kept").rename(folder / DENOISER_FILE)
    said = complaint(folder)
    assert said.startswith(f"{folder / DENOISER_FILE}: ")
    assert "belongs to no layer of this model; is it another model's file?" in said


@pytest.mark.parametrize(
    "part", ["model_index.json", "vae/config.json", "tokenizer/tokenizer.json", "scheduler/scheduler_config.json"]
)
def test_a_file_that_is_not_json_is_named(folder, part):
    (folder / part).write_text('{"truncated": ')
    assert str(folder / part) in complaint(folder)


@pytest.mark.parametrize(
    "part", ["transformer/config.json", DENOISER_FILE, "text_encoder/config.json", "tokenizer/tokenizer.json"]
)
def test_a_missing_file_is_named(folder, part):
    (folder / part).unlink()
    said = complaint(folder)
    assert str((folder / part).parent) in said
    assert (folder / part).name in said


def test_a_missing_size_is_named(folder):
    path = folder / "transformer" / "config.json"
    config = json.loads(path.read_text())
    del config["ffn_dim"]
    path.write_text(json.dumps(config))
    assert f"{path} lacks 'ffn_dim'" in complaint(folder)


def test_a_model_with_two_denoisers_is_refused(folder):
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "transformer_2": ["diffusers", "WanTransformer3DModel"]}))
    assert "two denoisers" in complaint(folder)


def test_a_tokenizer_with_more_tokens_than_the_encoder_is_refused(folder):
    path = folder / "tokenizer" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"] += [[f"extra{number}", -9.0] for number in range(100)]
    path.write_text(json.dumps(tokenizer))
    assert "the text encoder only 64" in complaint(folder)


def test_a_folder_that_is_no_model_says_what_was_expected(tmp_path):
    assert "no model_index.json" in complaint(tmp_path)
    assert "does not exist" in complaint(tmp_path / "nowhere")


# What a start costs


def test_a_start_imports_neither_diffusers_nor_transformers_nor_the_compiler(diffusers_folder):
    """Each takes longer to import than a small model takes to load."""
    code = (
        "import sys; from pathlib import Path; from model_store.wan.engine import Engine;"
        "Engine.load(Path(sys.argv[1]));"
        "heavy = 'diffusers', 'transformers', 'torch._dynamo', 'kafka', 'minio';"
        "print([name for name in heavy if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(diffusers_folder)], check=True, capture_output=True, text=True, timeout=120
    )
    assert ran.stdout.strip() == "[]"
