#!/usr/bin/env bash
# From a CSV of your own to a report; the table here is made up. Needs no config file.
# Arguments are overrides, as train.steps=200; RUN names the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

run=${RUN:-runs/own_table}
mkdir -p "$run.data"
python3 - "$run.data/cells.csv" <<'PYTHON'
import csv
import random
import sys

random.seed(0)
with open(sys.argv[1], "w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["patient", "diagnosis", "size", "stain"])
    for number in range(60):
        ill = number % 2
        level = random.gauss(0, 1)
        for _ in range(random.randint(40, 120)):
            bright = ill and random.random() < 0.3
            stain = level + random.gauss(4 if bright else 0, 1)
            diagnosis = "ill" if ill else "well"
            table.writerow([f"p{number:02d}", diagnosis, random.gauss(10, 2), stain])
PYTHON

distembed fit data.path="$run.data/cells.csv" data.by=patient 'data.columns=[size, stain]' \
  split.stratify=diagnosis model.latent=8 train.steps=1000 --out "$run" --force "$@"
distembed report "$run" --color diagnosis
distembed interpolate "$run" --from p00 --to p01 --n 200 -o "$run/path.csv" --force
