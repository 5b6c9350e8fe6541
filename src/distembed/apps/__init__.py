"""Applications of the paper on real data, and the family `APPS` that names them.

An application is a package that ends in an `Application` (`distembed.apps.application`): what its
data, its model, its judge and its figures are. The files beside the packages are the frame that
all of them share. `digits` is the demo, which has a verb of its own.
"""

from distembed.registry import Member

__all__ = ["APPS"]

_HOME = "distembed.apps"
APPS = {
    "lineage": Member(
        f"{_HOME}.lineage.app:APP",
        "fates of barcoded clones from their early cells",
        extra="anndata",
        atoms=("vectors",),
    ),
    "perturbseq": Member(
        f"{_HOME}.perturbseq.app:APP",
        "cells of a perturbation that was held out",
        extra="anndata",
        atoms=("vectors",),
    ),
    "pooled_screen": Member(
        f"{_HOME}.pooled_screen.app:APP",
        "images of cells at a dose that was held out",
        extra="parquet",
        atoms=("images",),
    ),
    "methylation": Member(
        f"{_HOME}.methylation.app:APP",
        "cancer and tissue from the reads of a sample, and tumour shares of mixtures",
        extra="parquet",
        atoms=("tokens",),
    ),
    "promoters": Member(
        f"{_HOME}.promoters.app:APP",
        "yeast promoters drawn for a level of expression",
        extra="parquet",
        atoms=("tokens",),
    ),
    "viral_proteins": Member(
        f"{_HOME}.viral_proteins.app:APP",
        "date and place of viral proteins, and proteins drawn for a place and time",
        extra="parquet",
        atoms=("tokens",),
    ),
}
