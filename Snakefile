"""The whole benchmark: `snakemake --cores 2` makes reports/table1.md and the learning curves of the default suite.

Another suite: --config suite=workflow/config/ptb.yaml. A method of your own: --config method=path/to/file.py:Class.
"""

from snakemake.utils import min_version

min_version("9.0")


rule all:
    input:
        "reports/table1.md",
        "reports/curves.png",


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/compare.smk"
