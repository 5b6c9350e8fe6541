"""Reading image files and FCS files."""

from pathlib import Path

import numpy as np
from PIL import Image

import distembed as de


def images_without_a_field():
    """Image files whose pattern names no set."""
    Image.fromarray(np.zeros((4, 4), np.uint8)).save("a.png")
    de.read("*.png")


def images_of_two_sizes():
    """Images of different sizes."""
    for well, side in (("a", 4), ("b", 5)):
        Path(well).mkdir()
        Image.fromarray(np.zeros((side, side), np.uint8)).save(f"{well}/0.png")
    de.read("{well}/*.png")


def damaged_image():
    """An image that is cut off."""
    Path("w").mkdir()
    Path("w/0.png").write_bytes(b"\x89PNG\r\n")
    de.read("{well}/*.png")


def channel_missing():
    """A channel that one image lacks."""
    for name in ("A1_dapi", "A1_gfp", "B1_dapi"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(f"{name}.tif")
    de.read("{well}_{channel}.tif")


def box_outside():
    """A box that leaves its image."""
    Image.fromarray(np.zeros((4, 4), np.uint8)).save("t.png")
    Path("boxes.csv").write_text("file,left,top,right,bottom\nt,2,0,6,4\n")
    de.read("t.png", boxes="boxes.csv")


def box_of_several():
    """A box whose file is in several folders."""
    for well in ("A1", "B1"):
        Path(well).mkdir()
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(f"{well}/s1.png")
    Path("boxes.csv").write_text("file,left,top,right,bottom\ns1,0,0,2,2\n")
    de.read("{well}/*.png", boxes="boxes.csv")


def damaged_fcs():
    """A file that is no FCS."""
    Path("a.fcs").write_text("id,CD4\n1,2\n")
    de.read("a.fcs")


def no_spillover():
    """Compensation without a spillover matrix."""
    import flowio

    with Path("a.fcs").open("wb") as file:
        flowio.create_fcs(file, [1.0, 2.0, 3.0, 4.0], ["FSC-A", "CD4"])
    de.read("a.fcs", compensate=True)
