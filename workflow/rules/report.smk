"""Tables and figures of the selected suite, from its cells' records and histories alone."""


rule table:
    input:
        records=dag.records(),
        manifests=dag.manifests(),
        published=dag.published(),
    output:
        md="reports/table1.md",
        csv="reports/table1.csv",
        tex="reports/table1.tex",
        html=report("reports/table1.html", caption="../report/table1.rst", category="Tables"),
    params:
        code=lambda wildcards: dag.code("table"),
        settings=lambda wildcards: dag.settings("table"),
        order=lambda wildcards: dag.order(),
        args=lambda wildcards, output: dag.arguments(wildcards, out=output.md),
    log:
        "reports/logs/table1.log",
    benchmark:
        "reports/logs/table1.tsv"
    conda:
        "../envs/bench.yaml"
    message:
        "render {output.md}"
    shell:
        "logged {log} python -m bench table {params.args}"


rule curves:
    input:
        histories=dag.histories(),
    output:
        png="reports/curves.png",
        svg=report("reports/curves.svg", caption="../report/curves.rst", category="Figures"),
    params:
        code=lambda wildcards: dag.code("curves"),
        settings=lambda wildcards: dag.settings("curves"),
        order=lambda wildcards: dag.order(),
        args=lambda wildcards, output: dag.arguments(wildcards, out=output.png),
    log:
        "reports/logs/curves.log",
    benchmark:
        "reports/logs/curves.tsv"
    conda:
        "../envs/bench.yaml"
    message:
        "plot {output.png}"
    shell:
        "logged {log} python -m bench curves {params.args}"
