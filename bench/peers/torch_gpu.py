#!/usr/bin/env python3
"""The rows of the GPU goal table in PyTorch: out= and fused forms, every array allocated once, CUDA events around each
call, the L2 cache flushed before it.

Started by ci/gpu:  torch_gpu.py FILE [SCALE]   SCALE: full, small or tiny, as for GpuBench
Writes a line for each row: name, nanoseconds of one operation or -, and the form or why there is no time, between tabs.
Exits with 3 where PyTorch has no CUDA device. The numbers are those of dev.kith.bench.GpuArrays.
"""
import sys

try:
    import torch
except ImportError:
    sys.exit(3)

DIVISOR = {"full": 1, "small": 16, "tiny": 16384}
CALLS = {"full": 1000, "small": 1000, "tiny": 20}
PERIOD = 1 << 18
NODES = 16
RUNS = 31
ETA, DECAY, BETAS, EPSILON = 0.05, 0.01, (0.9, 0.999), 1e-8
X, GRADIENT, TRACKER, OLD_GRADIENT = range(4)


def filled(stream, rows, cols, dtype=torch.float32):
    first = min(cols, PERIOD)
    row = torch.arange(rows, device="cuda", dtype=torch.int64)[:, None] * PERIOD
    index = row + torch.arange(first, device="cuda", dtype=torch.int64)[None, :] + stream * 0x3C6EF35F
    # The product modulo 2^32 in two halves: the whole one does not fit into a signed 64-bit number.
    index &= 0xFFFFFFFF
    high = ((index >> 16) * 0x9E3779B1 & 0xFFFF) << 16
    hashed = (high + (index & 0xFFFF) * 0x9E3779B1) & 0xFFFFFFFF
    tile = (((hashed >> 8) - (1 << 23)).to(torch.float32) * 2.0**-24).to(dtype)
    matrix = torch.empty(rows, cols, device="cuda", dtype=dtype)
    for begin in range(0, cols, first):
        width = min(first, cols - begin)
        matrix[:, begin : begin + width] = tile[:, :width]
    return matrix


def ring(dtype=torch.float32):
    w = torch.zeros(NODES, NODES, device="cuda", dtype=dtype)
    for i in range(NODES):
        for j in (i - 1, i, i + 1):
            w[i, j % NODES] = 1 / 3
    return w


def columns(full, scale):
    return full // DIVISOR[scale] // 4 * 4


def mix(scale, dtype):
    x = filled(X, NODES, columns(64_000_000, scale), dtype)
    y, w = torch.empty_like(x), ring(dtype)
    return "mm(out=), " + str(dtype).split(".")[1], lambda: torch.mm(w, x, out=y), 1


def atc(scale):
    cols = columns(64_000_000, scale)
    x, g = filled(X, NODES, cols), filled(GRADIENT, NODES, cols)
    inner, y, w = torch.empty_like(x), torch.empty_like(x), ring()

    def run():
        torch.sub(x, g, alpha=ETA, out=inner)
        torch.mm(w, inner, out=y)

    return "sub(out=), mm(out=)", run, 1


def dsgt(scale):
    cols = columns(64_000_000, scale)
    x, t = filled(X, NODES, cols), filled(TRACKER, NODES, cols)
    g, old = filled(GRADIENT, NODES, cols), filled(OLD_GRADIENT, NODES, cols)
    inner, first, second, w = torch.empty_like(x), torch.empty_like(x), torch.empty_like(x), ring()

    def run():
        torch.sub(x, t, alpha=ETA, out=inner)
        torch.mm(w, inner, out=first)
        torch.add(t, g, out=inner)
        inner.sub_(old)
        torch.mm(w, inner, out=second)

    return "sub(out=), mm(out=), add(out=), sub_, mm(out=)", run, 1


def extra(scale):
    cols = columns(64_000_000, scale)
    x, before = filled(X, NODES, cols), filled(TRACKER, NODES, cols)
    g, old = filled(GRADIENT, NODES, cols), filled(OLD_GRADIENT, NODES, cols)
    inner, y, w = torch.empty_like(x), torch.empty_like(x), ring()

    def run():
        torch.sub(x, before, alpha=0.5, out=inner)
        torch.mm(w, inner, out=y)
        y.add_(inner).sub_(g, alpha=ETA).add_(old, alpha=ETA)

    return "sub(out=), mm(out=), in place", run, 1


def adamw_of(parameters):
    return torch.optim.AdamW(parameters, lr=ETA, betas=BETAS, eps=EPSILON, weight_decay=DECAY, fused=True)


def adamw(scale):
    cols = columns(1_000_000_000, scale)
    x = torch.nn.Parameter(filled(X, 1, cols))
    x.grad = filled(GRADIENT, 1, cols)
    return "optim.AdamW(fused=True)", adamw_of([x]).step, 1


def gram(scale, rows, full):
    x = filled(X, rows, columns(full, scale))
    y, t = torch.empty(rows, rows, device="cuda"), x.t()
    return "mm(out=)", lambda: torch.mm(x, t, out=y), 1


def tensors(scale):
    parameters = []
    for k in range(CALLS[scale]):
        size = 1024 + k * 40503 % 64513
        x = torch.nn.Parameter(filled(X, 1, size))
        x.grad = filled(GRADIENT, 1, size)
        parameters.append(x)
    return "optim.AdamW(fused=True)", adamw_of(parameters).step, 1


def topk(scale, feedback):
    x = filled(X, 1, columns(25_000_000, scale)).view(-1)
    k, kept = max(1, x.numel() // 100), torch.zeros_like(x)
    sizes, largest, sent = torch.empty_like(x), torch.empty(k, device="cuda"), torch.empty(k, device="cuda")
    index = torch.empty(k, device="cuda", dtype=torch.int64)

    def run():
        v = kept.add_(x) if feedback else x
        torch.abs(v, out=sizes)
        torch.topk(sizes, k, sorted=False, out=(largest, index))
        torch.index_select(v, 0, index, out=sent)
        if feedback:
            kept.index_fill_(0, index, 0)

    return "abs(out=), topk(out=), index_select(out=)", run, 1


def in_blocks(x, block):
    blocks = -(-x.numel() // block)
    padded = torch.zeros(blocks * block, device="cuda")
    padded[: x.numel()] = x.view(-1)
    return padded.view(blocks, block)


def int8(scale, accumulates):
    x = in_blocks(filled(X, 1, columns(25_000_000, scale)), 256)
    floats, y = torch.empty_like(x), torch.zeros_like(x)
    scales, codes = torch.empty(len(x), 1, device="cuda"), torch.empty_like(x, dtype=torch.int8)

    def quantize():
        torch.abs(x, out=floats)
        torch.amax(floats, 1, keepdim=True, out=scales)
        scales.div_(127)
        torch.div(x, scales, out=floats).round_()
        codes.copy_(floats)

    def accumulate():
        floats.copy_(codes)
        y.addcmul_(floats, scales)

    quantize()
    if accumulates:
        return "copy_, addcmul_", accumulate, 1
    return "abs(out=), amax(out=), div(out=), round_, copy_", quantize, 1


def qsgd4(scale):
    x = in_blocks(filled(X, 1, columns(25_000_000, scale)), 512)
    levels, uniforms, scales = torch.empty_like(x), torch.empty_like(x), torch.empty(len(x), 1, device="cuda")
    signed, codes = torch.empty_like(x, dtype=torch.int8), torch.empty_like(x, dtype=torch.uint8)
    packed = torch.empty(len(x), 256, device="cuda", dtype=torch.uint8)

    def run():
        torch.linalg.vector_norm(x, dim=1, keepdim=True, out=scales)
        scales.div_(7)
        uniforms.uniform_()
        torch.abs(x, out=levels)
        levels.div_(scales).add_(uniforms).floor_()
        torch.copysign(levels, x, out=levels)
        signed.copy_(levels)
        torch.bitwise_and(signed.view(torch.uint8), 15, out=codes)
        torch.bitwise_left_shift(codes[:, 1::2], 4, out=packed)
        packed.bitwise_or_(codes[:, ::2])

    return "vector_norm(out=), uniform_, div_, floor_, shifts in place", run, 1


def powersgd(scale):
    """What the hook does to one tensor between its two sums over processes."""
    from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import _orthogonalize

    side = int(columns(4096 * 4096, scale) ** 0.5)
    m, start = filled(X, 1, side * side).view(side, side), filled(GRADIENT, 1, 4 * side).view(4, side).t()
    p, q, y = (torch.empty(shape, device="cuda") for shape in ((side, 4), (side, 4), (side, side)))

    def run():
        torch.matmul(m, start, out=p)
        _orthogonalize(p.unsqueeze(0))
        torch.matmul(m.t(), p, out=q)
        torch.matmul(p, q.t(), out=y)

    return "matmul(out=) and _orthogonalize of powerSGD_hook, no all-reduce", run, 1


def normal(scale):
    y = torch.empty(columns(64_000_000, scale), device="cuda")
    return "randn(out=)", lambda: torch.randn(y.shape, out=y), 1


def newton_schulz(scale, full, widths):
    """The products of five iterations alone: the rate of bf16 products at these sizes."""
    rows = int(columns(full * full, scale) ** 0.5)
    x = filled(X, 1, rows * rows * widths, torch.bfloat16).view(rows, rows * widths)
    y = torch.empty_like(x)
    a, b = (torch.empty(rows, rows, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def run():
        for _ in range(5):
            torch.mm(x, x.t(), out=a)
            torch.mm(a, a, out=b)
            torch.mm(b, x, out=y)

    return "15 mm(out=), bfloat16", run, 1


def halves(scale):
    x = filled(X, 1, 64)
    y, calls = torch.empty_like(x), CALLS[scale]

    def run():
        for _ in range(calls):
            torch.mul(x, 0.5, out=y)

    return run, calls


def launch(scale):
    run, calls = halves(scale)
    return "mul(out=) from Python", run, calls


def launch_graph(scale):
    run, calls = halves(scale)
    run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return "mul(out=) in a CUDAGraph", graph.replay, calls


ROWS = {
    "mix-ring-16x64M-f32": lambda scale: mix(scale, torch.float32),
    "mix-ring-16x64M-bf16": lambda scale: mix(scale, torch.bfloat16),
    "atc-ring-16x64M-f32": atc,
    "dsgt-ring-16x64M-f32": dsgt,
    "extra-ring-16x64M-f32": extra,
    "adamw-1G-f32": adamw,
    "gram-16x64M-f32": lambda scale: gram(scale, 16, 64_000_000),
    "gram-64x16M-f32": lambda scale: gram(scale, 64, 16_000_000),
    "step-1000-tensors": tensors,
    "topk-25M-1pct-f32": lambda scale: topk(scale, False),
    "topk-ef-25M-1pct-f32": lambda scale: topk(scale, True),
    "int8-quantize-25M": lambda scale: int8(scale, False),
    "int8-accumulate-25M": lambda scale: int8(scale, True),
    "qsgd4-25M": qsgd4,
    "powersgd-4096-r4": powersgd,
    "normal-f32-64M": normal,
    "newton-schulz-1024x4096": lambda scale: newton_schulz(scale, 1024, 4),
    "newton-schulz-2048": lambda scale: newton_schulz(scale, 2048, 1),
    "launch": launch,
    "launch-graph": launch_graph,
}


def nanos(run, calls):
    """The median over runs, after three to warm up."""
    flush = torch.empty(256 << 20, device="cuda", dtype=torch.int8)
    times = []
    for i in range(RUNS + 3):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        flush.zero_()
        begin.record()
        run()
        end.record()
        end.synchronize()
        if i >= 3:
            times.append(begin.elapsed_time(end) * 1e6 / calls)
    return sorted(times)[RUNS // 2]


def main():
    if not torch.cuda.is_available():
        sys.exit(3)
    scale = sys.argv[2] if len(sys.argv) > 2 else "full"
    with open(sys.argv[1], "w") as file, torch.no_grad():
        for name, prepare in ROWS.items():
            try:
                form, run, calls = prepare(scale)
                line = "%.1f\tPyTorch %s, %s" % (nanos(run, calls), torch.__version__, form)
            except (RuntimeError, TypeError, ImportError) as e:
                line = "-\tPyTorch %s: %s" % (torch.__version__, " ".join(str(e).split())[:300])
            run = None
            torch.cuda.empty_cache()
            file.write("%s\t%s\n" % (name, line))
            file.flush()


main()
