"""What surgery costs, beside `cp` of its output, mergekit, and the script that people write today.

    python -m tests.benchmarks.surgery [--gb 0.5 2 8] [--rounds 5] [--growths depth even]

A random Llama in bf16 is made once for each size and grown deeper and wider, each time in a
process of its own and with --no-verify. In every round all contestants write an output of the same
size, one after the other. Before each, memory is primed: on a virtual machine pages that were given
back cost more than the copy itself, and whoever came first would pay for them. `cp` is followed by
fsync, which growing does, too; mergekit and the script do not wait for the disk.

Start-up is that of the same growth of a model of a megabyte, and is told apart. Anonymous memory is
what a process holds and cannot be dropped; all of it includes the pages of files that it maps.

The figures go to results/surgery.json, the table to surgery.md, the plot to surgery.png.
``python -m tests.benchmarks.surgery.page`` makes the README's part of them.
"""
