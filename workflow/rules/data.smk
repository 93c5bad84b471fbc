"""A dataset's splits, its tokenizer and its manifest, and pretrained models: shared by all cells of a suite."""


rule prepare:
    input:
        lambda wildcards: dag.pretrained(wildcards.dataset),
    output:
        # It holds the checksums of the others and stands for them in the DAG; verbs check what they read against it.
        manifest=cell.manifest,
        splits=[cell.data / f"{part}.txt" for part in ("train", "valid", "test")],
        tokenizer=cell.data / "tokenizer.json",
    params:
        code=lambda wildcards: dag.code("prepare", dataset=wildcards.dataset),
        settings=lambda wildcards: dag.settings("prepare", dataset=wildcards.dataset),
        args=lambda wildcards, output: dag.arguments(wildcards),
    log:
        dag.log(cell.data.parent, "prepare"),
    benchmark:
        dag.benchmark(cell.data.parent, "prepare")
    conda:
        "../envs/bench.yaml"
    message:
        "prepare {wildcards.dataset}"
    priority: 100
    shell:
        "logged {log} python -m bench prepare {params.args}"


rule pretrained:
    output:
        manifest=cell.pretrained("{model}") / "manifest.json",
        files=[cell.pretrained("{model}") / file for file in pretrained.FILES],
    params:
        code=lambda wildcards: dag.code("pretrained"),
        settings=lambda wildcards: dag.settings("pretrained", model=wildcards.model),
        args=lambda wildcards, output: dag.arguments(wildcards),
    log:
        dag.log(cell.pretrained("{model}").parent, "{model}"),
    benchmark:
        dag.benchmark(cell.pretrained("{model}").parent, "{model}")
    conda:
        "../envs/bench.yaml"
    message:
        "take over pretrained {wildcards.model}"
    priority: 110
    shell:
        "logged {log} python -m bench pretrained {params.args}"
