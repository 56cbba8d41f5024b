"""The contenders of `benchmarks.bench`, a module each, named COMPARISON_CONTENDER.

`..._ours` runs in the project's environment. The others import neither the project nor what it needs, but for
`pipeline.layers`, without which Keras cannot load a model: each runs in an environment of requirements/bench-*.txt.
"""
