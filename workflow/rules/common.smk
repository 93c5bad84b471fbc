"""What every rule shares: the suite, what its wildcards may be, one GPU at a time, and errors that can be read.

A job re-runs when `params.code` or `params.settings` differ from those recorded with its outputs, or when one of its
inputs holds other bytes. `params.args` is a function of `input` as well as `wildcards`, and so for Snakemake a derived
value that never re-runs anything: neither the suite's file name nor a --use for another method is part of a result.
"""

import functools
import gc
import inspect

from bench import dag as dags, pretrained
from bench.errors import heard

dag = heard(lambda: dags.load(config))

# A DAG is millions of objects that live until the end: looking for garbage among them takes a fifth of a dry run.
gc.freeze()
gc.set_threshold(50_000, 20, 100)

# Snakemake asks each input function for its signature again for every job: another tenth.
inspect.signature = functools.cache(inspect.signature)

cell = dag.cell
drawn = dag.drawn
untrained = dag.untrained


wildcard_constraints:
    **dag.constraints(),


# A limit that Snakemake knows makes `resources: gpu=1` count; without one it is ignored and cells share the GPU.
if "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", dag.gpus)


onstart:
    # so that an edit while the run is on is refused by the jobs that it concerns
    dags.plan(workflow.dag.needrun_jobs())


# `logged LOG COMMAND`: output goes to the log, and its end to the terminal where the command fails. Not written into
# the rules because an edit of a rule's shell command re-runs all of its jobs.
shell.prefix('logged() {{ "${{@:2}}" > "$1" 2>&1 || {{ local code=$?; tail -n 20 "$1" >&2; return $code; }}; }}; ')
