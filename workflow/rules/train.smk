"""Training: by far the longest jobs, so they start before any scoring that is also ready."""


rule train:
    input:
        manifest=cell.manifest,
        pretrained=lambda wildcards: dag.pretrained(wildcards.dataset, wildcards.method),
    output:
        model=directory(cell.model),
        # Ends with the validation terms of the final weights in full precision, and is small: the file that stands
        # for the model in the DAG. Snakemake compares it by checksum, while for a directory it has only the time.
        history=cell.history,
        cost=cell.cost("train"),
    log:
        dag.log(cell.root, "train"),
    benchmark:
        dag.benchmark(cell.root, "train")
    priority: 50
    conda:
        "../envs/bench.yaml"
    threads: dag.training_threads
    resources:
        gpu=dag.gpu,
    params:
        code=lambda wildcards: dag.code("train", dataset=wildcards.dataset, method=wildcards.method),
        settings=lambda wildcards: dag.settings("train", dataset=wildcards.dataset, method=wildcards.method),
        args=lambda wildcards, output: dag.training(wildcards),
    message:
        "train {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "logged {log} python -m bench train {params.args}"
