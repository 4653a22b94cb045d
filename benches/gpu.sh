#!/usr/bin/env bash
# Everything that needs a real GPU, in two halves, so that the machine with the
# GPU needs neither cargo nor a network.
#
#   benches/gpu.sh build     where cargo is: programs into target/gpu/
#   benches/gpu.sh run       where the GPU is, in a copy of the repository with target/gpu/:
#                            tests on the real driver, compute-sanitizer, benchmarks;
#                            writes benches/results/<gpu>.json and .md
#
# NVRTC comes from a CUDA toolkit, or from the folder that MSDCAM_NVRTC names.
# SECONDS_EACH (default 20) is the time for one benchmark; BATCHES the batch sizes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
programs=target/gpu
tests="cuda ops network random_graphs"

build() {
    mkdir -p "$programs"
    cargo build --release --bin msdcam
    cp target/release/msdcam "$programs/msdcam"
    local test path
    for test in $tests; do
        path=$(cargo test --release --no-run --test "$test" --message-format=json |
            grep '"kind":\["test"\]' | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -1)
        cp "$path" "$programs/$test"
    done
    strip "$programs"/{msdcam,cuda,ops,network,random_graphs} 2>/dev/null || true
    local changes=""
    git diff --quiet HEAD -- src kernels || changes=" with changes"
    echo "$(git rev-parse --short=12 HEAD)$changes" >"$programs/commit"
    du -sh "$programs"
}

check() {
    local test
    for test in $tests; do
        echo "== tests: $test"
        "$programs/$test" --test-threads 1
    done
}

# Each tool must end with its line of no errors.
sanitize() {
    local tool log=target/gpu/sanitizer.log options
    if ! command -v compute-sanitizer >/dev/null; then
        echo "== compute-sanitizer: skipped, it is not installed"
        sanitizer="not installed"
        return
    fi
    sanitizer=""
    for tool in memcheck racecheck synccheck initcheck; do
        echo "== compute-sanitizer: $tool"
        options=""
        # What lies between two outputs is nobody's, but is copied home with them.
        if [ "$tool" = initcheck ]; then options="--check-api-memory-access no"; fi
        # shellcheck disable=SC2086
        compute-sanitizer --tool "$tool" $options "$programs/cuda" print_hash --exact --include-ignored >"$log" 2>&1 ||
            { tail -40 "$log"; exit 1; }
        if ! grep -Eq 'ERROR SUMMARY: 0 errors|RACECHECK SUMMARY: 0 hazards displayed \(0 errors, 0 warnings\)' "$log"; then
            tail -40 "$log"
            echo "compute-sanitizer $tool: no line that says zero errors" >&2
            exit 1
        fi
        grep -E 'SUMMARY' "$log"
        sanitizer="${sanitizer:+$sanitizer, }$tool"
    done
}

bench() {
    local gpu driver date commit name file batch first=1
    gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1)
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader | head -1)
    date=$(date -u +%Y-%m-%d)
    commit=$(cat "$programs/commit")
    name=$(echo "$gpu" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9-')
    mkdir -p benches/results
    file=benches/results/$name
    {
        printf '{"gpu": "%s", "driver": "%s", "date": "%s", "commit": "%s", "compute_sanitizer": "%s", "batches": [\n' \
            "$gpu" "$driver" "$date" "$commit" "$sanitizer"
        for batch in ${BATCHES:-1 32 256}; do
            if [ "$first" = 0 ]; then printf ',\n'; fi
            first=0
            "$programs/msdcam" bench --device cuda --batch "$batch" --seconds "${SECONDS_EACH:-20}" --json --quiet
        done
        printf ']}\n'
    } >"$file.json.part"
    {
        printf '# msdcam on %s\n\n' "$gpu"
        printf -- '- driver %s, %s, commit %s\n' "$driver" "$date" "$commit"
        printf -- '- parity tests passed on this GPU; compute-sanitizer without errors: %s\n' "$sanitizer"
        printf -- '- host to host, in milliseconds; `device` is the device'"'"'s own clock\n\n'
        for batch in ${BATCHES:-1 32 256}; do
            printf '```\n'
            "$programs/msdcam" bench --device cuda --batch "$batch" --seconds "${SECONDS_EACH:-20}" --quiet
            printf '```\n\n'
        done
    } >"$file.md.part"
    mv "$file.json.part" "$file.json"
    mv "$file.md.part" "$file.md"
    cat "$file.md"
}

run() {
    export MSDCAM_CUDA_TESTS=gpu CARGO_MANIFEST_DIR=$PWD RUST_BACKTRACE=0
    nvidia-smi --query-gpu=name,driver_version,clocks.sm --format=csv
    check
    sanitize
    bench
}

case ${1:-} in
build) build ;;
run) run ;;
*)
    sed -n 's/^# \{0,1\}//;2,12p' "${BASH_SOURCE[0]}" >&2
    exit 64
    ;;
esac
