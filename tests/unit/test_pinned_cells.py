"""What existing bundles rely on: each kind of cell keeps its bytes, its fingerprint, fold and bits."""

import re

import pytest

from stream_rnn.fold.fold_id import fold_id, fold_id_of
from stream_rnn.model.bundle import load_bundle, with_fingerprint
from stream_rnn.model.cells import CellSpec
from stream_rnn.model.network import pin_numerics
from stream_rnn.model.package_cells.spec import PackageCell
from stream_rnn.settings import Settings
from tests.house_rules import modules
from tests.pinned_cells import bits_of, drawn_model, files_of

SETTINGS = Settings.build(app="a", source="s", predictions="p")
NUMERICS = "82868407"  # of the process that computed the bits below
# Those of torch's cells were computed before there were other cells.
TORCH = [
    (("elman", 8, 1), "29fbec921abfc0be", "47f1455fdaea8783", "375b09a0e932", "2c88f4818bae164b"),
    (("gru", 64, 1), "531c41ad3f5ea570", "5d24d3422bb8a47f", "df51a1a8dc35", "bd5cea6924171f46"),
    (("gru", 50, 2), "24ac1552d5620d38", "0c767df6ecb4b24a", "d0e2f6d1246c", "fdfaf0cbdb8d0551"),
    (("lstm", 24, 2), "46c9a097ad25f794", "e69461c0948f03eb", "3e1365f9c6be", "3bd55ccdf71914e5"),
    (("none", 16, 2), "0a7e2dc41b9d818d", "50767749c7a0b867", "79f052a3c814", "9558a87df056d5f8"),
]
CLASSES = [
    (("mingru", 24, 2), "957d7db042d33c8b", "e302df16febc8687", "ffb7551131e6", "e311a4ae8089af68"),
    (("rg_lru", 24, 2), "66000eef29fd1901", "787afd076e8c3d00", "0fc723a2ace1", "fc4cb40d43566ac8"),
    (("decay_gru", 24, 0), "76abad7513188fcf", "12f88bd6fedc6d99", "83384d9daafa", "627e1c4b2615baf4"),
]  # fmt: skip


def cell(kind, hidden, layers):
    """Return a cell of torch, or a class; 0 layers stand for a class that has no such option."""
    if (kind, hidden, layers) in [pinned[0] for pinned in TORCH]:
        return CellSpec(kind=kind, hidden=hidden, layers=layers)
    return PackageCell.of(kind, {"hidden": hidden, **({"layers": layers} if layers else {})})


@pytest.mark.parametrize(("of", "fingerprint", "files", "fold", "bits"), TORCH + CLASSES)
def test_a_cell_keeps_its_bundle_its_fold_and_its_bits(
    of, fingerprint, files, fold, bits, tmp_path
):
    """A worker continues its fold after an upgrade of this package."""
    pin_numerics()
    model = with_fingerprint(drawn_model(cell(*of)))
    assert model.fingerprint[:16] == fingerprint
    assert files_of(model, tmp_path) == files
    assert fold_id_of(model, SETTINGS) == fold_id(model.fingerprint, SETTINGS) == fold
    loaded = load_bundle(tmp_path)
    assert (loaded.cell, loaded.fingerprint) == (model.cell, model.fingerprint)
    assert bits_of(loaded) == bits_of(model)
    if drawn_model(CellSpec()).numerics() != NUMERICS:
        pytest.skip("the bits are pinned for another build of torch or type of CPU")
    assert bits_of(model) == bits


def test_the_version_of_a_cells_package_is_part_of_the_fold_only():
    """The fingerprint covers the kind and the config; another version may compute other bits."""
    drawn = drawn_model(PackageCell.of("mingru", {}))
    ids, fingerprints = set(), set()
    for version in ("", "1.0", "1.1"):
        place = {"distribution": "acme", "version": version} if version else {}
        drawn.cell = drawn.cell.model_copy(update=place)
        model = with_fingerprint(drawn)
        fingerprints.add(model.fingerprint)
        ids.add(fold_id_of(model, SETTINGS))
    assert (len(fingerprints), len(ids)) == (1, 3)
    with_other_config = drawn_model(PackageCell.of("mingru", {"hidden": 32}))
    assert with_fingerprint(with_other_config).fingerprint not in fingerprints


def test_every_part_of_the_package_takes_the_fold_of_a_model():
    """So that nothing can forget the version of the cell's package."""
    callers = [
        path.name
        for path in modules()
        if re.search(r"(?<![\w.])fold_id\((?!self)", path.read_text(encoding="utf-8"))
    ]
    assert callers == ["fold_id.py"]


def test_numerics_also_cover_what_a_class_computes():
    """Those of torch's cells are the same in every model."""
    one, other = (drawn_model(PackageCell.of(kind, {})) for kind in ("mingru", "rg_lru"))
    assert len({one.numerics(), other.numerics(), drawn_model(CellSpec()).numerics()}) == 3
    assert one.numerics() == drawn_model(PackageCell.of("mingru", {})).numerics()
