#!/usr/bin/env bash
# The built-in weights anew: train, convert, measure with PyTorch and with msdcam, compare image by image.
#
#   weights/make.sh TRAIN TEST RUN [train.py's options]    everything into RUN; TEST is a .bin file
#   weights/make.sh --install RUN                          ... and from there into the repository, goldens too
#
# PYTHON (default python3) has PyTorch and NumPy, for --install what tests/golden/README.md names.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
python=${PYTHON:-python3}
name=msdnet_cifar10

install() {
    local run=$1 golden=$root/tests/golden
    cp "$run/$name.safetensors" "$here/cifar10/$name.safetensors"
    cp "$run/accuracy.md" "$run/log.jsonl" "$here/"
    cd "$golden"
    "$python" make_golden.py default --checkpoint "$run/$name.pth.tar"
    "$python" make_methods.py
    cd "$root"
    cargo run --release --quiet -- explain weights/samples/chelsea.png --quiet -o "$run/chelsea"
    cp "$run/chelsea/chelsea_strip.png" docs/chelsea_strip.png
    echo "installed; look at docs/chelsea_strip.png, then: cargo test --release, weights/README.md, README.md"
}

if [ "${1-}" = --install ]; then
    install "$(cd "$2" && pwd)"
    exit
fi
[ $# -ge 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
train=$1 test=$2 run=$3
shift 3

if [ ! -e "$run/$name.pth.tar" ] && ! compgen -G "$run/$name.pth.tar.*of*" >/dev/null; then
    "$python" "$here/train.py" --train "$train" --test "$test" --out "$run" "$@"
fi
if [ ! -e "$run/$name.pth.tar" ]; then
    compgen -G "$run/$name.pth.tar.*of*" >/dev/null || { echo "not trained to the end yet; the same words go on"; exit 3; }
    cat "$run/$name".pth.tar.*of* >"$run/$name.pth.tar"
fi

msdcam() { cargo run --release --quiet --manifest-path "$root/Cargo.toml" -- "$@"; }
weights=$run/$name.safetensors
msdcam convert --dtype f16 "$run/$name.pth.tar" -o "$weights"
msdcam inspect "$weights" >"$run/inspect.txt"
msdcam classify --json --quiet --weights "$weights" "$test" >"$run/answers.jsonl"
"$python" "$here/train.py" --eval "$run/$name.pth.tar" --test "$test" --against "$run/answers.jsonl" | tee "$run/accuracy.md"
msdcam evaluate --quiet --weights "$weights" "$test" -o "$run/evaluation" >"$run/evaluation.txt"
# Right answers of each exit, by evaluate's list of images and by PyTorch.
diff <(awk -F, 'NR > 1 { for (i = 6; i <= NF; i++) n[i] += $i } END { for (i = 6; i in n; i++) print n[i] }' \
    "$run/evaluation/hardness.csv") <(awk -F'|' 'NR > 2 { print $3 + 0 }' "$run/accuracy.md")
echo "PyTorch and msdcam agree on every image; $run/accuracy.md, $weights"
