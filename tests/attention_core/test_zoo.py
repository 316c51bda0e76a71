"""Released models: found by name, folder or file, loaded whole or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import nn

from attention_core import zoo
from attention_core.files import SaveError
from attention_core.training import save_weights
from attention_core.zoo import ModelError, SavedModel, find_model, release, zoo_names

CONFIG = {"kind": "toy", "width": 4, "rates": [0.1, 1e-5]}


def network(width: int = 4) -> nn.Module:
    """Two layers with weights of all sizes, and a buffer of whole numbers."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))
    return module.train(False)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a model in it."""
    folder = tmp_path / "runs" / "toy"
    save_weights(network(), folder / "model.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


@pytest.fixture
def zoo_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of the test's own, empty."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setattr(zoo, "ZOO", folder)
    return folder


def fresh() -> nn.Module:
    module = network()
    for parameter in module.parameters():
        nn.init.constant_(parameter, 7.0)
    return module


def test_weights_come_back_to_the_bit(run: Path) -> None:
    module = fresh()
    find_model(str(run)).load_into(module)
    right = network().state_dict()
    assert all(torch.equal(value, right[name]) for name, value in module.state_dict().items())


def test_released_model_is_half_the_size_and_rounds_to_half_precision(run: Path, zoo_folder: Path) -> None:
    place = release(find_model(str(run)), "toy-small")
    assert place == zoo_folder / "toy-small"
    assert zoo_names() == ["toy-small"]

    stored = load_file(place / "model.safetensors")
    assert stored["0.weight"].dtype == torch.float16
    found = find_model("toy-small")
    assert (found.name, found.config) == ("toy-small", CONFIG)
    module = fresh()
    found.load_into(module)
    for name, value in network().state_dict().items():
        loaded = module.state_dict()[name]
        assert loaded.dtype == value.dtype
        assert torch.equal(loaded, value.half().to(value.dtype))


def test_release_again_leaves_the_card_alone(run: Path, zoo_folder: Path) -> None:
    place = release(find_model(str(run)), "toy-small")
    (place / "card.md").write_text("# A toy")
    assert release(find_model(str(run)), "toy-small") == place
    assert (place / "card.md").read_text() == "# A toy"


def test_release_keeps_whole_numbers_whole(run: Path, zoo_folder: Path) -> None:
    module = network()
    module.get_buffer("1.num_batches_tracked").fill_(100_001)  # beyond half precision's range
    save_weights(module, run / "model.safetensors")
    release(find_model(str(run)), "counted")
    loaded = fresh()
    find_model("counted").load_into(loaded)
    assert loaded.get_buffer("1.num_batches_tracked").item() == 100_001


def test_model_is_found_by_folder_by_file_and_from_within(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    for reference in (str(run), str(run / "model.safetensors"), "model.safetensors", "."):
        found = find_model(reference)
        assert found.name == "toy"
        assert found.weights.samefile(run / "model.safetensors")
        assert found.config == CONFIG


def test_unknown_model_says_where_was_looked(run: Path, zoo_folder: Path) -> None:
    release(find_model(str(run)), "toy-small")
    with pytest.raises(ModelError, match=r"no model 'toy-smal'.*\(toy-small\)"):
        find_model("toy-smal")


def test_folder_without_weights_says_so(run: Path) -> None:
    (run / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"toy has no model\.safetensors"):
        find_model(str(run))


def test_folder_without_configuration_says_so(run: Path) -> None:
    (run / "config.yaml").unlink()
    with pytest.raises(ModelError, match=r"toy has no config\.yaml"):
        find_model(str(run / "model.safetensors"))


@pytest.mark.parametrize("content", ["", "- a\n- list\n", "just words"])
def test_configuration_that_is_no_mapping_is_refused(run: Path, content: str) -> None:
    (run / "config.yaml").write_text(content)
    with pytest.raises(ModelError, match=r"config\.yaml is not a mapping"):
        find_model(str(run))


def test_another_models_weights_are_refused_with_the_shapes(run: Path) -> None:
    saved = find_model(str(run))
    module = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(4, 2, bias=False))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(ModelError, match="holds another model than toy's configuration") as failure:
        saved.load_into(module)
    lines = str(failure.value).splitlines()[1:]
    assert "  0.weight: (4, 3) in the file, (5, 3) in the model" in lines
    assert "  2.bias: (2,) in the file, absent in the model" in lines
    assert not any("2.weight" in line for line in lines)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_missing_tensors_are_named(run: Path) -> None:
    module = nn.Sequential(*network(), nn.Linear(2, 2, bias=False))
    with pytest.raises(ModelError, match=r"3\.weight: absent in the file, \(2, 2\) in the model"):
        find_model(str(run)).load_into(module)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_cut_weights_are_refused_by_name(run: Path, length: int) -> None:
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"model\.safetensors is not a readable safetensors file.*cut or altered"):
        find_model(str(run)).load_into(network())


def test_full_disk_keeps_the_released_model(
    run: Path, zoo_folder: Path, no_room_beyond: Callable[[int], AbstractContextManager[None]]
) -> None:
    place = release(find_model(str(run)), "toy-small")
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    large = run.parent / "large"
    save_weights(nn.Linear(200, 200), large / "model.safetensors")
    with no_room_beyond(10_000), pytest.raises(SaveError, match=r"toy-small/model\.safetensors could not be saved"):
        release(SavedModel("large", large / "model.safetensors", CONFIG), "toy-small")
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


@pytest.mark.parametrize("name", ["", "../outside", "Ram", "a/b", "1st"])
def test_a_name_that_is_none_for_a_folder_is_refused(run: Path, zoo_folder: Path, name: str) -> None:
    with pytest.raises(ModelError, match="is no name for a released model"):
        release(find_model(str(run)), name)
    assert list(zoo_folder.iterdir()) == []


def test_a_model_does_not_take_the_place_of_one_of_another_kind(run: Path, zoo_folder: Path) -> None:
    release(find_model(str(run)), "toy-small")
    (run / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "kind": "other"}))
    with pytest.raises(ModelError, match="toy-small is a released model of kind 'toy', and toy of kind 'other'"):
        release(find_model(str(run)), "toy-small")
    assert find_model("toy-small").config == CONFIG
