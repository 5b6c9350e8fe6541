"""A model that an older version of the package stored is read, and gives what it gave there.

Each folder was written by the last version with its format, the parent of the commit that
introduced the next one. The numbers below are what that version computed.
"""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

import distembed as de
from distembed.model.storage import FORMAT, READABLE

FOLDERS = Path(__file__).parent / "stored"
FOLDER = FOLDERS / "format4"
SETS = list((np.arange(12.0) / 4).reshape(2, 3, 2))
Z = {
    4: [
        [0.0082358717918396, -0.05218789353966713, -0.20830902457237244],
        [0.011666640639305115, -0.03106415644288063, -0.2750849723815918],
    ],
    5: [
        [0.004704836755990982, -0.04320584610104561, -0.21231673657894135],
        [0.010907568037509918, -0.031463682651519775, -0.285285621881485],
    ],
}
SAMPLE = {
    4: [[0.00019898731261491776, 0.2693575322628021], [-0.04225623235106468, 1.0096206665039062]],
    5: [[-0.05822952091693878, 0.17532646656036377], [-0.08748392760753632, 0.7752528190612793]],
}


@pytest.mark.parametrize("version", sorted(READABLE))
def test_it_embeds_and_draws_as_it_did(version):
    model = de.load(FOLDERS / f"format{version}")
    np.testing.assert_allclose(model.embed(SETS).z, Z[version], rtol=1e-5, atol=1e-6)
    x = model.sample(np.array(Z[version][0], dtype="float32"), 2, rng=0)
    np.testing.assert_allclose(x, SAMPLE[version], rtol=1e-4, atol=1e-5)


def test_what_it_lacks_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        model = de.load(FOLDER)
    assert "format 4" in caplog.text
    assert READABLE[4] in caplog.text
    assert model.embed(SETS).outside is None


def test_where_nothing_is_lacking_nothing_is_said(caplog):
    with caplog.at_level(logging.WARNING):
        de.load(FOLDERS / "format5")
    assert not caplog.text


def test_saved_again_it_has_the_format_of_today(tmp_path, caplog):
    again = de.load(FOLDER).save(tmp_path / "m")
    assert json.loads((again / "config.json").read_text())["format"] == FORMAT
    caplog.clear()
    assert (de.load(again).embed(SETS).z == de.load(FOLDER).embed(SETS).z).all()


@pytest.mark.parametrize("version", sorted(READABLE))
def test_there_is_a_stored_model_of_every_readable_format(version):
    config = json.loads((FOLDERS / f"format{version}" / "config.json").read_text())
    assert config["format"] == version


def test_damage_is_refused_in_an_older_format_too(tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(FOLDER, folder)
    config = json.loads((folder / "config.json").read_text())
    config["latent"] = 4
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="was edited"):
        de.load(folder)
