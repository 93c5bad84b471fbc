# Snakemake runs this in the new environment of bench.yaml, from the repository's root: the YAML cannot say --no-deps.
set -eu
python -m pip install --no-deps -r workflow/envs/without-deps.txt
