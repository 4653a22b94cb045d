// Kernels for what launches cost: links of a chain, which depend on all of the link before.

// Reads what another block of the link before wrote.
DEVICE void step(const u32* in, u32* out) {
    u32 count = gridDim.x * blockDim.x;
    u32 mine = blockIdx.x * blockDim.x + threadIdx.x;
    u32 other = mine + blockDim.x;
    if (other >= count) other -= count;
    out[mine] = in[other] * 5 + 1;
}

KERNEL link(const u32* in, u32* out) { step(in, out); }

// Lets its dependents start at once; they wait for its end themselves.
KERNEL link_early(const u32* in, u32* out) {
    launch_dependents();
    wait_for_prerequisites();
    step(in, out);
}

// Lets its dependents start when it has done its work.
KERNEL link_late(const u32* in, u32* out) {
    wait_for_prerequisites();
    step(in, out);
    launch_dependents();
}

KERNEL bump(u32* words) { words[blockIdx.x * blockDim.x + threadIdx.x] += 1; }

// Keeps the stream busy, so that what is timed behind it has been submitted before it starts.
KERNEL hold(u64 duration) {
#ifndef MSDCAM_STANDIN
    u64 begin = cycles();
    while (cycles() - begin < duration) {
    }
#endif
}
