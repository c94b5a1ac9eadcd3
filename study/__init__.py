"""The paper's claims measured again: `python -m study run` and `python -m study report`.

claims      the claims: which nets are trained or timed, and what the paper says of them
claim       what a claim consists of, its runs, and their results
runner      the runs that are not done yet, each in a process of its own (worker)
rows        the files of finished runs
training    trainings of narrow nets on Fashion-MNIST
statistics  intervals over seeds, and verdicts
report      docs/reproduction.md, written from the rows, with its figures
"""
