# `just` lists the recipes. `.ci/run` is the gate; these are its parts and what it leaves out.

default:
    @just --list

# Every test
test *args:
    cargo test --release {{args}}

# The CUDA tests on the stand-in driver, which needs g++ and no GPU
test-gpu-standin:
    MSDCAM_CUDA_TESTS=standin XDG_CACHE_HOME="$PWD/target/standin-kernels" \
        tests/standin/run cargo test --release --test it -- cuda:: ops:: network:: random_graphs::

# The CPU's kernels under AddressSanitizer; needs a nightly toolchain
asan *args:
    ASAN_OPTIONS=allocator_may_return_null=1 RUSTFLAGS="-Zsanitizer=address --cfg asan" cargo +nightly test --target x86_64-unknown-linux-gnu \
        --target-dir target/asan --test it -- ops:: network:: random_graphs:: shapes:: batches:: misuse:: {{args}}

# The stored answers of PyTorch computed again and compared; needs the packages of tests/golden/README.md
golden:
    cd tests/golden && python3 make_golden.py ops nets --check
    cd tests/golden && python3 make_names.py --check
    cd tests/golden && python3 make_checkpoints.py --check

# Snapshots of what the program writes and what the library exports, rewritten
bless:
    MSDCAM_BLESS=1 cargo test --release --test it -- cli::snapshot cli::methods public_api

# msdcam beside other tools; see benches/peers/README.md
peers *args:
    benches/peers/run {{args}}

# Predicted time of a network on an H100, from the kernels' machine code; see benches/sm90/README.md
predict *args:
    benches/sm90/run {{args}}

# Instruction counts; needs valgrind
callgrind:
    cargo bench --bench callgrind

# What a GPU machine needs, into target/gpu; see benches/gpu/README.md
gpu-kit *args:
    benches/gpu.sh build {{args}}

# The Python package: wheel, tests, types
python *args:
    python/check {{args}}

lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# A fuzz target for some seconds; needs nightly and cargo-fuzz; see fuzz/README.md
fuzz target seconds="60":
    mkdir -p fuzz/grown/{{target}}
    cargo +nightly fuzz run {{target}} fuzz/grown/{{target}} fuzz/corpus/{{target}} -- \
        -max_len=131072 -timeout=20 -rss_limit_mb=4096 -max_total_time={{seconds}}

# Licenses, advisories and sources of the dependencies; needs cargo-deny
deny:
    cargo deny check

# All of it, as before every merge
gate:
    .ci/run
