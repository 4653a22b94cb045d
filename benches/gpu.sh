#!/usr/bin/env bash
# Everything that needs a real GPU, made where cargo is and run where the GPU is, in minutes; see
# benches/gpu/README.md.
#
#   benches/gpu.sh build                              all that is carried there, into target/gpu/
#   benches/gpu.sh visit [checks|train|all] --out DIR     on the GPU machine: tests, measurements, training
#   benches/gpu.sh rehearse [--short]                 the same here, on the stand-in driver
#   benches/gpu.sh adopt DIR...                       what came back, checked, into benches/results/
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -eq 0 ]; then
    sed -n 's/^# \{0,1\}//;2,9p' "${BASH_SOURCE[0]}" >&2
    exit 64
fi
exec "${PYTHON:-python3}" "$here/gpu/main.py" "$@"
