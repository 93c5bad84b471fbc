"""A dataset's splits, its tokenizer and its manifest, and pretrained models: shared by all cells of a suite."""


rule prepare:
    input:
        lambda wildcards: dag.pretrained(wildcards.dataset),
    output:
        # It holds the checksums of the others and stands for them in the DAG; verbs check what they read against it.
        manifest=cell.manifest,
        splits=[cell.data / f"{part}.txt" for part in ("train", "valid", "test")],
        tokenizer=cell.data / "tokenizer.json",
    log:
        dag.log(cell.data.parent, "prepare"),
    benchmark:
        dag.benchmark(cell.data.parent, "prepare")
    priority: 100
    conda:
        "../envs/bench.yaml"
    params:
        code=lambda wildcards: dag.code("prepare", dataset=wildcards.dataset),
        settings=lambda wildcards: dag.settings("prepare", dataset=wildcards.dataset),
        args=lambda wildcards, output: dag.arguments(wildcards),
    message:
        "prepare {wildcards.dataset}"
    shell:
        "logged {log} python -m bench prepare {params.args}"


rule pretrained:
    output:
        manifest=cell.pretrained("{model}") / "manifest.json",
        files=[cell.pretrained("{model}") / file for file in pretrained.FILES],
    log:
        dag.log(cell.pretrained("{model}").parent, "{model}"),
    benchmark:
        dag.benchmark(cell.pretrained("{model}").parent, "{model}")
    priority: 110
    conda:
        "../envs/bench.yaml"
    params:
        code=lambda wildcards: dag.code("pretrained"),
        settings=lambda wildcards: dag.settings("pretrained", model=wildcards.model),
        args=lambda wildcards, output: dag.arguments(wildcards),
    message:
        "take over pretrained {wildcards.model}"
    shell:
        "logged {log} python -m bench pretrained {params.args}"
