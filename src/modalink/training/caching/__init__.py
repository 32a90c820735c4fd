"""What training will ask of frozen parts, computed before it: by one process, several, or a cluster.

Read in this order: `plan.py` says what of a stage can be known ahead, `samples.py` which samples it will meet,
`filler.py` computes what they lack and `sizes.py` only weighs it; `engines.py` and `cluster.py` are the processes that
do so, a block of samples at a time; `fill.py` gives out the blocks and counts what comes back.
"""
