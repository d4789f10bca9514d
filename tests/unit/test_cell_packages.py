"""Cells of other packages: found by entry point, and refused by one sentence with the remedy."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from stream_rnn import train
from stream_rnn.cli import main
from stream_rnn.errors import BundleError, CellError, ConfigError, Reaction
from stream_rnn.model.bundle import JSON_NAME, load_bundle, save_bundle
from stream_rnn.model.cells import cell_of
from stream_rnn.model.package_cells.find import cell_names
from stream_rnn.model.package_cells.spec import PackageCell
from stream_rnn.notebook.example import machines
from stream_rnn.notebook.spec import propose_spec
from stream_rnn.testing import check_cell
from tests.pinned_cells import drawn_model

SOURCE = Path(__file__).parents[1] / "toy_cells" / "acme_cells.py"
BREAKS = """

class Counts(Mean):
    def __init__(self, inputs, config):
        super().__init__(inputs, config)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x, h):
        self.calls += 1
        return super().forward(x, h)


class HasNan(Mean):
    class Config(BaseModel):
        hidden: int = 16
        limit: float = float("nan")


class HasAPath(Mean):
    class Config(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        hidden: int = 16
        file: object = Field(default_factory=object)


class HasAnAlias(Mean):
    class Config(BaseModel):
        hidden: int = Field(16, alias="units")


class ReadsLess(Mean):
    class Config(BaseModel):
        hidden: int = 16
        sizes: tuple[int, ...] = Field((1, 2), exclude=True)


class HasNoSizes(Mean):
    class Config(BaseModel):
        rate: float = 0.5


class Small(Mean):
    class Config(BaseModel):
        hidden: int = Field(16, le=32)
"""


def install(
    directory, *, name="acme-cells", version="1.0.0", entry="acme_cells:Mean", cell="acme_mean"
):
    """Put a package with one cell into a directory, as an installer does."""
    directory.mkdir(exist_ok=True)
    (directory / "acme_cells.py").write_text(SOURCE.read_text() + BREAKS)
    for old in directory.glob(f"{name.replace('-', '_')}-*.dist-info"):
        shutil.rmtree(old)
    info = directory / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[stream_rnn.cells]\n{cell} = {entry}\n")
    return directory


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the toy package for one test."""
    directory = install(tmp_path / "site")
    monkeypatch.syspath_prepend(directory)
    yield directory
    sys.modules.pop("acme_cells", None)


@pytest.fixture
def bundle(installed, tmp_path):  # noqa: ARG001  # the package must be there
    """Write a bundle of its cell."""
    save_bundle(drawn_model(PackageCell.of("acme_mean", {"hidden": 16})), tmp_path / "bundle")
    return tmp_path / "bundle"


def refusal(bundle):
    """Return the sentence with which a bundle is refused."""
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle)
    assert caught.value.reaction is Reaction.STOP
    assert str(caught.value).startswith(f"{bundle / JSON_NAME}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_bundle_names_the_distribution_and_its_version(bundle):
    """Beside kind and config; and loads with the same bits."""
    content = json.loads((bundle / JSON_NAME).read_text())["cell"]
    assert content == {
        "kind": "acme_mean",
        "config": {"hidden": 16},
        "distribution": "acme-cells",
        "version": "1.0.0",
    }
    model = load_bundle(bundle)
    x, h = torch.ones(3, model.feature_count), model.initial_hidden(3)
    drawn = drawn_model(PackageCell.of("acme_mean", {"hidden": 16}))
    assert torch.equal(model.step(x, h)[0], drawn.step(x, h)[0])
    assert model.hidden_shape == (16,)


def test_a_bundle_whose_cell_is_not_installed_is_refused(bundle, installed, capsys):
    """The sentence names the package; the status of a command is 3."""
    for info in installed.glob("*.dist-info"):
        shutil.rmtree(info)
    assert refusal(bundle).endswith(
        "no installed package has a cell acme_mean: pip install acme-cells==1.0.0"
    )
    with pytest.raises(SystemExit) as ended:
        main(["bundle", "show", str(bundle)])
    assert ended.value.code == 3
    assert "pip install acme-cells==1.0.0" in capsys.readouterr().err


def test_a_bundle_of_another_version_is_refused_until_it_names_it(bundle, installed):
    """Then it has the same fingerprint, and another fold."""
    fingerprint = load_bundle(bundle).fingerprint
    install(installed, version="1.1.0")
    assert "is of acme-cells 1.0.0, but that of acme-cells 1.1.0 is installed" in refusal(bundle)
    path = bundle / JSON_NAME
    path.write_text(path.read_text().replace('"1.0.0"', '"1.1.0"'))
    model = load_bundle(bundle)
    assert (model.fingerprint, model.cell.package) == (fingerprint, ("acme-cells", "1.1.0"))


def test_a_bundle_whose_cell_breaks_the_contract_is_refused(tmp_path, installed):
    """By the name of the check; and training refuses it before it begins."""
    install(installed, entry="acme_cells:Counts")
    save_bundle(drawn_model(PackageCell.of("acme_mean", {"hidden": 16})), tmp_path / "bundle")
    assert "acme_mean of acme-cells 1.0.0 fails the check no_state_outside_h" in refusal(
        tmp_path / "bundle"
    )
    frame = machines(3, 8)
    with pytest.raises(CellError, match="fails the check no_state_outside_h"):
        train(frame, propose_spec(frame, target="failed"), tmp_path / "b", cell="acme_mean")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"entry": "acme_cells:SOURCE"}, "cannot be imported: AttributeError"),
        ({"entry": "no_such_module:Mean"}, "cannot be imported: ModuleNotFoundError"),
        ({"entry": "json:JSONDecoder"}, "the entry point acme_mean is no subclass of"),
        ({"entry": "torch.nn:Linear"}, "the cell acme_mean has no pydantic model Config"),
    ],
)
def test_an_entry_point_that_is_no_cell_is_refused(bundle, installed, changes, says):
    """Whatever its import raises."""
    install(installed, **changes)
    assert says in refusal(bundle)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("HasNan", "a bundle cannot keep its option limit"),
        ("HasAPath", "a bundle cannot keep its options: PydanticSerializationError"),
        ("ReadsLess", "a bundle cannot keep its option sizes"),
        ("HasAnAlias", "does not read its option hidden under this name"),
    ],
)
def test_a_config_that_a_bundle_cannot_keep_is_refused(installed, entry, says):
    """Before training, not after it."""
    install(installed, entry=f"acme_cells:{entry}")
    with pytest.raises(CellError, match=says) as caught:
        PackageCell.of("acme_mean", {"hidden": 24})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", ["hidden", "layers"])
def test_a_size_that_a_cell_does_not_read_is_refused(installed, size):
    """Nothing that is given is ignored."""
    install(installed, entry="acme_cells:HasNoSizes")
    sizes = {"hidden": 64, "layers": 1}
    assert cell_of("acme_mean", **sizes, options={}).config == {"rate": 0.5}
    with pytest.raises(ConfigError, match=f"option {size}: the cell acme_mean has no such option"):
        cell_of("acme_mean", **sizes | {size: 2}, options={})


def test_the_kit_takes_the_defaults_of_a_config(installed):
    """Not those of ``train``, which the config may refuse."""
    install(installed, entry="acme_cells:Small")
    assert check_cell("acme_mean").state_bytes == 16 + 4 * 16


def test_two_packages_with_one_name_are_refused(bundle, installed):
    """None of them is chosen by chance."""
    install(installed, name="other-cells", version="2")
    assert "acme-cells 1.0.0 and other-cells 2 both have a cell acme_mean" in refusal(bundle)


def test_no_package_takes_over_a_name_of_this_one(installed):
    """Neither of torch's cells nor of the classes."""
    install(installed, cell="mingru")
    assert "acme_mean" not in cell_names()
    assert PackageCell.of("mingru", {}).package is None
    install(installed, cell="none")
    with pytest.raises(CellError, match="no installed package has a cell none"):
        PackageCell.of("none", {})


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ({"distribution": "acme-cells; rm"}, "cell.distribution: String should match"),
        ({"config": {"hidden": 17}}, "option hidden of the cell acme_mean"),
        ({"config": {"wide": 1}}, "acme_mean has no option wide: its options are hidden"),
        ({"kind": "os.system"}, "cell.kind: String should match"),
        ({"kind": "mingru"}, "is of acme-cells 1.0.0, but that of stream-rnn itself is installed"),
    ],
)
def test_a_changed_bundle_json_is_refused(bundle, place, says):
    """A bundle names no module, and nothing that a shell would read."""
    path = bundle / JSON_NAME
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "cell": {**content["cell"], **place}}))
    with pytest.raises(BundleError, match=says):
        load_bundle(bundle)
