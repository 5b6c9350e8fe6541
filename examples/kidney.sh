#!/usr/bin/env bash
# Patients as distributions of glomeruli: fit, judge on held-out patients, and look.
# Needs DISTEMBED_DATA. Arguments are overrides, as train.steps=200; RUN names the folder.
set -euo pipefail
cd "$(dirname "$0")/.."

run=${RUN:-runs/kidney}
distembed fit examples/kidney.yaml --out "$run" --force "$@"
distembed report "$run" --color egfr_class
distembed embed "$run" -o "$run/patients.parquet" --force
distembed distance "$run" "$run/patients.parquet" -o "$run/distances.csv" --force
distembed sample "$run" "$run/patients.parquet" --id P000 --n 500 -o "$run/P000.csv" --force
distembed predict "$run" --target age_years --feature sex --permutations 0 --repeats 2 \
    --report "$run/age.html" --save-head "$run/age.safetensors" -o "$run/age.csv" --force
distembed predict "$run" --head "$run/age.safetensors" --id P000 --id P001 -o "$run/two_ages.csv" --force
