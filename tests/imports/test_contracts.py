"""The linter's contracts hold for every module but the homes they name, also for modules that are yet to be written."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.settings import child_environment

ROOT = Path(__file__).parents[2]
PACKAGES = ("functions", "shared", "model_store")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The sources by themselves, to be broken."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            tmp_path / package,
            ignore=lambda folder, names: [
                name for name in names if not name.endswith(".py") and not (Path(folder) / name).is_dir()
            ],
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = child_environment({"PYTHONPATH": str(tree)})
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_client_is_imported_in_its_home_alone(tree: Path) -> None:
    files = [path for path in tree.rglob("*.py") if path.name != "__init__.py"]
    for file in [*files, tree / "shared" / "new.py"]:
        with file.open("a", encoding="utf-8") as source:
            source.write("\nimport kafka\nimport minio\n")
    told = lint(tree)
    assert told.returncode == 1
    names = {".".join(file.relative_to(tree).with_suffix("").parts) for file in files} | {"shared.new"}
    assert importers_of("kafka", told.stdout) == {name for name in names if not name.startswith("shared.kafka.")}
    assert importers_of("minio", told.stdout) == {name for name in names if not name.startswith("shared.objects.")}


def importers_of(client: str, told: str) -> set[str]:
    return set(re.findall(rf"^ *-? *([a-z0-9_.]+) -> {client} \(l", told, re.MULTILINE))


def test_derive_prompt_imports_torch_for_a_local_reader_alone(tree: Path) -> None:
    assert lint(tree).returncode == 0
    with (tree / "functions" / "derive_prompt" / "reader" / "endpoint.py").open("a", encoding="utf-8") as source:
        source.write("\nimport torch\n")
    told = lint(tree)
    assert told.returncode == 1
    assert importers_of("torch", told.stdout) == {"functions.derive_prompt.reader.endpoint"}
