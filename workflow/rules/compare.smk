"""A method beside frozen releases: --config method=path/to/file.py:Class trains that method's cells and no other."""


rule compare:
    input:
        cells=dag.compared(),
        frozen=lambda wildcards: heard(dag.frozen_manifests),
    output:
        md="reports/compare.md",
        csv="reports/compare.csv",
        tex="reports/compare.tex",
        html=report(
            "reports/compare.html",
            caption="../report/compare.rst",
            category="This suite",
            labels={"report": "Comparison"},
        ),
        png="reports/compare-pareto.png",
        svg=report(
            "reports/compare-pareto.svg",
            caption="../report/pareto.rst",
            category="This suite",
            labels={"report": "Comparison: quality against diversity"},
        ),
    log:
        "reports/logs/compare.log",
    benchmark:
        "reports/logs/compare.tsv"
    conda:
        "../envs/bench.yaml"
    params:
        code=lambda wildcards: dag.code("compare"),
        settings=lambda wildcards: dag.settings("compare"),
        order=lambda wildcards: dag.order(),
        args=lambda wildcards, output: dag.compare(output.md),
    message:
        "compare with {input.frozen}"
    shell:
        "logged {log} python -m bench compare {params.args}"
