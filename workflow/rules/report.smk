"""Tables and figures of the selected suite, from what its cells left behind and from nothing else.

Which reports there are: bench/report/catalogue.py. Which cells each shows: `reports:` in the suite.
"""


rule table:
    input:
        cells=lambda wildcards: dag.read(wildcards.table),
        manifests=lambda wildcards: dag.manifests(wildcards.table),
        published=dag.published(),
    output:
        md="reports/{table}.md",
        csv="reports/{table}.csv",
        tex="reports/{table}.tex",
        html=report(
            "reports/{table}.html",
            caption="../report/table.rst",
            category=lambda wildcards: dag.category(wildcards.table),
            labels=lambda wildcards: dag.labels(wildcards.table),
        ),
    log:
        "reports/logs/{table}.log",
    benchmark:
        "reports/logs/{table}.tsv"
    conda:
        "../envs/bench.yaml"
    params:
        code=lambda wildcards: dag.code("report", report=wildcards.table),
        settings=lambda wildcards: dag.settings("report", report=wildcards.table),
        order=lambda wildcards: dag.order(wildcards.table),
        args=lambda wildcards, output: dag.render(wildcards.table, output.md),
    message:
        "render {output.md}"
    shell:
        "logged {log} python -m bench report {params.args}"


rule figure:
    input:
        cells=lambda wildcards: dag.read(wildcards.figure),
        manifests=lambda wildcards: dag.manifests(wildcards.figure),
        published=dag.published(),
    output:
        png="reports/{figure}.png",
        svg=report(
            "reports/{figure}.svg",
            caption="../report/figure.rst",
            category=lambda wildcards: dag.category(wildcards.figure),
            labels=lambda wildcards: dag.labels(wildcards.figure),
        ),
    log:
        "reports/logs/{figure}.log",
    benchmark:
        "reports/logs/{figure}.tsv"
    conda:
        "../envs/bench.yaml"
    params:
        code=lambda wildcards: dag.code("report", report=wildcards.figure),
        settings=lambda wildcards: dag.settings("report", report=wildcards.figure),
        order=lambda wildcards: dag.order(wildcards.figure),
        args=lambda wildcards, output: dag.render(wildcards.figure, output.png),
    message:
        "plot {output.png}"
    shell:
        "logged {log} python -m bench report {params.args}"


rule site:
    input:
        cells=lambda wildcards: dag.read(wildcards.site),
        manifests=lambda wildcards: dag.manifests(wildcards.site),
        published=dag.published(),
    output:
        html=report(
            "reports/{site}.html",
            caption="../report/site.rst",
            category=lambda wildcards: dag.category(wildcards.site),
            labels=lambda wildcards: dag.labels(wildcards.site),
        ),
    log:
        "reports/logs/{site}.log",
    benchmark:
        "reports/logs/{site}.tsv"
    conda:
        "../envs/bench.yaml"
    params:
        code=lambda wildcards: dag.code("report", report=wildcards.site),
        settings=lambda wildcards: dag.settings("report", report=wildcards.site),
        order=lambda wildcards: dag.order(wildcards.site),
        args=lambda wildcards, output: dag.render(wildcards.site, output.html),
    message:
        "render {output.html}"
    shell:
        "logged {log} python -m bench report {params.args}"
