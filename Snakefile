"""The whole benchmark: `snakemake --cores 2` makes reports/table1.md and the learning curves of the default suite.

`snakemake --cores 2 -- della_all`: every table and figure of the DELLA paper; `trace_all`, `davam_all`: of TRACE, of DAVAM.

Another suite: --config suite=workflow/config/ptb.yaml. A method of your own: --config method=path/to/file.py:Class.
"""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"


rule all:
    default_target: True
    input:
        [path for path in ("reports/table1.md", "reports/curves.png", "reports/index.html") if path in dag.reports()],


rule della_all:
    input:
        dag.reports("table1"),
        dag.reports_of("della"),


rule trace_all:
    input:
        dag.reports_of("trace"),


rule davam_all:
    input:
        dag.reports_of("davam"),


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/compare.smk"
