"""The guide for new members, walked as it is written, in files of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "extending.md"


def test_the_guide_works(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    use = []
    for block in blocks:
        # a block that begins with the name of a file is that file
        if name := re.match(r"# (\w+\.py)\n", block):
            (tmp_path / name[1]).write_text(block)
        else:
            use.append(block)
    assert {file.name for file in tmp_path.iterdir()} == {"soft_histogram.py", "laplace.py"}
    member = """
from distembed.encoders import ENCODERS
from distembed.encoders.streaming import embed_chunks
from distembed.registry import Member

ENCODERS["soft_histogram"] = Member("soft_histogram:SoftHistogram", "soft shares of atoms")
named = de.GDE(encoder={"name": "soft_histogram", "sharpness": 1.0}, latent=8)
named.fit(sets, steps=1, progress=False)
assert np.allclose(again.embed(sets).z, model.embed(sets).z)
batch = de.SetBatch.from_list(sets[:1])
encoder = model.network.encoder.requires_grad_(False)
assert np.allclose(embed_chunks(encoder, lambda: [batch]), encoder(batch))
"""
    # the member is of the encoder, and the generator comes after it
    (tmp_path / "use.py").write_text("\n".join([*use[:2], member, *use[2:]]))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "use.py"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "SoftHistogram passes" in done.stdout
    assert "Laplace passes" in done.stdout
    assert "(4, 3)" in done.stdout
