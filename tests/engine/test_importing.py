"""A published checkpoint becomes a model: checked, bit-equal, complete or not there, and no pickle runs."""

import errno
import os
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import nn

from functions.cli.command import main
from model_store import importing
from model_store.importing import import_model
from model_store.manifest import read_manifest, verify
from model_store.sampling import SamplerConfig
from model_store.wan.checkpoint import (
    ORIGINAL_DENOISER,
    ORIGINAL_TEXT_ENCODER,
    ORIGINAL_TOKENIZER,
    ORIGINAL_VAE,
    REPACK_PREFIX,
    Checkpoint,
    CheckpointError,
)
from model_store.wan.engine import Engine
from model_store.wan.pickles import opened_pickle, write_safetensors
from shared.drawing import ClipNumbers
from shared.errors import ConfigurationError, TemporaryError
from tests.engine.folders import shard, write_original
from tests.engine.test_checkpoint import assert_same_bits, networks

VAE_PICKLE = f"{ORIGINAL_VAE}.pth"


def pickled(folder: Path, stem: str, **options: object) -> Path:
    """Replace one safetensors file by the pickle that it was published as."""
    file = folder / f"{stem}.safetensors"
    torch.save(load_file(file), file.with_suffix(".pth"), **options)
    file.unlink()
    return file.with_suffix(".pth")


@pytest.fixture
def published(diffusers_folder, tmp_path):
    """The original layout as it was published: two pickles, the denoiser in shards."""
    folder = write_original(diffusers_folder, tmp_path / "published")
    pickled(folder, ORIGINAL_VAE)
    pickled(folder, ORIGINAL_TEXT_ENCODER)
    shard(folder / f"{ORIGINAL_DENOISER}.safetensors", 3)
    (folder / "README.md").write_text("Not of the model.")
    return folder


@pytest.fixture
def destination(tmp_path):
    return tmp_path / "models" / "wan"


def assert_nothing_is_left(destination):
    assert not destination.exists()
    assert not destination.parent.exists() or not list(destination.parent.iterdir())


# What is made


def test_the_published_layout_becomes_the_same_bits(published, destination, diffusers_folder):
    import_model(published, destination)
    assert Checkpoint.open(destination).layout == "original"
    assert_same_bits(networks(destination), networks(diffusers_folder))


def test_the_model_renders_what_the_checkpoint_renders(published, destination, diffusers_folder):
    import_model(published, destination)
    spec = ClipNumbers(width=32, height=32, frames=5, fps=24, steps=2, guidance=3.0).clip("a red mug", "blue", seed=1)
    clips = [np.stack(list(Engine.load(folder).generate(spec))) for folder in (destination, diffusers_folder)]
    assert np.array_equal(*clips)


def test_the_folder_holds_what_is_read_and_the_manifest_lists_it_all(published, destination):
    manifest = import_model(published, destination, licence="Apache-2.0")
    held = sorted(path.relative_to(destination).as_posix() for path in destination.rglob("*") if path.is_file())
    assert held == sorted(["manifest.json", *(file.path for file in manifest.files)])
    assert {Path(name).suffix for name in held} == {".json", ".safetensors"}
    assert read_manifest(destination) == manifest
    assert (manifest.name, manifest.version, manifest.licence) == ("wan", "1", "Apache-2.0")
    assert manifest.sampler == SamplerConfig(kind="unipc", shift=5.0)
    verify(destination, manifest)


def test_equal_checkpoints_become_equal_models(published, tmp_path):
    revisions = {import_model(published, tmp_path / folder, name="wan").revision for folder in ("one", "other")}
    assert len(revisions) == 1


def test_safetensors_are_linked_and_configurations_copied(published, destination):
    import_model(published, destination)
    first = f"{ORIGINAL_DENOISER}-00001-of-00003.safetensors"
    assert (destination / first).samefile(published / first)
    assert not (destination / "config.json").samefile(published / "config.json")


def test_where_files_cannot_be_linked_they_are_copied(published, destination, diffusers_folder, monkeypatch):
    def other_disk(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    import_model(published, destination)
    shutil.rmtree(published)
    assert_same_bits(networks(destination), networks(diffusers_folder))


def test_links_of_a_download_cache_are_followed(diffusers_folder, tmp_path, destination):
    """The hub's cache holds links to blobs under other names."""
    source = shutil.copytree(diffusers_folder, tmp_path / "snapshot")
    file = source / "vae" / "diffusion_pytorch_model.safetensors"
    blob = file.rename(tmp_path / "0123abcd")
    file.symlink_to(blob)
    import_model(source, destination)
    made = destination / "vae" / "diffusion_pytorch_model.safetensors"
    assert not made.is_symlink()
    assert made.read_bytes() == blob.read_bytes()


def test_the_diffusers_layout_is_checked_and_described(diffusers_folder, destination):
    manifest = import_model(diffusers_folder, destination)
    assert Checkpoint.open(destination).layout == "diffusers"
    assert_same_bits(networks(destination), networks(diffusers_folder))
    verify(destination, manifest)


def test_a_prefixed_repack_is_checked_and_described(published, destination, diffusers_folder):
    shards = sorted(published.glob(f"{ORIGINAL_DENOISER}-*.safetensors"))
    repack = {REPACK_PREFIX + key: value for file in shards for key, value in load_file(file).items()}
    for file in (*shards, published / f"{ORIGINAL_DENOISER}.safetensors.index.json"):
        file.unlink()
    save_file(repack, published / "wan2.2_ti2v_5B.safetensors")
    import_model(published, destination)
    assert_same_bits(networks(destination), networks(diffusers_folder))


def test_a_pickle_of_the_old_format_is_read_as_well(published, destination, diffusers_folder):
    state = torch.load(published / VAE_PICKLE, weights_only=True)  # noqa: TID251 - written by this test
    torch.save(OrderedDict(state), published / VAE_PICKLE, _use_new_zipfile_serialization=False)
    import_model(published, destination)
    assert_same_bits(networks(destination), networks(diffusers_folder))


def test_a_checkpoint_with_a_manifest_keeps_what_it_says(diffusers_folder, tmp_path):
    first = import_model(diffusers_folder, tmp_path / "first", name="mine", version="7", timesteps=(1000, 500))
    second = import_model(tmp_path / "first", tmp_path / "second")
    assert second == first
    assert import_model(tmp_path / "first", tmp_path / "third", version="8").version == "8"


def test_a_distilled_checkpoint_is_given_its_timesteps(diffusers_folder, destination):
    manifest = import_model(diffusers_folder, destination, timesteps=(1000, 750, 500, 250))
    assert manifest.sampler == SamplerConfig(kind="few-step", timesteps=(1000, 750, 500, 250))
    assert manifest.defaults == ClipNumbers(width=640, height=480, frames=73, fps=24, steps=4, guidance=1.0)
    assert Checkpoint.open(destination).sampler.timesteps == (1000, 750, 500, 250)


def test_tensors_that_share_or_skip_memory_come_out_whole(tmp_path):
    base = torch.arange(24.0).view(4, 6)
    tensors = {
        "row": base[1],
        "turned": base.t(),
        "number": torch.tensor(3.5),
        "half": base[:, ::2].to(torch.bfloat16),
        "parameter": nn.Parameter(base),
        "none": torch.empty(0, 3),
    }
    torch.save(tensors, tmp_path / "a.pth")
    with opened_pickle(tmp_path / "a.pth") as opened:
        write_safetensors(tmp_path / "a.safetensors", opened, lambda _: None)
    written = load_file(tmp_path / "a.safetensors")
    assert written.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert written[name].dtype == tensor.dtype
        assert torch.equal(written[name], tensor), name


def test_weights_are_never_held_twice(tmp_path):
    """16 tensors of 8 MiB pass through without adding to the process's own memory."""
    torch.save({str(number): torch.full((2, 1024, 1024), float(number)) for number in range(16)}, tmp_path / "a.pth")
    held = []
    with opened_pickle(tmp_path / "a.pth") as opened:
        before = anonymous_mib()
        write_safetensors(tmp_path / "a.safetensors", opened, lambda _: held.append(anonymous_mib() - before))
    assert len(held) == 16
    assert max(held) < 24


def anonymous_mib() -> float:
    """Memory of this process that no file stands for."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024


def test_progress_goes_from_file_to_file_to_the_end(published, destination):
    told = []
    import_model(published, destination, on_bytes=lambda done, total, file: told.append((done, total, file)))
    shares = [done / total for done, total, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {VAE_PICKLE, f"{ORIGINAL_VAE}.safetensors"} <= {file for _, _, file in told}


# What is refused, and how


def complaint(source, destination):
    with pytest.raises(CheckpointError) as caught:
        import_model(source, destination)
    assert_nothing_is_left(destination)
    return str(caught.value)


def change_pickle(file, change):
    state = torch.load(file, weights_only=True)  # noqa: TID251 - written by this test
    change(state)
    torch.save(state, file)


def test_a_tensor_that_the_pickle_lacks_is_named(published, destination):
    change_pickle(published / VAE_PICKLE, lambda state: state.pop("conv2.bias"))
    assert f"{published / VAE_PICKLE}: conv2.bias is missing" in complaint(published, destination)


def test_a_tensor_too_many_in_the_pickle_is_named(published, destination):
    change_pickle(published / VAE_PICKLE, lambda state: state.update(extra=torch.zeros(1)))
    assert f"{published / VAE_PICKLE}: extra belongs to no layer" in complaint(published, destination)


def test_a_misshapen_tensor_in_the_pickle_is_named(published, destination):
    change_pickle(published / VAE_PICKLE, lambda state: state.update({"conv2.bias": torch.zeros(7)}))
    said = complaint(published, destination)
    assert f"{published / VAE_PICKLE}: conv2.bias has shape (7,), the configuration says (6,)" in said


def test_a_tensor_of_whole_numbers_is_named(published, destination):
    change_pickle(published / VAE_PICKLE, lambda state: state.update({"conv2.bias": torch.zeros(6, dtype=torch.int8)}))
    assert f"{published / VAE_PICKLE}: conv2.bias is stored as torch.int8" in complaint(published, destination)


def test_a_missing_pickle_or_shard_or_tokenizer_is_named(published, destination):
    for name in (f"{ORIGINAL_TEXT_ENCODER}.pth", f"{ORIGINAL_DENOISER}-00002-of-00003.safetensors", ORIGINAL_TOKENIZER):
        kept = (published / name).rename(published / "kept")
        assert Path(name).stem in complaint(published, destination)
        kept.rename(published / name)


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (os.mkdir, (str(self.file),))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_runs_nothing(published, destination, tmp_path, zipped):
    trap = tmp_path / "sprung"
    state = {"conv2.bias": torch.zeros(6), "attack": Malicious(trap)}
    torch.save(state, published / VAE_PICKLE, _use_new_zipfile_serialization=zipped)
    said = complaint(published, destination)
    assert f"{published / VAE_PICKLE} holds posix.mkdir, and only tensors are unpickled" in said
    assert "weights_only" not in said
    assert not trap.exists()
    torch.load(published / VAE_PICKLE, weights_only=False)  # noqa: TID251 - the proof that this pickle bites
    assert trap.exists()


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"state_dict": {"conv2.bias": torch.zeros(6)}}, "'state_dict' is no tensor of plain numbers but a dict"),
        ({"conv2.bias": 3.0}, "'conv2.bias' is no tensor of plain numbers but a float"),
        ({"conv2.bias": torch.zeros(6).to_sparse()}, "'conv2.bias' is no tensor of plain numbers"),
        ({"conv2.bias": torch.zeros(6, device="meta")}, "'conv2.bias' is no tensor of plain numbers"),
        ({3: torch.zeros(6)}, "3 is no tensor of plain numbers"),
        ([torch.zeros(6)], "holds a list, not named tensors"),
    ],
    ids=["nested", "a number", "sparse", "meta", "a number for a name", "a list"],
)
def test_a_pickle_of_anything_but_named_tensors_is_refused(published, destination, held, said):
    torch.save(held, published / VAE_PICKLE)
    assert said in complaint(published, destination)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>" * 100, b"PK\x03\x04" + b"\0" * 500])
def test_a_file_that_is_no_pickle_is_named(published, destination, content):
    (published / VAE_PICKLE).write_bytes(content)
    assert f"{published / VAE_PICKLE} is no complete file of tensors" in complaint(published, destination)


def test_a_truncated_pickle_is_named(published, destination):
    file = published / VAE_PICKLE
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 3 // 4])
    assert f"{file} is no complete file of tensors" in complaint(published, destination)


def test_a_checkpoint_that_differs_from_its_own_manifest_is_refused(diffusers_folder, tmp_path):
    import_model(diffusers_folder, tmp_path / "first")
    path = tmp_path / "first" / "model_index.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(ConfigurationError, match=r"model first: .*model_index.json has"):
        import_model(tmp_path / "first", tmp_path / "second")


def test_a_folder_that_is_taken_is_left_alone(diffusers_folder, destination):
    destination.mkdir(parents=True)
    (destination / "mine").write_text("kept")
    with pytest.raises(ConfigurationError, match="exists already"):
        import_model(diffusers_folder, destination)
    assert (destination / "mine").read_text() == "kept"


@pytest.mark.parametrize(
    ("wanted", "said"),
    [({"name": "../up"}, "name: String should match"), ({"timesteps": (500, 1000)}, "must fall")],
)
def test_what_makes_no_manifest_is_refused_before_any_work(diffusers_folder, destination, wanted, said):
    with pytest.raises(ConfigurationError, match=said):
        import_model(diffusers_folder, destination, **wanted)
    assert_nothing_is_left(destination)


# Half an import is no model


def test_a_full_disk_leaves_nothing(published, destination, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(importing, "write_safetensors", full)
    with pytest.raises(TemporaryError, match="No space left on device; make room and import again"):
        import_model(published, destination)
    assert_nothing_is_left(destination)


@pytest.mark.parametrize("after", [1, 5, 40])
def test_an_interrupted_import_leaves_nothing(published, destination, after):
    told = []

    def interrupt(*_):
        told.append(1)
        if len(told) == after:
            assert not destination.exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_model(published, destination, on_bytes=interrupt)
    assert_nothing_is_left(destination)
    import_model(published, destination)


def test_two_imports_of_one_model_do_not_mix(published, destination):
    """The second finds the first at work; so does one that comes after an import was killed."""

    tried = set()

    def import_again(_done, _total, file):
        if file in tried:
            return
        tried.add(file)
        with pytest.raises(ConfigurationError, match=r"wan\.importing exists: another import is writing it"):
            import_model(published, destination)

    import_model(published, destination, on_bytes=import_again)
    assert VAE_PICKLE in tried
    verify(destination, read_manifest(destination))


# The command


def test_the_command_imports_and_says_what_it_made(published, destination):
    arguments = ["models", "import", str(published), str(destination), "--name", "wan2.2-ti2v-5b", "--licence", "mine"]
    result = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    manifest = read_manifest(destination)
    assert f"wan2.2-ti2v-5b {manifest.revision[:12]}" in result.stdout
    assert manifest.licence == "mine"
    assert "100/100" in result.stderr


def test_the_command_says_what_is_wrong_in_one_line(published, destination):
    change_pickle(published / VAE_PICKLE, lambda state: state.pop("conv2.bias"))
    result = CliRunner().invoke(main, ["models", "import", str(published), str(destination)], catch_exceptions=False)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"skureel: {published / VAE_PICKLE}: conv2.bias is missing")
    result = CliRunner().invoke(main, ["models", "import", str(published), str(destination), "--timesteps", "1,x"])
    assert result.exit_code == 2
    assert "are no timesteps" in result.stderr


def test_listing_commands_does_not_import_torch():
    """What every other command would wait for."""
    code = "import sys; from functions.cli.command import main; main(['models', '--help'], standalone_mode=False); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == 0
