// conv2d_grad: the gradient of a convolution with respect to its input, as a gather.
//
// dx[i, y, x] = sum over o, u, v of weight[o, i, u, v] * g[o, p, q], where p * stride - padding + u = y.
// For the pixels of one remainder of y by the stride, the window rows u that meet any p are every
// stride-th one, and as u grows, p falls by one. So the pixels of one (row, column) remainder are
// a convolution of the gradient with stride 1, turned round: the host packs such a convolution
// for each remainder and conv2d.cu runs it, writing every stride-th pixel. No product is ever with
// a zero that the stride would have put between, and each result has one writer.
//
// What is left to do here is the gate: the gradient of the ReLU in front, in the same step.

__device__ __forceinline__ float conv2d_grad_gate(const Launch& launch, const Step& step, unsigned int image,
                                                  unsigned int place, float sum) {
    if (step.relu == RULE_NONE) {
        return sum;
    }
    return relu_gate(step.relu, sum, slot(launch, step.second_space, step.second, image)[place]);
}
