"""What a model is made of: refused before anything is read."""

import pytest

from distembed.data.transforms import TRANSFORMS
from distembed.model.spec import Spec


@pytest.mark.parametrize(
    ("transform", "close"),
    [("lognorm", "log1p"), ("pca", "pca"), ("standardize", "standardise"), ("x", "standardise")],
)
def test_a_word_is_no_transform(transform, close):
    with pytest.raises(ValueError, match=f"a list of transforms, such as .'{close}'.") as caught:
        Spec("deepsets", "flow", 4, transform=transform)
    assert all(name in str(caught.value).partition("The transforms are")[2] for name in TRANSFORMS)


def test_no_dimension():
    with pytest.raises(ValueError, match="latent = 0"):
        Spec("deepsets", "flow", 0)
