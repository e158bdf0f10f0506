"""The study behind the defaults: which student learns fastest?

Teachers learn four real tasks, are grown wider, deeper and both in every way that the tool offers
(and in some that it does not), and learn on beside a network of the student's size from scratch.
Each run is one line of JSON; runs that are there already are not made again.

    make study                                   # or, with fewer seeds or tasks:
    python -m tests.benchmarks.learning --seeds 3 --tasks digits-mlp
    python -m tests.benchmarks.learning --report # tables and figures from the lines that are there

tasks.py says what is learned, arms.py how students are made, training.py how they are trained,
tables.py and figures.py what is shown of it.
"""
