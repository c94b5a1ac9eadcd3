"""The paper's claims measured again: `python -m study run` and `python -m study report`.

claims      a module for each claim: what is trained or timed, and what the paper says
claim       the parts of a claim, its runs, and their results
runner      do the runs that have no row yet, several at a time
worker      do one run in a process of its own
rows        read and write the files of finished runs
training    train narrow nets on Fashion-MNIST
statistics  intervals over seeds, and verdicts
report      write docs/reproduction.md and its figures from the rows
"""
