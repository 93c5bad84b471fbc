"""From a trained cell to its record: likelihood statistics and samples, once; then scores, one file a metric family.

Samples, scores and records of a named decoding are the same rules': `drawn` has the wildcard {decoding}, which is
/decoding-NAME or, for the dataset's own, empty.

Files over 1 MB (`--max-checksum-file-size`) compare by time: a touched likelihood.npz of a large suite is scored again,
which takes seconds. Models are dearer: `ancient` ignores their time, and history.csv says when they differ.
"""


rule likelihood:
    input:
        manifest=cell.manifest,
        history=cell.history,
        model=ancient(cell.model),
    output:
        statistics=cell.likelihood,
        cost=cell.cost("likelihood"),
    log:
        dag.log(cell.root, "likelihood"),
    benchmark:
        dag.benchmark(cell.root, "likelihood")
    priority: 40
    conda:
        "../envs/bench.yaml"
    threads: dag.suite.training.threads
    resources:
        gpu=dag.gpu,
    params:
        code=lambda wildcards: dag.code("likelihood", dataset=wildcards.dataset, method=wildcards.method),
        settings=lambda wildcards: dag.settings("likelihood", dataset=wildcards.dataset, method=wildcards.method),
        args=lambda wildcards, output: dag.arguments(wildcards, device=dag.device),
    message:
        "measure likelihood of {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "logged {log} python -m bench likelihood {params.args}"


rule generate:
    input:
        manifest=cell.manifest,
        history=cell.history,
        model=ancient(cell.model),
    output:
        samples=drawn.samples,
        cost=drawn.cost("generate"),
    log:
        dag.log(drawn.root, "generate"),
    benchmark:
        dag.benchmark(drawn.root, "generate")
    priority: 40
    conda:
        "../envs/bench.yaml"
    threads: dag.suite.training.threads
    resources:
        gpu=dag.gpu,
    params:
        code=lambda wildcards: dag.code("generate", dataset=wildcards.dataset, method=wildcards.method),
        settings=lambda wildcards: dag.settings("generate", dataset=wildcards.dataset, decoding=dag.decoding(wildcards)),
        args=lambda wildcards, output: dag.arguments(wildcards, device=dag.device),
    message:
        "generate from {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed}{wildcards.decoding}"
    shell:
        "logged {log} python -m bench generate {params.args}"


rule interpolate:
    input:
        manifest=cell.manifest,
        history=cell.history,
        model=ancient(cell.model),
    output:
        interpolation=cell.interpolation,
    log:
        dag.log(cell.root, "interpolate"),
    benchmark:
        dag.benchmark(cell.root, "interpolate")
    conda:
        "../envs/bench.yaml"
    threads: dag.suite.training.threads
    resources:
        gpu=dag.gpu,
    params:
        code=lambda wildcards: dag.code("interpolate", dataset=wildcards.dataset, method=wildcards.method),
        settings=lambda wildcards: dag.settings("interpolate", dataset=wildcards.dataset),
        args=lambda wildcards, output: dag.arguments(wildcards, device=dag.device),
    message:
        "interpolate with {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "logged {log} python -m bench interpolate {params.args}"


rule attention:
    input:
        manifest=cell.manifest,
        history=cell.history,
        model=ancient(cell.model),
    output:
        attention=cell.attention,
    log:
        dag.log(cell.root, "attention"),
    benchmark:
        dag.benchmark(cell.root, "attention")
    conda:
        "../envs/bench.yaml"
    threads: dag.suite.training.threads
    resources:
        gpu=dag.gpu,
    params:
        code=lambda wildcards: dag.code("attention", dataset=wildcards.dataset, method=wildcards.method),
        settings=lambda wildcards: dag.settings("attention", dataset=wildcards.dataset),
        args=lambda wildcards, output: dag.arguments(wildcards, device=dag.device),
    message:
        "measure attention of {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "logged {log} python -m bench attention {params.args}"


rule augment:
    input:
        manifest=cell.manifest,
        pretrained=lambda wildcards: dag.pretrained(wildcards.dataset, dag.suite.augmentation.model),
        history=cell.history,
        model=ancient(cell.model),
    output:
        augmented=cell.augmented("{part}"),
        cost=cell.cost("augment-{part}"),
    log:
        dag.log(cell.root, "augment-{part}"),
    benchmark:
        dag.benchmark(cell.root, "augment-{part}")
    priority: 30
    conda:
        "../envs/bench.yaml"
    threads: dag.augmentation_threads
    resources:
        gpu=dag.gpu,
    params:
        code=lambda wildcards: dag.code("augment", dataset=wildcards.dataset, method=wildcards.method),
        settings=lambda wildcards: dag.settings("augment", dataset=wildcards.dataset),
        args=lambda wildcards, output: dag.arguments(wildcards, device=dag.device),
    message:
        "train on {wildcards.part} texts of {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "logged {log} python -m bench augment {params.args}"


# A row of human text or of copied sources is a method without a model: it has samples, and all after them is the same.
ruleorder: untrained > generate


rule untrained:
    input:
        manifest=untrained.manifest,
    output:
        samples=untrained.samples,
    log:
        dag.log(untrained.root, "untrained"),
    benchmark:
        dag.benchmark(untrained.root, "untrained")
    conda:
        "../envs/bench.yaml"
    params:
        code=lambda wildcards: dag.code("untrained"),
        settings=lambda wildcards: dag.settings("untrained"),
        args=lambda wildcards, output: dag.arguments(wildcards),
    message:
        "take the texts of row {wildcards.row} on {wildcards.dataset}"
    shell:
        "logged {log} python -m bench untrained {params.args}"


rule score:
    input:
        dag.scored,
    output:
        scores=drawn.scores("{family}"),
    log:
        dag.log(drawn.root, "score-{family}"),
    benchmark:
        dag.benchmark(drawn.root, "score-{family}")
    priority: 10
    conda:
        "../envs/bench.yaml"
    params:
        code=lambda wildcards: dag.code("score", family=wildcards.family),
        settings=lambda wildcards: dag.settings("score", family=wildcards.family),
        args=lambda wildcards, output: dag.arguments(wildcards),
    message:
        "score {wildcards.family} of {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed}{wildcards.decoding}"
    shell:
        "logged {log} python -m bench score-cell {params.args}"


rule record:
    input:
        manifest=cell.manifest,
        results=dag.recorded,
    output:
        record=drawn.record,
    log:
        dag.log(drawn.root, "record"),
    benchmark:
        dag.benchmark(drawn.root, "record")
    conda:
        "../envs/bench.yaml"
    params:
        # no settings: those of every earlier stage re-run it, and the suite's other cells are none of its business
        code=lambda wildcards: dag.code("record"),
        args=lambda wildcards, output: dag.arguments(wildcards),
    message:
        "record {wildcards.method} on {wildcards.dataset}, seed {wildcards.seed}{wildcards.decoding}"
    shell:
        "logged {log} python -m bench record {params.args}"
