#!/usr/bin/env bash
# Guides as distributions of cells: fit, report, and one observation a guide as AnnData.
# Needs DISTEMBED_DATA. Arguments are overrides, as train.steps=200; RUN names the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

run=${RUN:-runs/perturbseq}
distembed fit examples/perturbseq.yaml --out "$run" --force "$@"
distembed report "$run" --color target
distembed embed "$run" -o "$run/guides.h5ad" --force
# the same cells, one set for each target and replicate
distembed embed "$run" --by target --by replicate --min-size 5 -o "$run/targets.csv" --force
